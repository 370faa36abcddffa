"""A real MariaDB for the tests, which stands for MySQL, too; a missing one fails them, it never skips."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import URL, make_url

from tests.rigs.servers import DatabaseServer, running

_DRIVER = "mysql+pymysql"
_MISSING = (
    "MariaDB is not there: these tests need its server programs.\n"
    "Remedy: install them (Debian: apt-get install mariadb-server; macOS: brew install mariadb), "
    "or name a server you may create databases on: EXCHANGE_TEST_MARIADB_URL=mysql://user@host:3306/mysql"
)


class MariaDB(DatabaseServer):
    """A MariaDB server of the tests' own."""

    name = "MariaDB"

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options
        self._data.mkdir()
        if os.geteuid() == 0:  # MariaDB refuses to run as root
            self._user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            for each in (folder, self._data):
                shutil.chown(each, self._user["user"], self._user["group"])
        # Without --user and its change of owners: everything here runs as that user already.
        make = [_program("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}", "--skip-test-db"]
        make += ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
        made = subprocess.run(make, capture_output=True, text=True, check=False, cwd=folder, **self._user)
        if made.returncode != 0:
            pytest.fail(f"mariadb-install-db failed: {made.stderr}{made.stdout}", pytrace=False)

    def url(self, database: str = "mysql") -> str:
        """SQLAlchemy URL of a database."""
        made = URL.create(_DRIVER, username="root", host="127.0.0.1", port=self._port, database=database)
        return made.render_as_string(hide_password=False)

    def start(self) -> None:
        serve = [_program("mariadbd"), "--no-defaults", f"--datadir={self._data}", f"--port={self._port}"]
        # A server that starts removes the temporary files of every other one that has the same folder for them.
        serve += [
            f"--tmpdir={self._data}",
            "--bind-address=127.0.0.1",
            f"--socket={self._folder}/socket",
            f"--pid-file={self._folder}/pid",
        ]
        serve += ["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--debug-no-sync"]
        self._serve([*serve, "--innodb-flush-method=nosync", *self._options])

    def _answers(self) -> bool:
        try:
            connect(self.url()).close()
        except pymysql.OperationalError:
            return False
        return True

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()


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


def running_mariadb(*options: str) -> AbstractContextManager[MariaDB]:
    """A server that answers, until the block ends."""
    return running(lambda folder: MariaDB(folder, *options), "mariadb", 60)


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
