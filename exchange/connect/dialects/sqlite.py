"""SQLite, in a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, Connection, Engine

from exchange import private
from exchange.connect import postgres
from exchange.connect.dialects import sqlite_types
from exchange.connect.dialects.dialect import Dialect
from exchange.connect.sink_values import Adapter, Type, or_null
from exchange.schema.types import Field
from exchange.sql import write_ahead

_making = threading.Lock()  # between the sinks of one connector, because SQLite has no such lock


class SQLite(Dialect):
    """SQLite. Its names are the same if they differ in case only, and any column takes values of any type."""

    name, title, drivername = "sqlite", "SQLite", "sqlite"
    example = "sqlite:///file.db"
    folds_names = True
    mixes_types = True
    binds_plainly = True
    numbers_keys = True
    row_id = "_rowid_"

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        """A sink's SQLite uses a write-ahead log, so that sources can read while it is written."""
        if writes and url.database:
            private.folder(Path(url.database).parent)
        made = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": postgres.LOCK_S})
        event.listen(made, "connect", _writer if writes else _reader)
        return made

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        cursor: Any = connection.execute(query).cursor
        yield from cursor

    def about(self, connection: Connection, query: Select[Any]) -> int | None:
        counted = sa.select(sa.func.count()).select_from(query.order_by(None).subquery())
        return int(connection.scalar(counted) or 0)

    def column_type(self, field: Field, key_size: int = 0) -> Type:
        return sqlite_types.column_type(field)

    def type_name(self, column: Type) -> str:
        return sqlite_types.type_name(column)

    def keeps(self, field: Field, column: Type) -> bool:
        return sqlite_types.keeps(field, column)

    def adapter(self, field: Field, column: Type) -> Adapter:
        return or_null(sqlite_types.adapter(field, column))

    def insert(self, table: Any) -> Any:
        return sqlite.insert(table)

    def takes_columns(self, connection: Connection) -> bool:
        return True

    @contextmanager
    def making(self, engine: Engine) -> Iterator[Connection]:
        with _making, engine.begin() as connection:
            yield connection

    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        master = f"{connection.dialect.identifier_preparer.quote(schema)}.sqlite_master" if schema else "sqlite_master"
        driver: Any = connection.connection
        query = f"SELECT rootpage || sql FROM {master} WHERE name = ? COLLATE NOCASE"
        found = driver.execute(query, (table,)).fetchone()
        return str(found[0] or "") if found else ""

    def check_deferred(self, connection: Connection) -> None:
        """SQLite looks at deferred foreign keys at the commit only."""

    @contextmanager
    def in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        deadline = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)


def _reader(connection: Any, _record: object) -> None:
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")


def _writer(connection: Any, _record: object) -> None:
    write_ahead(connection, postgres.LOCK_S)
    # A power cut may undo the last commits, rows and offsets alike: these records are then read again.
    connection.execute("PRAGMA synchronous=NORMAL")
