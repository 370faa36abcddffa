"""Engines for the departments' databases, with the library's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from exchange import private
from exchange.connect.config import Database
from exchange.errors import ConfigError, TransientError

BUSY_TIMEOUT_S = 30
# UTC, so that the cursor's timestamps are written the same way every time; an end for a connection that went dead.
POSTGRESQL = {"connect_timeout": 10, "options": "-c timezone=UTC", "keepalives_idle": 30, "tcp_user_timeout": 60_000}


class DatabaseConfigError(ConfigError):
    """A database cannot be used as it is described."""

    code = "database-config"


class DatabaseUnavailableError(TransientError):
    """A database does not answer, or is locked, for now."""

    code = "database-unavailable"


class Paths:
    """What paths in connector.yaml mean: `${home}` is the home folder, others start at the connector's."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder.resolve()
        self.home = home.resolve()

    def fill(self, text: str) -> str:
        """`text` with `${home}` replaced; DatabaseConfigError for any other reference."""
        filled = text.replace("${home}", str(self.home))
        if "${" in filled:
            raise DatabaseConfigError("a reference in the file is not known", remedy="${home} is the only one")
        return filled

    def path(self, text: str) -> Path:
        """The path that `text` means."""
        return self.folder / self.fill(text)


def url(database: Database, paths: Paths) -> URL:
    """The database's complete URL, with the password out of its file."""
    try:
        parsed = make_url(paths.fill(database.url))
    except ArgumentError as error:
        raise DatabaseConfigError(
            "the database URL cannot be read", remedy="sqlite:///file or postgresql+psycopg://…"
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseConfigError(
            f"{parsed.get_backend_name()} is not supported", remedy="use SQLite or PostgreSQL, or a python source"
        )
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if database.password_file:
        try:
            lines = paths.path(database.password_file).read_text().splitlines()
        except OSError as error:
            raise DatabaseConfigError(
                f"password file {database.password_file} cannot be read", remedy="check its path and permissions"
            ) from error
        parsed = parsed.set(password=lines[0] if lines else "")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        parsed = parsed.set(database=str(paths.folder / str(parsed.database)))
    return parsed


def require_file(database: Database, paths: Paths) -> None:
    """DatabaseConfigError where SQLite's file is not there: opening it would make an empty one."""
    target = url(database, paths)
    if target.get_backend_name() == "sqlite" and not Path(target.database or "").is_file():
        raise DatabaseConfigError(f"there is no database file {target.database}", remedy="correct `database`")


def engine(database: Database, paths: Paths, *, writes: bool = False) -> Engine:
    """An engine for a source, or (`writes`) for a sink.

    SQLite: text that is not UTF-8 comes with surrogates, so that one bad value spoils one row only.
    A sink's database gets a write-ahead log, which lets sources read on while it is written.
    """
    target = url(database, paths)
    if target.get_backend_name() == "sqlite":
        if writes and target.database:
            private.folder(Path(target.database).parent)
        made = sqlalchemy.create_engine(target, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(made, "connect", _sqlite_writer if writes else _sqlite_reader)
        return made
    return sqlalchemy.create_engine(target, hide_parameters=True, pool_pre_ping=True, connect_args=POSTGRESQL)


def _sqlite_reader(connection: Any, _record: object) -> None:
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")


def _sqlite_writer(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    # After a power cut the last commits may be gone, rows and offsets alike: they are read again.
    connection.execute("PRAGMA synchronous=NORMAL")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise TransientError where waiting can help, DatabaseConfigError otherwise; no statement, no values."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        if isinstance(error, OperationalError) and "no such" in str(error.orig):
            raise DatabaseConfigError(
                f"{what}: a table or column does not exist", remedy="exchange connector check"
            ) from error
        raise DatabaseUnavailableError(f"{what}: the database does not answer ({_name(error)})") from error
    except SQLAlchemyError as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise DatabaseUnavailableError(f"{what}: the connection was lost") from error
        raise DatabaseConfigError(f"{what}: refused ({_name(error)})", remedy="exchange connector check") from error


def _name(error: SQLAlchemyError) -> str:
    origin = getattr(error, "orig", None)
    return type(origin or error).__name__
