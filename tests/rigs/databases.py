"""A real PostgreSQL for the tests; a missing one fails them, it never skips."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shutil
import signal
import subprocess
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url

from exchange.settings import Settings
from tests.rigs.servers import DatabaseServer, running

_DRIVER = "postgresql+psycopg"
_BUNDLE = "io.zonky.test.postgres:embedded-postgres-binaries-{system}:16.6.0"
_MISSING = (
    "PostgreSQL is not there, and Maven could not fetch it: these tests need its server programs.\n"
    "Remedy: install them (Debian: apt-get install postgresql; macOS: brew install postgresql), "
    "or name a server you may create databases on: EXCHANGE_TEST_POSTGRES_URL=postgresql://user@host:5432/postgres"
)
_EMPTY = """
DO $$ DECLARE name text; BEGIN
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database();
    FOR name IN SELECT pubname FROM pg_publication LOOP
        EXECUTE format('DROP PUBLICATION %I', name);
    END LOOP;
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END $$
"""

_AS_EVER = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 -c search_path=public"
"""For a connection to which the settings that a test has given its database do not apply."""


class Server(DatabaseServer):
    """A PostgreSQL server of the tests' own."""

    name = "PostgreSQL"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bin = _programs(folder)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._user = {"user": "nobody", "group": _group_of("nobody"), "extra_groups": []}
            shutil.chown(folder, self._user["user"], self._user["group"])
        initdb = [self._bin / "initdb", "-D", self._data, "-U", "exchange", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(initdb, capture_output=True, text=True, check=False, cwd=folder, **self._user)
        if made.returncode != 0:
            pytest.fail(f"initdb failed: {made.stderr}", pytrace=False)

    def url(self, database: str = "postgres", driver: str = _DRIVER) -> str:
        """SQLAlchemy URL of a database; with the driver `postgresql`, one that psycopg takes, too."""
        return _text(URL.create(driver, username="exchange", host="127.0.0.1", port=self._port, database=database))

    def start(self, wal_level: str = "logical") -> None:
        serve = [self._bin / "postgres", "-D", self._data, "-h", "127.0.0.1", "-p", str(self._port)]
        serve += ["-k", self._folder, "-F"]
        self._serve(
            [*serve, "-c", f"wal_level={wal_level}", "-c", "max_replication_slots=50", "-c", "max_wal_senders=50"]
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(driver="postgresql"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # from now on it makes no more of them
        for pid in (*_children(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGINT)


def running_server() -> AbstractContextManager[Server]:
    """A server that answers, until the block ends."""
    return running(Server, "postgres", 30)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of a server: `EXCHANGE_TEST_POSTGRES_URL`, else one started here.

    The programs are the installed ones, else those that Maven fetches.
    """
    named = os.environ.get("EXCHANGE_TEST_POSTGRES_URL")
    if named:
        yield _text(make_url(named).set(drivername=_DRIVER))
        return
    with running_server() as server:
        yield server.url()


@pytest.fixture
def private_postgres() -> Iterator[Server]:
    """A server for one test, which it may kill."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def _own_database(postgres_url: str) -> Iterator[str]:
    """The name of a database of this process."""
    with _new_database(postgres_url) as name:
        yield name


@pytest.fixture
def altered_postgres_database(postgres_url: str) -> Iterator[str]:
    """SQLAlchemy URL of a new database, for tests that alter what PostgreSQL itself brings, such as functions."""
    with _new_database(postgres_url) as name:
        yield _text(make_url(postgres_url).set(database=name))


@contextmanager
def _new_database(postgres_url: str) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:10]}"
    with psycopg.connect(_plain(postgres_url), autocommit=True) as administrator:
        administrator.execute(f'CREATE DATABASE "{name}"'.encode())
        yield name
        administrator.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def postgres_database(postgres_url: str, _own_database: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database.

    Tests have the same one after each other: to make one takes five times as much CPU as to empty it.
    """
    yield _text(make_url(postgres_url).set(database=_own_database))
    with psycopg.connect(_plain(postgres_url, _own_database), autocommit=True, options=_AS_EVER) as administrator:
        administrator.execute(_EMPTY)


def _plain(url: str, database: str | None = None) -> str:
    """The URL as libpq takes it, of that database or the URL's own."""
    parsed = make_url(url).set(drivername="postgresql")
    return _text(parsed.set(database=database) if database else parsed)


def _programs(folder: Path) -> Path:
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("postgres") or (packaged and packaged[-1]) or _fetched(folder)
    return Path(found).resolve().parent


def _fetched(folder: Path) -> Path:
    """The programs as Maven has them, unpacked into `folder`."""
    machine = "arm64v8" if platform.machine() in ("arm64", "aarch64") else "amd64"
    bundle = _BUNDLE.format(system=f"{platform.system().lower()}-{machine}")
    command = [Settings().maven, "-B", "-q", "dependency:copy", f"-Dartifact={bundle}", f"-DoutputDirectory={folder}"]
    if shutil.which(command[0]) is None or subprocess.run(command, check=False, cwd=folder).returncode != 0:
        pytest.fail(_MISSING, pytrace=False)
    with zipfile.ZipFile(next(folder.glob("*.jar"))) as jar:
        archive = next(name for name in jar.namelist() if name.endswith(".txz"))
        with jar.open(archive) as packed, tarfile.open(fileobj=packed, mode="r:xz") as programs:
            programs.extractall(folder / "programs", filter="data")
    return folder / "programs" / "bin" / "postgres"


def _children(parent: int) -> list[int]:
    """The processes that it has started and that still run."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, ppid in map(str.split, listed.splitlines()) if int(ppid) == parent]


def _group_of(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
