"""A real MariaDB for the tests, which stands for MySQL, too; a missing one fails them, it never skips."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import URL, make_url

from tests.rigs.brokers import free_port
from tests.rigs.plain import wait_until

_DRIVER = "mysql+pymysql"
_MISSING = (
    "MariaDB is not there: these tests need its server programs.\n"
    "Remedy: install them (Debian: apt-get install mariadb-server; macOS: brew install mariadb), "
    "or name a server you may create databases on: EXCHANGE_TEST_MARIADB_URL=mysql://user@host:3306/mysql"
)


class MariaDB:
    """A server of the tests' own, its data in `folder`; it runs from `start` to `stop`, or to a `kill`."""

    name = "MariaDB"

    def __init__(self, folder: Path, *options: str) -> None:
        self.kills = 0
        self._folder, self._port = folder, free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        # Its own user, because a server that runs as root is refused.
        self._user: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, **self._user)
        self._data.mkdir()
        if self._user:
            shutil.chown(self._data, **self._user)
        # Without --user and its change of owners: everything here runs as that user already.
        make = [_program("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}", "--skip-test-db"]
        make += ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
        made = subprocess.run(make, capture_output=True, text=True, check=False, cwd=folder, **self._as_user())
        if made.returncode != 0:
            pytest.fail(f"mariadb-install-db failed: {made.stderr}{made.stdout}", pytrace=False)

    def url(self, database: str = "mysql") -> str:
        """SQLAlchemy URL of a database."""
        made = URL.create(_DRIVER, username="root", host="127.0.0.1", port=self._port, database=database)
        return made.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        serve = [_program("mariadbd"), "--no-defaults", f"--datadir={self._data}", f"--port={self._port}"]
        serve += ["--bind-address=127.0.0.1", f"--socket={self._folder}/socket", f"--pid-file={self._folder}/pid"]
        serve += ["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--debug-no-sync"]
        serve += ["--innodb-flush-method=nosync", *self._options]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(serve, stdout=log, stderr=log, cwd=self._folder, **self._as_user())

    def has_started(self) -> bool:
        """Whether it answers; AssertionError if it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"MariaDB has ended: {self._log.read_text()[-2000:]}"
        try:
            connect(self.url()).close()
        except pymysql.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to the server, which is one process."""
        assert self._process is not None
        assert self._process.poll() is None, f"MariaDB has ended: {self._log.read_text()[-2000:]}"
        self._process.kill()
        self._process.wait()
        self.kills += 1

    def stop(self) -> None:
        """End it, if it runs: connections are closed, what is committed is kept."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=30)

    def _as_user(self) -> dict[str, Any]:
        return self._user | ({"extra_groups": []} if self._user else {})

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"


def connect(url: str, **more: Any) -> Any:
    """A connection of the tests' own, each statement committed for itself."""
    there = make_url(url)
    return pymysql.connect(
        host=there.host, port=there.port or 3306, user=there.username, password=there.password or "",
        database=there.database, charset="utf8mb4", autocommit=True, connect_timeout=5, **more,
    )  # fmt: skip


def run(url: str, *statements: str) -> None:
    """Run these statements."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def running_mariadb(*options: str) -> Iterator[MariaDB]:
    """A server that answers, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-mariadb-"))
    try:
        server = MariaDB(folder, *options)
        server.start()
        try:
            wait_until(server.has_started, "MariaDB answers", 60)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """SQLAlchemy URL of a server: `EXCHANGE_TEST_MARIADB_URL`, else one started here."""
    named = os.environ.get("EXCHANGE_TEST_MARIADB_URL")
    if named:
        yield make_url(named).set(drivername=_DRIVER).render_as_string(hide_password=False)
        return
    with running_mariadb() as server:
        yield server.url()


@pytest.fixture
def private_mariadb() -> Iterator[MariaDB]:
    """A server for one test, which it may kill."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb_url: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of the test's own."""
    name = f"t{uuid.uuid4().hex[:10]}"
    run(mariadb_url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield make_url(mariadb_url).set(database=name).render_as_string(hide_password=False)
    run(mariadb_url, f"DROP DATABASE {name}")


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(_MISSING, pytrace=False)
    return found
