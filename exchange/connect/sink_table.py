"""The table that a sink fills: created from the subject's schema, extended with it, written together with the offsets.

Its columns are the record's fields, all nullable except the key. Further columns describe the record from which a row
comes: `_partition` and `_offset`, its time `_time_ms` (null in rows older than this column), and the `_replay` that
delivered it (null: the live flow). `exchange_offsets` holds the next offset per topic and partition.

Live records of one key come in order, so the later one counts. A record from a replay can be older than the row. It
replaces the row only if that is not newer by `_time_ms`, or came with the same replay (which goes in order); and it
does not bring back what was deleted since.
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
    """The record from which a change comes: its place in the inbox, its time in ms, the replay that delivered it."""

    partition: int
    offset: int
    time_ms: int
    replay: str | None = None


@dataclass(frozen=True)
class RowChange:
    """A row to write, made by `SinkTable.upsert`, or (None) an entity whose rows are deleted."""

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
        self._state: str | None = None  # of the table, when last seen
        self._adapters: dict[Schema, dict[str, Adapter]] = {}
        self._insert: Any = sqlite.insert if self._sqlite else postgresql.insert
        self._offsets = Offsets(self._schema, self._insert)
        self._deletions = Deletions(self._schema, self._insert)

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The next offset to read in each partition; 0 if nothing was read yet."""
        with translated("read offsets"), making(self._engine) as connection:
            self._offsets.create(connection)
            self._deletions.create(connection)
            return self._offsets.read(connection, topic, partitions)

    def topic_id(self, topic: str, now: str) -> str:
        """The id of the topic to which these offsets belong; if none was noted before, `now` is noted and returned."""
        with translated("read offsets"), self._engine.begin() as connection:
            return self._offsets.topic_id(connection, topic, now)

    def pass_over(self, gaps: Iterable[Gap], person: str, reason: str, now: datetime) -> None:
        """Go on after these gaps, all or none; raises OtherSinkError if the sink is not at one of them any more."""
        with translated("move offsets"), self._engine.begin() as connection:
            for gap in gaps:
                self._offsets.pass_over(connection, gap, person, reason, now)

    def examine(self, delivered: Schema) -> None:
        """Raise what `fit` would raise because of the table, without changing the database."""
        sink_layout.check_names(self._name, delivered.fields, is_sqlite=self._sqlite)
        with translated(f"look at {self._name}"), self._engine.connect() as connection:
            layout = sink_layout.read(connection, self._name, self._schema)
            if layout is not None:
                sink_layout.check(self._name, layout, delivered.fields, self._key)

    def fit(self, schema: Schema) -> bool:
        """Create the table, or add columns of the schema that it lacks; return whether it was created.

        Raises TableMismatchError if an existing column or key does not fit the schema, and TableChangedError if someone
        has changed the table since an earlier call.
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
        """The change that writes this record, whose schema fits; UnstorableError if the database cannot hold it."""
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
        """The change that removes the rows of the entity with that record key; raises UnstorableError if it is none."""
        of_entity = next((each[self._entity] for each in self._adapters.values() if self._entity in each), None)
        if of_entity is None:
            raise UnstorableError("a tombstone, but the table has no column of the entity")
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
        """Apply the changes and move the offsets, partition → (from, to), in one transaction.

        Leaves out records that the database refuses; returns how many. `set_aside` gets them before the commit; if it
        fails, nothing is done. Raises OtherSinkError, having done nothing, if the offsets are not at `from`.
        """
        with translated(f"write {self._name}"):
            try:
                with self._moving(topic, moved) as connection:
                    self._write(connection, topic, changes)
                    self._end_deferral(connection)
                    self._check_unchanged(connection)  # after writing: from then on nobody can change the table
                    set_aside(())
                return 0
            except refusal.RAISED as error:
                if refusal.reason(error) is None:
                    raise
            with self._moving(topic, moved) as connection:
                self._check_unchanged(connection)  # before any record is blamed
                self._end_deferral(connection)
                refused = self._write_accepted(connection, topic, changes)
                self._check_unchanged(connection)
                set_aside(refused)
        return len(refused)

    def _check_unchanged(self, connection: Connection) -> None:
        """Raise TableMismatchError or TableChangedError unless the table is as `fit` left it."""
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
        """Have the department's deferred constraints checked now: at the commit it is too late to set records aside."""
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

        A part that is refused is tried again in halves; after a part is accepted, the next one is twice as long. So
        one bad record costs few attempts, and many cost at most two each.
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
        """Write all of these changes; if the database refuses one, write none of them and return the reason."""
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
        """Raise SinkTableError if the record that the database refuses is in the table already."""
        if self._key:
            return
        target = sa.table(self._name, *(sa.column(name, sa.BigInteger) for name in PLACE), schema=self._schema)
        partition, offset = (target.c[name] for name in PLACE)
        here = (partition == origin.partition) & (offset == origin.offset)
        if connection.execute(sa.select(sa.exists().where(here))).scalar_one():
            raise SinkTableError(f"{self._name} holds records that {OFFSETS} says are still to come")

    def _not_deleted(self, connection: Connection, topic: str, run: Sequence[RowChange]) -> list[Mapping[str, Any]]:
        """The rows to write: all live ones; replayed ones only if they were not deleted since."""
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
    """Whether a row may be replaced by a record of that time from that replay."""
    return sa.or_(target.c[REPLAY] == replay, target.c[TIME] <= time_ms)


def _runs(changes: Sequence[RowChange]) -> list[list[RowChange]]:
    """The changes in order, cut where deletions and upserts alternate, the fields differ, or another flow begins."""
    runs: list[list[RowChange]] = []
    shape: Any = ()
    for change in changes:
        before, shape = shape, (change.origin.replay, None if change.row is None else tuple(change.row))
        if not runs or shape != before:
            runs.append([])
        runs[-1].append(change)
    return runs
