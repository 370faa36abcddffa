"""The table that a sink fills: made from the subject's schema, grown with it, moved on with the offsets.

Columns are the record's fields, all nullable but the key, and of the record that a row comes from
`_partition` and `_offset`, its time `_time_ms` (null in rows from before there was that column) and the
`_replay` that brought it (null: the live flow). `exchange_offsets` says, per topic and partition, what comes next.

Live records of one key come in order, so that the later one counts. One that a replay brings can be older
than what is there: it replaces a row only where that is not newer by `_time_ms`, or came with the same replay
(which goes in order), and does not bring back what was deleted since.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import CreateColumn

from exchange.connect.database import DatabaseConfigError, translated
from exchange.connect.deletions import Deletions
from exchange.errors import CorruptionError, RecordError, TransientError
from exchange.schema.avro import Field, Schema

OFFSETS = "exchange_offsets"
PLACE = ("_partition", "_offset")
TIME, REPLAY = "_time_ms", "_replay"
RAW = sa.types.NullType()
_making = threading.Lock()  # the sinks of one connector share the offsets' table


class OtherSinkError(TransientError):
    """Another process moved this sink's offsets: what was read here is to be read again from there."""

    code = "other-sink"


class SinkTableError(CorruptionError):
    """The table holds records that the offsets say are still to come, or the other way round."""

    code = "sink-table"


class UnstorableError(RecordError):
    """A record has a value that the database has no room for."""

    code = "unstorable"


@dataclass(frozen=True)
class Origin:
    """The record that a change comes from: its place in the inbox, its time in ms, the replay that brought it."""

    partition: int
    offset: int
    time_ms: int
    replay: str | None = None


@dataclass(frozen=True)
class Change:
    """A row to write, as `SinkTable.upsert` made it, or (None) the entity whose rows go."""

    row: Mapping[str, Any] | None
    entity: Any
    origin: Origin


