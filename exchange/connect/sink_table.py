"""The table that a sink fills: made from the subject's schema, grown with it, moved on with the offsets.

Columns are the record's fields, all nullable but the key, and of the record that a row comes from
`_partition` and `_offset`, its time `_time_ms` (null in rows from before there was that column) and the
`_replay` that brought it (null: the live flow). `exchange_offsets` says, per topic and partition, what comes next.

Live records of one key come in order, so that the later one counts. One that a replay brings can be older
than what is there: it replaces a row only where that is not newer by `_time_ms`, or came with the same replay
(which goes in order), and does not bring back what was deleted since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from exchange.connect import refusal, sink_layout
from exchange.connect.database import translated
from exchange.connect.deletions import Deletions
from exchange.connect.offsets import OFFSETS, Offsets, making
from exchange.connect.sink_layout import PLACE, REPLAY, TIME, TableChangedError, TableMismatchError
from exchange.connect.sink_values import Adapter, UnstorableError, adapter
from exchange.errors import CorruptionError
from exchange.gap import Gap
from exchange.schema.avro import Schema
from exchange.schema.types import Field

RAW = sa.types.NullType()


class SinkTableError(CorruptionError):
    """The table holds records that the offsets say are still to come, or the other way round."""

    code = "sink-table"
    remedy = "restore both from one backup; or name another `table` for the sink, which goes on from there"


@dataclass(frozen=True)
class RecordOrigin:
    """The record that a change comes from: its place in the inbox, its time in ms, the replay that brought it."""

    partition: int
    offset: int
    time_ms: int
    replay: str | None = None


@dataclass(frozen=True)
class RowChange:
    """A row to write, as `SinkTable.upsert` made it, or (None) the entity whose rows go."""

    row: Mapping[str, Any] | None
    entity: Any
    origin: RecordOrigin


Refused = Sequence[tuple[RecordOrigin, str]]
"""Records that the database refused, and why."""


class SinkTable:
    """One table and its offsets, in one database."""

    def __init__(self, engine: Engine, name: str, key: Sequence[str], entity: str) -> None:
        self._engine = engine
        schema, _, self._name = name.rpartition(".")
        self._schema = schema or None
        self._key = tuple(key)
        self._entity = entity
        self._sqlite = engine.dialect.name == "sqlite"
        self._fields: dict[str, Field] = {}
        self._state: str | None = None  # of the table, when it was looked at last
        self._adapters: dict[Schema, dict[str, Adapter]] = {}
        self._insert: Any = sqlite.insert if self._sqlite else postgresql.insert
        self._offsets = Offsets(self._schema, self._insert)
        self._deletions = Deletions(self._schema, self._insert)

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Where each partition is to be read from; 0 where nothing was yet."""
        with translated("read offsets"), making(self._engine) as connection:
            self._offsets.create(connection)
            self._deletions.create(connection)
            return self._offsets.read(connection, topic, partitions)

    def topic_id(self, topic: str, now: str) -> str:
        """The id of the topic whose offsets those are; `now`, which is noted, where none was noted before."""
        with translated("read offsets"), self._engine.begin() as connection:
            return self._offsets.topic_id(connection, topic, now)

    def pass_over(self, gaps: Iterable[Gap], person: str, reason: str, now: datetime) -> None:
        """Go on behind these gaps, all or none; OtherSinkError where the sink is not at one of them any more."""
        with translated("move offsets"), self._engine.begin() as connection:
            for gap in gaps:
                self._offsets.pass_over(connection, gap, person, reason, now)

    def examine(self, delivered: Schema) -> None:
        """What `fit` would refuse because of the table, without a change to the database."""
        sink_layout.check_names(self._name, delivered.fields, is_sqlite=self._sqlite)
        with translated(f"look at {self._name}"), self._engine.connect() as connection:
            layout = sink_layout.read(connection, self._name, self._schema)
            if layout is not None:
                sink_layout.check(self._name, layout, delivered.fields, self._key)

    def fit(self, schema: Schema) -> bool:
        """Make the table, or add the columns of the schema that it does not have yet; return whether it was made.

        TableMismatchError where a column or key that is there does not go with the schema; TableChangedError
        where someone has changed the table since it was made fit for another one.
        """
        missing = [name for name in self._key if name not in schema.fields]
        if missing:
            raise TableMismatchError(
                f"{self._name}: what is delivered has no {', '.join(missing)}", remedy="correct the sink's `key`"
            )
        sink_layout.check_names(self._name, schema.fields, is_sqlite=self._sqlite)
        with translated(f"make {self._name}"), making(self._engine) as connection:
            if self._state is not None:
                self._check_unchanged(connection)
            layout = sink_layout.read(connection, self._name, self._schema)
            is_new = layout is None
            if layout is None:
                sink_layout.create(connection, self._name, self._schema, schema.fields, self._key)
            else:
                sink_layout.check(self._name, layout, schema.fields, self._key)
                sink_layout.grow(connection, self._name, self._schema, layout, schema.fields)
            layout = sink_layout.read(connection, self._name, self._schema)
            self._state = sink_layout.state(connection, self._name, self._schema)
        assert layout is not None
        self._fields |= schema.fields
        self._adapters[schema] = {
            name: adapter(field, layout.type_of(name), is_sqlite=self._sqlite) for name, field in schema.fields.items()
        }
        return is_new

    def upsert(self, schema: Schema, record: Mapping[str, Any], origin: RecordOrigin) -> RowChange:
        """The change that writes this record of a schema that fits; UnstorableError if the database cannot hold it."""
        adapters = self._adapters[schema]
        row: dict[str, Any] = {}
        name = ""
        try:
            for name, value in record.items():
                row[name] = adapters[name](value)
        except UnstorableError as error:
            raise UnstorableError(f"{name}: {error.message}") from None
        for name in self._key:
            if row[name] is None:
                raise UnstorableError(f"{name}: null in a field of the sink's `key`")
        place = dict(zip(PLACE, (origin.partition, origin.offset), strict=True))
        return RowChange(row | place | {TIME: origin.time_ms, REPLAY: origin.replay}, row.get(self._entity), origin)

    def delete(self, key: bytes, origin: RecordOrigin) -> RowChange:
        """The change that removes the rows of the entity with that record key; UnstorableError where it is none."""
        of_entity = next((each[self._entity] for each in self._adapters.values() if self._entity in each), None)
        if of_entity is None:
            raise UnstorableError("a tombstone, where the table has no column of the entity")
        try:
            return RowChange(None, of_entity(key.decode()), origin)
        except UnicodeDecodeError as error:
            raise UnstorableError("a tombstone whose key is not an entity") from error
        except UnstorableError as error:
            raise UnstorableError(f"a tombstone whose key is not an entity: {error.message}") from None

    def apply(
        self,
        topic: str,
        changes: Sequence[RowChange],
        moved: Mapping[int, tuple[int, int]],
        set_aside: Callable[[Refused], None],
    ) -> int:
        """Take in the changes and move the offsets, partition → (from, to), in one transaction.

        Records that the database refuses are left out; return how many. `set_aside` gets them before the
        commit: if it fails, nothing was done. OtherSinkError where the offsets are not at `from`: nothing was done.
        """
        with translated(f"write {self._name}"):
            try:
                with self._moving(topic, moved) as connection:
                    self._write(connection, topic, changes)
                    self._end_deferral(connection)
                    self._check_unchanged(connection)  # after the write, which lets nobody change the table any more
                    set_aside(())
                return 0
            except refusal.RAISED as error:
                if refusal.reason(error) is None:
                    raise
            with self._moving(topic, moved) as connection:
                self._check_unchanged(connection)  # before any record is blamed for it
                self._end_deferral(connection)
                refused = self._write_accepted(connection, topic, changes)
                self._check_unchanged(connection)
                set_aside(refused)
        return len(refused)

    def _check_unchanged(self, connection: Connection) -> None:
        """TableMismatchError or TableChangedError where the table is not as it was when it was made fit."""
        if sink_layout.state(connection, self._name, self._schema) == self._state:
            return
        layout = sink_layout.read(connection, self._name, self._schema)
        if layout is not None:
            sink_layout.check(self._name, layout, self._fields, self._key)
        raise TableChangedError(f"{self._name} was changed while the sink ran")

    @contextmanager
    def _moving(self, topic: str, moved: Mapping[int, tuple[int, int]]) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            for partition, (before, after) in moved.items():
                self._offsets.move(connection, topic, partition, before, after)
            yield connection

    def _end_deferral(self, connection: Connection) -> None:
        """Have the user's deferred constraints looked at now: at the commit no record could be set aside any more."""
        if not self._sqlite:
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")

    def _write(self, connection: Connection, topic: str, changes: Sequence[RowChange]) -> None:
        for run in _runs(changes):
            if run[0].row is None:
                self._delete(connection, topic, run)
            else:
                self._upsert(connection, self._not_deleted(connection, topic, run))

    def _write_accepted(self, connection: Connection, topic: str, changes: Sequence[RowChange]) -> Refused:
        """Write, in order, all changes that the database accepts; return the others.

        What is refused as a whole is tried again in halves; what is accepted doubles the next part. So one bad
        record costs few attempts, and many cost no more than two for each.
        """
        refused: list[tuple[RecordOrigin, str]] = []
        at, size = 0, max(1, len(changes) // 2)
        while at < len(changes):
            part = changes[at : at + size]
            reason = self._attempt(connection, topic, part)
            if reason is None:
                at, size = at + len(part), 2 * size
            elif len(part) > 1:
                size = len(part) // 2
            else:
                self._check_new(connection, part[0].origin)
                refused.append((part[0].origin, reason))
                at += 1
        return refused

    def _attempt(self, connection: Connection, topic: str, part: Sequence[RowChange]) -> str | None:
        """Write the changes, or none of them and return why the database refuses one."""
        try:
            with connection.begin_nested():
                self._write(connection, topic, part)
        except refusal.RAISED as error:
            reason = refusal.reason(error)
            if reason is None:
                raise
            return reason
        return None

    def _check_new(self, connection: Connection, origin: RecordOrigin) -> None:
        """SinkTableError where the record that the database refuses is one that the table holds already."""
        if self._key:
            return
        target = sa.table(self._name, *(sa.column(name, sa.BigInteger) for name in PLACE), schema=self._schema)
        partition, offset = (target.c[name] for name in PLACE)
        here = (partition == origin.partition) & (offset == origin.offset)
        if connection.execute(sa.select(sa.exists().where(here))).scalar_one():
            raise SinkTableError(f"{self._name} holds records that {OFFSETS} says are still to come")

    def _not_deleted(self, connection: Connection, topic: str, run: Sequence[RowChange]) -> list[Mapping[str, Any]]:
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
        connection.execute(insert, rows)

    def _delete(self, connection: Connection, topic: str, run: Sequence[RowChange]) -> None:
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

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()


def _may_replace(target: sa.TableClause, time_ms: Any, replay: str) -> sa.ColumnElement[bool]:
    """Whether a row may give way to a record of that time, which that replay brings."""
    return sa.or_(target.c[REPLAY] == replay, target.c[TIME] <= time_ms)


def _runs(changes: Sequence[RowChange]) -> list[list[RowChange]]:
    """The changes in order, cut where a deletion follows an upsert, the fields differ or another flow begins."""
    runs: list[list[RowChange]] = []
    shape: Any = ()
    for change in changes:
        before, shape = shape, (change.origin.replay, None if change.row is None else tuple(change.row))
        if not runs or shape != before:
            runs.append([])
        runs[-1].append(change)
    return runs
