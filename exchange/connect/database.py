"""Engines for the departments' databases; translates the library's errors."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from exchange.connect import postgres
from exchange.connect.config import Database
from exchange.connect.diagnosis import Diagnosis, diagnose
from exchange.connect.dialects import dameng_errors, mysql_errors, oracle_errors, sqlserver_errors
from exchange.connect.dialects import known as dialects
from exchange.errors import ConfigError, TransientError

_waits: dict[int, tuple[str, float]] = {}  # per thread: what it asked of a database, and when (Unix time)


class DatabaseConfigError(ConfigError):
    """A database cannot be used as it is described."""

    code = "database-config"
    remedy = "correct `database` in connector.yaml"


class BadValueError(DatabaseConfigError):
    """A query fails on the value of a row."""

    code = "bad-value"
    remedy = "correct the row, or the query that fails on it"


class DatabaseUnavailableError(TransientError):
    """A database does not answer, is locked, or has no space, for now."""

    code = "database-unavailable"
    remedy = "see that the database runs; the connector tries again by itself"


class Paths:
    """Resolves paths of connector.yaml: `${home}` is the home folder; others start at the connector's folder."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder.resolve()
        self.home = home.resolve()

    def fill(self, text: str) -> str:
        """`text` with `${home}` replaced; raises DatabaseConfigError for any other reference."""
        filled = text.replace("${home}", str(self.home))
        if "${" in filled:
            raise DatabaseConfigError("a reference in the file is not known", remedy="${home} is the only one")
        return filled

    def path(self, text: str) -> Path:
        """The path that `text` means."""
        return self.folder / self.fill(text)


def url(database: Database, paths: Paths) -> URL:
    """The database's complete URL, with the password read from its file."""
    try:
        parsed = make_url(paths.fill(database.url))
    except (ArgumentError, ValueError):
        # The cause is left out, because it can quote the password.
        raise DatabaseConfigError("the database URL cannot be read", remedy=_URLS) from None
    dialect = dialects.named(parsed.get_backend_name())
    if dialect is None:
        raise DatabaseConfigError(
            f"{parsed.get_backend_name()} is not supported", remedy=f"{_URLS}; or a python source"
        )
    if dialects.lacks_driver(dialect):
        raise DatabaseConfigError(
            f"what {dialect.title} needs is not installed", remedy=f"pip install 'exchange[{dialect.extra}]'"
        )
    # Each kind has one driver, whatever driver the URL names.
    parsed = parsed.set(drivername=dialect.drivername)
    if database.password_file:
        parsed = parsed.set(password=_password(database.password_file, paths))
    if fault := dialect.fault(parsed):
        raise DatabaseConfigError(f"the database URL {fault}", remedy=f"write {dialect.example}")
    if dialect.name == "sqlite" and parsed.database not in (None, "", ":memory:"):
        parsed = parsed.set(database=str(paths.folder / str(parsed.database)))
    return parsed


_URLS = f"write {' or '.join(dialect.example for dialect in dialects.KNOWN)}"


def _password(name: str, paths: Paths) -> str:
    try:
        lines = paths.path(name).read_text("utf-8-sig").splitlines()
    except (OSError, ValueError):
        raise DatabaseConfigError(
            f"password file {name} cannot be read", remedy="check its path and permissions; it is UTF-8"
        ) from None
    return lines[0] if lines else ""


def require_file(database: Database, paths: Paths) -> None:
    """Raise DatabaseConfigError if SQLite's file does not exist: opening it would create an empty one."""
    target = url(database, paths)
    if target.get_backend_name() == "sqlite" and not Path(target.database or "").is_file():
        raise DatabaseConfigError(f"there is no database file {target.database}", remedy="correct `database`")


def engine(database: Database, paths: Paths, *, writes: bool = False) -> Engine:
    """An engine for a source, or (`writes`) for a sink; no statement runs longer than the database's `timeout_s`.

    Text that is not UTF-8 comes with surrogates, and a value that Python cannot hold as Unreadable, so that one bad
    value spoils only its row.
    """
    target = url(database, paths)
    dialect = dialects.named(target.get_backend_name())
    assert dialect is not None
    with translated(f"open {target.database}"):
        return dialect.engine(target, database.timeout_s, writes=writes)


def connection(database: Database, paths: Paths, *, replication: bool = False) -> postgres.Connection:
    """A connection to PostgreSQL without SQLAlchemy, each statement committed for itself; raises psycopg's errors.

    With `replication`, it takes the commands of the replication protocol.
    """
    target = url(database, paths)
    if target.get_backend_name() != "postgresql":
        raise DatabaseConfigError("cdc needs PostgreSQL", remedy="use a cursor; or `database: postgresql://…`")
    dialect = target.get_dialect()()
    arguments, given = dialect.create_connect_args(target)
    more: dict[str, Any] = {"replication": "database"} if replication else {}
    limits = postgres.parameters(target.query, database.timeout_s)
    limits["options"] = f"{postgres.PLAIN} {limits['options']}"
    return postgres.connect(arguments, {**given, **limits, **more, "autocommit": True}, database.timeout_s)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise DatabaseUnavailableError if waiting can help, else DatabaseConfigError; neither quotes statement or values.

    Meanwhile `waiting` reports that this thread waits for its database.
    """
    thread, outer = threading.get_ident(), _waits.get(threading.get_ident())
    _waits[thread] = (what, time.time())
    try:
        yield
    except _raised() as error:
        found = _diagnose(error)
        if found.waiting_helps:
            raise DatabaseUnavailableError(f"{what}: {found.cause}", remedy=found.remedy) from error
        kind = BadValueError if found.of_value else DatabaseConfigError
        raise kind(f"{what}: {found.cause}", remedy=found.remedy) from error
    except OSError as error:  # of SQLite's file or its folder
        remedy = "make room, or let the connector's user write there; the connector goes on by itself then"
        raise DatabaseUnavailableError(f"{what}: {error.strerror or type(error).__name__}", remedy=remedy) from error
    finally:
        if outer is None:
            del _waits[thread]
        else:
            _waits[thread] = outer


def waiting(thread: int | None) -> tuple[str, float] | None:
    """What that thread has asked of a database without getting it yet, and since when (Unix time)."""
    return _waits.get(thread or 0)


def _raised() -> tuple[type[Exception], ...]:
    """What drivers raise, and Python for a value that they cannot make."""
    numbered = (mysql_errors, oracle_errors, sqlserver_errors, dameng_errors)
    drivers = tuple(each for errors in numbered for each in errors.raised())
    return SQLAlchemyError, psycopg.Error, sqlite3.Error, ValueError, ArithmeticError, *drivers


def _diagnose(error: BaseException) -> Diagnosis:
    if isinstance(error, PoolTimeoutError):
        return Diagnosis("no connection was free", "the connector goes on by itself", waiting_helps=True)
    origin = getattr(error, "orig", None) or error
    if isinstance(origin, mysql_errors.raised()):
        found = mysql_errors.diagnose(origin)
    elif isinstance(origin, oracle_errors.raised()):
        found = oracle_errors.diagnose(origin)
    elif isinstance(origin, sqlserver_errors.raised()):
        found = sqlserver_errors.diagnose(origin)
    elif isinstance(origin, dameng_errors.raised()):
        found = dameng_errors.diagnose(origin)
    else:
        found = diagnose(origin)
    if isinstance(error, DBAPIError) and error.connection_invalidated and not found.waiting_helps:
        return Diagnosis("the connection was lost", "the connector goes on by itself", waiting_helps=True)
    return found
