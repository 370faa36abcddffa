"""A key is made once, kept private, and never replaced."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from exchange.keys import KeyFileError, ledger_key, load, load_or_create, pseudonym_key
from exchange.settings import Settings


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "home" / "ledger.key"
    key = load_or_create(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path) == load(path) == key
    assert [file.name for file in path.parent.iterdir()] == ["ledger.key"]


def test_all_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    barrier = Barrier(8)

    def random(size: int) -> bytes:
        barrier.wait()  # everyone has seen that there is none yet
        return bytes([next(numbers)]) * size

    numbers = iter(range(8))
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_or_create(tmp_path / "ledger.key", random), range(8)))
    assert len(set(keys)) == 1


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "ledger.key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        load_or_create(path)
    assert path.read_bytes() == bytes(size)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    load_or_create(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError):
        load(path)


def test_a_named_file_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        ledger_key(Settings(home=tmp_path, ledger_key_file=tmp_path / "elsewhere"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyFileError):
        pseudonym_key(Settings(home=tmp_path, pseudonym_key_file=tmp_path / "elsewhere"))
    assert not list(tmp_path.iterdir())
    assert ledger_key(Settings(home=tmp_path)) == load(tmp_path / "ledger.key")
    assert pseudonym_key(Settings(home=tmp_path)) == load(tmp_path / "pseudonym.key")
    assert load(tmp_path / "ledger.key") != load(tmp_path / "pseudonym.key")
