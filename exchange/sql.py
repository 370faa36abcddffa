"""Databases for the exchange's own tables: SQLite in a file of its own, or what a URL names."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from exchange import private
from exchange.errors import ConfigError
from exchange.waiting import patiently

LOCK_S = 30  # how long a writer waits for another one


class DatabaseUrlError(ConfigError):
    """A setting names a database that cannot be used."""

    code = "database-url"
    remedy = "name SQLite or PostgreSQL, see README"


def url_of(named: str, file: Path) -> str:
    """The URL that a setting names, or else that of SQLite in this file, which is created for its owner only."""
    return named or f"sqlite:///{private.file(file)}"


def engine_of(url: str, setting: str, *pragmas: str) -> Engine:
    """An engine for that URL; SQLite waits for other writers, uses a write-ahead log, and gets these pragmas.

    Raises DatabaseUrlError, which names `setting`.
    """
    try:
        engine = create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise DatabaseUrlError(f"{setting} names no usable database") from error

    def tune(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {LOCK_S * 1000}")
        write_ahead(connection, LOCK_S)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", tune)
    return engine


def write_ahead(connection: sqlite3.Connection, wait_s: float) -> None:
    """Switch to a write-ahead log. While others open the database, SQLite refuses this at once instead of waiting."""

    def passes(error: Exception) -> bool:
        return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY

    patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), passes, wait_s, 0.01)
