"""What is made in the home folder is for its owner only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exchange import private
from exchange.connect.rejects import RejectFile
from exchange.credentials import Security, save
from exchange.demo.processes import Processes
from exchange.grants.store import GrantStore, grants_url
from exchange.keys import ledger_key
from exchange.ledger.store import LedgerStore, ledger_url
from exchange.settings import Settings
from tests.rigs.canaries import open_to_others


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def grants(home: Path) -> None:
    GrantStore(grants_url(Settings(home=home))).close()


def ledger(home: Path) -> None:
    with closing(LedgerStore(ledger_url(Settings(home=home))).engine.raw_connection()) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute("CREATE TABLE more (n)")
        assert {path.name for path in home.iterdir()} == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
        assert open_to_others(home) == []


def keys(home: Path) -> None:
    ledger_key(Settings(home=home))


def login(home: Path) -> None:
    save(home / "credentials" / "tax.yaml", Security(username="tax", password="x"))


def daemons(home: Path) -> None:
    Processes(home, "127.0.0.1")


@pytest.mark.parametrize("first", [grants, ledger, keys, login, daemons])
def test_whatever_comes_first_makes_a_home_that_is_private(tmp_path: Path, first: Callable[[Path], None]) -> None:
    first(tmp_path / "missing" / "home")
    assert open_to_others(tmp_path / "missing") == []


def test_rejects_stand_in_a_private_folder(tmp_path: Path) -> None:
    RejectFile(tmp_path / "home", "tax.income").write([("row 1", "no number")])
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("name", "url"), [("grants.db", grants_url), ("ledger.db", ledger_url)])
def test_a_database_of_an_earlier_version_is_shut(tmp_path: Path, name: str, url: Callable[[Settings], str]) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / name).write_bytes(b"")
    (tmp_path / name).chmod(0o644)
    url(Settings(home=tmp_path))
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o755, "a folder that was there is its owner's to open"


@pytest.mark.parametrize("url", ["postgresql+psycopg://u@db/x", "sqlite:////srv/shared/x.db"])
def test_a_database_that_is_named_is_left_alone(tmp_path: Path, url: str) -> None:
    settings = Settings(home=tmp_path / "home", grants_url=url, ledger_url=url)
    assert (grants_url(settings), ledger_url(settings)) == (url, url)
    assert not settings.home.exists()


def test_another_users_database_is_his(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    private.file(tmp_path / "grants.db").chmod(0o660)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert private.file(tmp_path / "grants.db").stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize(("umask", "mode", "becomes"), [(0o000, 0o600, 0o600), (0o022, 0o666, 0o644)])
def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, umask: int, mode: int, becomes: int) -> None:
    os.umask(umask)
    path, link = tmp_path / "file", tmp_path / "link"
    link.symlink_to(path)
    private.write(link, b"first", mode)

    def fail(fresh: Path, target: Path) -> None:
        assert (fresh.read_bytes(), target) == (b"second", path)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        private.write(link, b"second", mode, put=fail)
    assert (link.is_symlink(), path.read_bytes(), path.stat().st_mode & 0o777) == (True, b"first", becomes)
    assert set(tmp_path.iterdir()) == {path, link}
