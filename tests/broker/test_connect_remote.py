"""Files on SFTP and S3 servers: each version is published once through any kill, and nothing is deleted unasked."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.config import SourceConfig
from exchange.connect.database import Paths
from exchange.connect.drop_folder import path_of
from exchange.connect.file_source import FileSource
from exchange.connect.remote_folder import RemoteConfigError, RemoteFolder, RemoteUnavailableError
from exchange.connect.remote_source import FORGET_S, RemoteSource
from exchange.connect.source import Row, Source
from exchange.connect.testing import Journal, Origin, SourceConformance, drain
from tests.rigs.drops import reader
from tests.rigs.remotes import S3, Sftp, running


class RemoteOrigin(Origin):
    """A folder on a server; every call of `add` puts one more file there."""

    def __init__(self, home: Path, server: Sftp | S3, **config: Any) -> None:
        self.server, self.home = server, home
        self.now = 0.0
        self._numbers = itertools.count()
        given = {"subject": "a.b", "csv": server.config(**config), "page_rows": 10}
        self.config = SourceConfig.model_validate(given)

    def source(self) -> Source:
        paths = Paths(self.home, self.home)
        assert self.config.drop is not None
        folder = path_of(self.config, paths)
        inner = FileSource(self.config, folder, reader(self.config), None, ["serial"])
        remote = RemoteFolder(self.config.drop, paths)
        return RemoteSource(self.config, folder, remote, inner, clock=lambda: self.now, monotonic=lambda: self.now)

    def add(self, serials: Iterable[int], name: str = "") -> None:
        lines = "".join(f"{serial}\n" for serial in serials)
        self.server.put(name or f"{next(self._numbers):04d}.csv", f"serial\n{lines}".encode())

    def serial(self, row: Row) -> int:
        return int(row["serial"])


@pytest.fixture(scope="module", params=[Sftp, S3])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sftp | S3]:
    with running(request.param, tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture
def origin(server: Sftp | S3, tmp_path: Path) -> RemoteOrigin:
    clear(server)
    return RemoteOrigin(tmp_path, server)


def clear(server: Sftp | S3) -> None:
    for name in server.names():
        if isinstance(server, Sftp):
            (server.there / name).unlink()
        else:
            server._client.delete_object(Bucket="bucket", Key=f"there/{name}")


class TestRemote(SourceConformance):
    pass


def test_a_version_is_published_once_and_the_same_content_never_again(origin: RemoteOrigin) -> None:
    journal = Journal()
    for serials in ([1, 2], [1, 2], [1, 2, 3]):
        origin.add(serials, "same.csv")
        if isinstance(origin.server, Sftp):
            origin.now += 1
            os.utime(origin.server.there / "same.csv", (origin.now, origin.now))
        drain(origin, journal)
    assert journal.serials == [1, 2, 1, 2, 3]
    assert origin.server.names() == ["same.csv"]


def test_what_a_kill_left_before_its_note_is_published_once(origin: RemoteOrigin) -> None:
    journal = Journal()
    origin.add([1, 2])
    assert drain(origin, journal, pages=1, lose_last=True) == 1  # fetched, and not noted
    assert journal.progress == {}
    left = path_of(origin.config, Paths(origin.home, origin.home)) / "0000.csv"
    assert left.exists()
    drain(origin, journal)
    assert journal.serials == [1, 2]


def test_what_is_noted_is_published_from_here_after_a_kill(origin: RemoteOrigin) -> None:
    journal = Journal()
    origin.add([1, 2])
    drain(origin, journal, pages=1)
    clear(origin.server)
    drain(origin, journal)
    assert journal.serials == [1, 2]


def test_a_folder_that_is_empty_for_a_while_brings_nothing_again(origin: RemoteOrigin, tmp_path: Path) -> None:
    journal = Journal()
    origin.add([1], "a.csv")
    drain(origin, journal)
    kept = tmp_path / "kept"
    if isinstance(origin.server, Sftp):
        shutil.move(origin.server.there / "a.csv", kept)
    else:
        clear(origin.server)
    drain(origin, journal)
    if isinstance(origin.server, Sftp):
        shutil.move(kept, origin.server.there / "a.csv")
    else:
        origin.add([1], "a.csv")
    drain(origin, journal)
    assert journal.serials == [1]
    clear(origin.server)
    drain(origin, journal)
    origin.now += FORGET_S + 1
    drain(origin, journal)
    assert not any(name.startswith("remote/") for name in journal.progress)


def test_it_deletes_there_only_if_told_and_after_the_note(server: Sftp | S3, tmp_path: Path) -> None:
    clear(server)
    origin = RemoteOrigin(tmp_path, server, remote={"delete": True})
    journal = Journal()
    origin.add([1])
    drain(origin, journal, pages=1, lose_last=True)
    assert server.names() == ["0000.csv"]
    drain(origin, journal)
    assert (server.names(), journal.serials) == ([], [1])


def test_other_names_are_left_there(origin: RemoteOrigin) -> None:
    for name in ("a.txt", ".b.csv", "c.csv.part", "taken", "d.csv.done"):
        origin.server.put(name, b"serial\n1\n")
    journal = Journal()
    drain(origin, journal)
    assert journal.serials == []


def test_a_missing_folder_or_bucket_is_a_persons_to_mend(origin: RemoteOrigin) -> None:
    assert origin.config.csv is not None
    folder = "s3://none/x" if isinstance(origin.server, S3) else f"{origin.server.url}/none"
    csv = origin.config.csv.model_copy(update={"folder": folder})
    origin.config = origin.config.model_copy(update={"csv": csv})
    source = origin.source()
    source.open({})
    with pytest.raises(RemoteConfigError, match="there is no such folder or bucket"):
        list(source.pages())


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[Sftp]:
    with running(Sftp, tmp_path) as made:
        yield made


def test_an_unknown_host_key_a_refused_login_and_open_secrets_are_refused(sftp: Sftp, tmp_path: Path) -> None:
    known = sftp.known_hosts.read_text()
    other = (tmp_path / "client.pub").read_text()
    sftp.known_hosts.write_text(known.replace((tmp_path / "host.pub").read_text(), other))
    origin = RemoteOrigin(tmp_path, sftp)
    with pytest.raises(RemoteConfigError, match="host key is not in `known_hosts`"):
        drain(origin, Journal())
    sftp.known_hosts.write_text(known)
    (tmp_path / "authorized").write_text("")
    with pytest.raises(RemoteConfigError, match="the login is refused"):
        drain(origin, Journal())
    sftp.key.chmod(0o640)
    with pytest.raises(RemoteConfigError, match="others may read it"):
        origin.source()


def test_a_server_that_is_away_is_waited_for(sftp: Sftp, tmp_path: Path) -> None:
    origin, journal = RemoteOrigin(tmp_path, sftp), Journal()
    origin.add([1])
    drain(origin, journal)
    source = origin.source()
    source.open(journal.progress)
    list(source.pages())
    sftp.stop()
    with pytest.raises(RemoteUnavailableError):
        list(source.pages())
    origin.add([2])
    sftp.start()
    for page in source.pages():
        journal.commit(page, origin)
    assert journal.serials == [1, 2]


def test_a_file_that_still_grows_is_waited_for(sftp: Sftp, tmp_path: Path) -> None:
    origin, journal = RemoteOrigin(tmp_path, sftp, settle_s=5), Journal()
    file = sftp.there / "a.csv"
    source = origin.source()
    source.open({})

    def look(now: float) -> list[int]:
        origin.now = now
        for page in source.pages():
            journal.commit(page, origin)
        return journal.serials

    file.write_text("serial\n1\n2")
    assert look(0) == []
    assert look(6) == []  # its last line has no end
    file.write_text("serial\n1\n23\n")
    assert look(12) == []
    assert not source.settled()
    assert look(18) == [1, 23]
    file.with_name("b.csv").write_text("serial\n4")
    file.with_name("b.csv.done").touch()
    assert look(19) == [1, 23, 4]
