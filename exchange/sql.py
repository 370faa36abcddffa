"""The databases of the exchange's own tables: SQLite in a file of its own, or what a URL names."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from exchange import private
from exchange.errors import ConfigError

LOCK_S = 30  # how long a writer waits for another one


class DatabaseUrlError(ConfigError):
    """A setting names no database that can be used."""

    code = "database-url"
    remedy = "name SQLite or PostgreSQL, see README"


def url_of(named: str, file: Path) -> str:
    """The URL that a setting names; else that of SQLite in this file, which is made for its owner only."""
    return named or f"sqlite:///{private.file(file)}"


def engine_of(url: str, setting: str, *pragmas: str) -> Engine:
    """An engine for that URL; SQLite waits for other writers, has a write-ahead log, and gets these pragmas.

    Raises DatabaseUrlError, which tells people to look at `setting`.
    """
    try:
        engine = create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise DatabaseUrlError(f"{setting} names no usable database") from error

    def tune(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {LOCK_S * 1000}")
        _write_ahead(connection)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", tune)
    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Give the database a write-ahead log; SQLite refuses that at once, without its waiting, while others open it."""
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
