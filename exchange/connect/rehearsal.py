"""Does to a database what a sink would do, and undoes it, so that `check` finds what would stop `run`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from exchange.connect import database, sink_layout
from exchange.connect.config import Database, SinkConfig
from exchange.connect.database import DatabaseConfigError, Paths, translated
from exchange.connect.delivered import Delivered
from exchange.connect.dialects import known as dialects
from exchange.connect.sink_layout import PLACE, REPLAY, TIME
from exchange.connect.sink_table import SinkTable


class Rehearsal:
    """Takes the place of an engine: all that is done with it is one transaction, which `dispose` undoes."""

    def __init__(self, engine: Engine) -> None:
        self.url = engine.url
        self._engine = engine
        self._connection: Connection | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """The one connection; if the block fails, what it did is undone at once."""
        if self._connection is None:
            self._connection = self._engine.connect()
            self._connection.begin()
        with self._connection.begin_nested():
            yield self._connection

    connect = begin

    def dispose(self) -> None:
        """Undo everything."""
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


def rehearse(config: SinkConfig, where: Database, paths: Paths, topic: str, entity: str, delivered: Delivered) -> None:
    """Create or extend the table, note offsets, and exercise every right that a sink needs; leave no trace.

    Raises what `run` would raise. A SQLite file that does not exist is not created; only its folder is checked. Where
    making a table cannot be undone, only what is there is looked at, and written to for no row.
    """
    real = _engine(where, paths)
    if not dialects.of(real).undoes_ddl:
        _examine(real, config, entity, delivered)
        return
    engine: Any = Rehearsal(real)
    table = SinkTable(engine, config.table_name, delivered.key, entity)
    try:
        table.fit(delivered.schema)
        next_offset = table.offsets(topic, [0])[0]
        table.apply(topic, [], {0: (next_offset, next_offset)}, lambda _: None)
        with translated(f"write {config.table_name}"), engine.begin() as connection:
            _write_nothing(connection, config, delivered)
    finally:
        table.close()


def _examine(engine: Engine, config: SinkConfig, entity: str, delivered: Delivered) -> None:
    table = SinkTable(engine, config.table_name, delivered.key, entity)
    schema, _, name = config.table_name.rpartition(".")
    try:
        table.examine(delivered.schema)
        with translated(f"write {config.table_name}"), engine.begin() as connection:
            layout = sink_layout.read(connection, name, schema or None)
            if layout is not None and not layout.missing([*delivered.schema.fields, *delivered.key, TIME, REPLAY]):
                _write_nothing(connection, config, delivered)
    finally:
        table.close()


def _write_nothing(connection: Connection, config: SinkConfig, delivered: Delivered) -> None:
    """Run a sink's statements for no row: they need the same rights, columns and unique index."""
    schema, _, name = config.table_name.rpartition(".")
    columns = list(dict.fromkeys([*delivered.schema.fields, *delivered.key, *PLACE, TIME, REPLAY]))
    target = sa.table(name, *(sa.column(c) for c in columns), schema=schema or None)
    nothing = sa.select(*(sa.null() for _ in columns)).where(sa.false())
    insert: Any = dialects.of(connection.engine).insert(target).from_select(columns, nothing)
    if delivered.key:
        others = {c: insert.excluded[c] for c in columns if c not in delivered.key}
        insert = insert.on_conflict_do_update(index_elements=delivered.key, set_=others)
    connection.execute(insert)
    connection.execute(sa.delete(target).where(sa.false()))


def _engine(where: Database, paths: Paths) -> Engine:
    target = database.url(where, paths)
    if target.get_backend_name() != "sqlite":
        return database.engine(where, paths)
    if target.database and not Path(target.database).exists():
        require_writable(Path(target.database))
        where = Database(url="sqlite://")
    made = database.engine(where, paths)

    # By default, Python's driver begins a transaction only with the first INSERT, not when a table is created.
    @event.listens_for(made, "connect")
    def _by_hand(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return made


def require_writable(path: Path) -> None:
    """Raise DatabaseConfigError unless a database file of that name can be made."""
    nearest = next(folder for folder in path.parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DatabaseConfigError(f"the database file {path} cannot be made", remedy="see to the rights of its folder")
