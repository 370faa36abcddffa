"""The databases of the exchange's own tables: SQLite in a file of its own, or what a URL names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from exchange import private
from exchange.errors import ConfigError


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

    def tune(connection: Any, _record: object) -> None:
        for pragma in ("busy_timeout = 30000", "journal_mode = WAL", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", tune)
    return engine