class SinkTable:
    """One table and its offsets, in one database."""

    def __init__(self, engine: Engine, name: str, key: Sequence[str], entity: str) -> None:
        self._engine = engine
        schema, _, self._name = name.rpartition(".")
        self._schema = schema or None
        self._key = tuple(key)
        self._entity = entity
        self._sqlite = engine.dialect.name == "sqlite"
        self._columns: dict[str, Field] = {}
        self._adapters: dict[str, Callable[[Any], Any]] = {}
        self._insert: Any = sqlite.insert if self._sqlite else postgresql.insert
        self._offsets = sa.Table(
            OFFSETS,
            sa.MetaData(schema=self._schema),
            sa.Column("topic", sa.Text, primary_key=True),
            sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("next_offset", sa.BigInteger, nullable=False),
        )
        self._deletions = Deletions(self._schema, self._insert)

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Where each partition is to be read from; 0 where nothing was yet."""
        with _making, translated("read offsets"), self._engine.begin() as connection:
            self._offsets.create(connection, checkfirst=True)
            self._deletions.create(connection)
            known = sa.select(self._offsets.c.partition, self._offsets.c.next_offset)
            rows = connection.execute(known.where(self._offsets.c.topic == topic)).all()
        return dict.fromkeys(partitions, 0) | {row[0]: row[1] for row in rows}

    def examine(self) -> None:
        """DatabaseConfigError where the database does not answer, or has a table of that name for something else."""
        with translated(f"look at {self._name}"), self._engine.connect() as connection:
            there = sa.inspect(connection)
            if there.has_table(self._name, self._schema):
                self._check_ours({c["name"] for c in there.get_columns(self._name, self._schema)})

    def _check_ours(self, have: set[str]) -> None:
        if not have.issuperset((*PLACE, *self._key)):
            raise DatabaseConfigError(
                f"{self._name} is a table of something else", remedy="give the sink another `table`, or drop this one"
            )

    def fit(self, schema: Schema) -> None:
        """Make the table, or add the columns of the schema that it does not have yet."""
        missing = [name for name in self._key if name not in schema.fields]
        if missing:
            raise DatabaseConfigError(
                f"{self._name}: what is delivered has no {', '.join(missing)}", remedy="correct the sink's `key`"
            )
        with translated(f"make {self._name}"), self._engine.begin() as connection:
            there = sa.inspect(connection)
            if not there.has_table(self._name, self._schema):
                self._table(schema.fields.values()).create(connection)
            else:
                have = {c["name"] for c in there.get_columns(self._name, self._schema)}
                self._grow(connection, have, [f for name, f in schema.fields.items() if name not in have])
        self._columns |= schema.fields
        self._adapters |= {name: self._adapter(field) for name, field in schema.fields.items()}

    def upsert(self, record: Mapping[str, Any], origin: Origin) -> Change:
        """The change that writes this record; UnstorableError where the database cannot hold it."""
        row = {name: self._adapters[name](value) for name, value in record.items()}
        place = dict(zip(PLACE, (origin.partition, origin.offset), strict=True))
        return Change(row | place | {TIME: origin.time_ms, REPLAY: origin.replay}, row.get(self._entity), origin)

    def delete(self, key: bytes, origin: Origin) -> Change:
        """The change that removes the rows of the entity with that record key; UnstorableError where it is none."""
        field = self._columns.get(self._entity)
        if field is None:
            raise UnstorableError("a tombstone, where the table has no column of the entity")
        try:
            return Change(None, int(key) if field.base in ("int", "long") else key.decode(), origin)
        except ValueError as error:
            raise UnstorableError("a tombstone whose key is not an entity") from error

    def _grow(self, connection: Connection, have: set[str], fields: Sequence[Field]) -> None:
        self._check_ours(have)
        quoted = connection.dialect.identifier_preparer.format_table(self._table(()))
        ours = [column for column in _origin_columns() if column.name not in have]
        for added in [*ours, *(sa.Column(field.name, self._type(field)) for field in fields)]:
            column = CreateColumn(added).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {quoted} ADD COLUMN {column}")

    def _table(self, fields: Iterable[Field]) -> sa.Table:
        primary = self._key or PLACE
        columns = [
            sa.Column(
                f.name,
                self._type(f),
                primary_key=f.name in primary,
                nullable=f.name not in primary,
                autoincrement=False,
            )
            for f in fields
        ]
        places = [
            sa.Column(name, sa.BigInteger, primary_key=name in primary, nullable=False, autoincrement=False)
            for name in PLACE
        ]
        return sa.Table(self._name, sa.MetaData(schema=self._schema), *columns, *places, *_origin_columns())

    def _type(self, field: Field) -> sa.types.TypeEngine[Any]:
        match field.base, field.logical:
            case _, "decimal":
                return sa.Numeric()  # without limits, as a later schema may widen them
            case _, "date":
                return sa.Date()
            case _, "timestamp-millis" | "timestamp-micros":
                return sa.DateTime(timezone=True)
            case _, "local-timestamp-millis" | "local-timestamp-micros":
                return sa.DateTime()
            case _, "time-millis" | "time-micros":
                return sa.Time()
            case "boolean", _:
                return sa.Boolean()
            case "int" | "long", _:
                return sa.BigInteger()
            case "float" | "double", _:
                return sa.Double()
            case "bytes" | "fixed", _:
                return sa.LargeBinary()
        return sa.Text()

    def apply(self, topic: str, changes: Sequence[Change], moved: Mapping[int, tuple[int, int]]) -> None:
        """Take in the changes and move the offsets, partition → (from, to), in one transaction.

        OtherSinkError where the offsets are not at `from`: nothing was done.
        """
        with translated(f"write {self._name}"), self._engine.begin() as connection:
            for partition, (before, after) in moved.items():
                self._move(connection, topic, partition, before, after)
            for run in _runs(changes):
                if run[0].row is None:
                    self._delete(connection, topic, run)
                else:
                    self._upsert(connection, self._not_deleted(connection, topic, run))

    def _move(self, connection: Connection, topic: str, partition: int, before: int, after: int) -> None:
        offsets = self._offsets
        if before == 0:
            start = self._insert(offsets).values(topic=topic, partition=partition, next_offset=0)
            connection.execute(start.on_conflict_do_nothing())
        here = (offsets.c.topic == topic) & (offsets.c.partition == partition) & (offsets.c.next_offset == before)
        if connection.execute(offsets.update().where(here).values(next_offset=after)).rowcount != 1:
            raise OtherSinkError(f"the offset of {topic}/{partition} was moved by another process")

    def _not_deleted(self, connection: Connection, topic: str, run: Sequence[Change]) -> list[Mapping[str, Any]]:
        """The rows to write: all of live records, of replayed ones those that were not deleted since."""
        gone: Mapping[Any, int] = {}
        if run[0].origin.replay is not None:
            gone = self._deletions.times(connection, topic, {change.entity for change in run})
        kept = (change for change in run if gone.get(change.entity, change.origin.time_ms - 1) < change.origin.time_ms)
        return [change.row for change in kept if change.row is not None]

    def _upsert(self, connection: Connection, rows: list[Mapping[str, Any]]) -> None:
        if not rows:
            return
        target = sa.table(self._name, *(sa.column(name, RAW) for name in rows[0]), schema=self._schema)
        insert = self._insert(target)
        if self._key:
            others = {name: insert.excluded[name] for name in rows[0] if name not in self._key}
            newer = None if rows[0][REPLAY] is None else _may_replace(target, insert.excluded[TIME], rows[0][REPLAY])
            keys = [target.c[name] for name in self._key]
            insert = insert.on_conflict_do_update(index_elements=keys, set_=others, where=newer)
        try:
            connection.execute(insert, rows)
        except sa.exc.IntegrityError as error:
            raise SinkTableError(
                f"{self._name} does not go with {OFFSETS}", remedy="drop the table and its offsets to fill it anew"
            ) from error

    def _delete(self, connection: Connection, topic: str, run: Sequence[Change]) -> None:
        columns = (sa.column(self._entity, RAW), sa.column(TIME, sa.BigInteger), sa.column(REPLAY, sa.Text))
        target = sa.table(self._name, *columns, schema=self._schema)
        where = target.c[self._entity] == sa.bindparam("entity", type_=RAW)
        replay = run[0].origin.replay
        if replay is not None:
            where &= _may_replace(target, sa.bindparam("time_ms"), replay)
        gone = [{"entity": change.entity, "time_ms": change.origin.time_ms} for change in run]
        connection.execute(sa.delete(target).where(where), gone if replay else [{"entity": g["entity"]} for g in gone])
        for change in run:
            self._deletions.note(connection, topic, change.entity, change.origin.time_ms)

    def _adapter(self, field: Field) -> Callable[[Any], Any]:
        """A value as the driver stores it without loss.

        SQLite has no decimals and no times. A decimal goes in as text: the column's affinity makes a
        number of it only where none of the first 15 digits is lost. Times are UTC in ISO form.
        """
        if field.base in ("array", "map", "record", "union"):
            return lambda value: None if value is None else json.dumps(value, ensure_ascii=False, default=str)
        if field.logical == "uuid" or (
            self._sqlite and field.logical in ("decimal", "date", "time-millis", "time-micros")
        ):
            return lambda value: None if value is None else str(value)
        if not self._sqlite:
            return _postgres_text if field.base == "string" else lambda value: value
        match field.logical:
            case str():
                return _sqlite_time
        return lambda value: value

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()


def _origin_columns() -> list[sa.Column[Any]]:
    return [sa.Column(TIME, sa.BigInteger), sa.Column(REPLAY, sa.Text)]


def _may_replace(target: sa.TableClause, time_ms: Any, replay: str) -> sa.ColumnElement[bool]:
    """Whether a row may give way to a record of that time, which that replay brings."""
    return (target.c[REPLAY] == replay) | (target.c[TIME] <= time_ms)


def _postgres_text(value: str | None) -> str | None:
    if value is not None and "\0" in value:
        raise UnstorableError("PostgreSQL cannot hold text with a zero character")
    return value


def _sqlite_time(value: datetime | None) -> str | None:
    if value is None:
        return None
    moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return moment.isoformat(" ", "microseconds")


def _runs(changes: Sequence[Change]) -> list[list[Change]]:
    """The changes in order, cut where a deletion follows an upsert, the fields differ or another flow begins."""
    runs: list[list[Change]] = []
    shape: Any = ()
    for change in changes:
        before, shape = shape, (change.origin.replay, None if change.row is None else tuple(change.row))
        if not runs or shape != before:
            runs.append([])
        runs[-1].append(change)
    return runs
