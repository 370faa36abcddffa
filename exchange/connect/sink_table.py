"""The table that a sink fills: created from the subject's schema, extended with it, written together with the offsets.

Its columns are the record's fields, all nullable except the key. Further columns describe the record from which a row
comes: `_partition` and `_offset`, its time `_time_ms` (null in rows older than this column), the `_replay` that
delivered it (null: the live flow), and the row's handle `_row` if the grant hides the subject's key.
`exchange_offsets` holds the next offset per topic and partition.

What is delivered and withdrawn of a row comes in order, replayed or not, so the later one counts. Without a key, every
record is kept; a replay brings none back that was deleted since.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exchange.connect import refusal, sink_layout
from exchange.connect.copy_notes import CopyNotes
from exchange.connect.database import translated
from exchange.connect.deletions import Deletions
from exchange.connect.delivered import HANDLE, ROW
from exchange.connect.dialects import known as dialects
from exchange.connect.held_copy import HeldCopy
from exchange.connect.offsets import OFFSETS, Offsets, making
from exchange.connect.row_change import RecordOrigin, Refused, RowChange
from exchange.connect.sink_layout import PLACE, REPLAY, TIME, Layout, TableChangedError, TableMismatchError
from exchange.connect.sink_rows import SinkRows
from exchange.connect.sink_values import Adapter, UnstorableError, adapted
from exchange.connect.stuck_rows import StuckRows
from exchange.errors import CorruptionError
from exchange.gap import Gap
from exchange.schema.avro import Schema
from exchange.schema.types import Field


class SinkTableError(CorruptionError):
    """The table holds records that the offsets say are still to come, or the other way round."""

    code = "sink-table"
    remedy = "restore both from one backup; or name another `table` for the sink, which goes on from there"


class SinkTable:
    """One table and its offsets, in one database; `key` are the columns that tell its rows apart.

    `rows` writes changes within a transaction of `apply_whole`; `name` is the table's, in the form of SQL.
    """

    def __init__(self, engine: Engine, name: str, key: Sequence[str], entity: str) -> None:
        self._engine = engine
        schema, _, self._name = name.rpartition(".")
        self._schema = schema or None
        self.key = tuple(key)
        self.entity = entity
        self.dialect = dialects.of(engine)
        self._fields: dict[str, Field] = {}
        self._state: str | None = None  # of the table, when last seen
        self._layout: Layout | None = None
        self._adapters: dict[Schema, dict[str, Adapter]] = {}
        self._insert: Any = self.dialect.insert
        self._offsets = Offsets(self._schema, self._insert)
        self._deletions = Deletions(self._schema, self._insert)
        self.rows = SinkRows(self._name, self._schema, key, entity, self._insert, self._deletions)
        self._copies = CopyNotes(self._schema, self._insert)
        self._stuck = StuckRows(self._schema, self._insert)

    @property
    def layout(self) -> Layout:
        """The table as `fit` left it."""
        assert self._layout is not None
        return self._layout

    @property
    def state(self) -> str:
        """A text that changes with the layout."""
        return self._state or ""

    def takes_columns(self) -> bool:
        """Whether rows can come by columns."""
        with translated(f"look at {self._name}"), self._engine.connect() as connection:
            return self.dialect.takes_columns(connection)

    def copy(self, topic: str) -> HeldCopy:
        """What the table holds of that inbox, as a whole."""
        return HeldCopy(self._engine, self._name, self._schema, topic, self._copies)

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The next offset to read in each partition; 0 if nothing was read yet."""
        with translated("read offsets"), making(self._engine) as connection:
            self._offsets.create(connection)
            self._deletions.create(connection)
            self._copies.create(connection)
            self._stuck.create(connection)
            return self._offsets.read(connection, topic, partitions)

    def topic_id(self, topic: str, now: str) -> str:
        """The id of the topic to which these offsets belong; if none was noted before, `now` is noted and returned."""
        with translated("read offsets"), self._engine.begin() as connection:
            return self._offsets.topic_id(connection, topic, now)

    def skip(self, topic: str, moved: Mapping[int, tuple[int, int]]) -> None:
        """Move the offsets, partition → (from, to), without taking in what was there; as `apply` does."""
        with translated("move offsets"), self._moving(topic, moved):
            pass

    def pass_over(self, gaps: Iterable[Gap], person: str, reason: str, now: datetime) -> None:
        """Go on after these gaps, all or none; raises OtherSinkError if the sink is not at one of them any more."""
        with translated("move offsets"), self._engine.begin() as connection:
            for gap in gaps:
                self._offsets.pass_over(connection, gap, person, reason, now)

    def examine(self, delivered: Schema) -> None:
        """Raise what `fit` would raise because of the table, without changing the database."""
        sink_layout.check_names(self._name, delivered.fields, self.dialect)
        with translated(f"look at {self._name}"), self._engine.connect() as connection:
            layout = sink_layout.read(connection, self._name, self._schema)
            if layout is not None:
                sink_layout.check(self._name, layout, self._columns(delivered), self.key)

    def fit(self, schema: Schema) -> bool:
        """Create the table, or add columns of the schema that it lacks; return whether it was created.

        Raises TableMismatchError if an existing column or key does not fit the schema, and TableChangedError if someone
        has changed the table since an earlier call.
        """
        fields = self._columns(schema)
        if missing := [name for name in self.key if name not in fields]:
            raise TableMismatchError(
                f"{self._name}: what is delivered has no {', '.join(missing)}, by which its rows are told apart",
                remedy=sink_layout.REMEDY,
            )
        sink_layout.check_names(self._name, schema.fields, self.dialect)
        with translated(f"make {self._name}"), making(self._engine) as connection:
            if self._state is not None:
                self._check_unchanged(connection)
            layout = sink_layout.read(connection, self._name, self._schema)
            is_new = layout is None
            if layout is None:
                sink_layout.create(connection, self._name, self._schema, fields, self.key)
            else:
                sink_layout.check(self._name, layout, fields, self.key)
                sink_layout.grow(connection, self._name, self._schema, layout, fields)
            self._layout = sink_layout.read(connection, self._name, self._schema)
            self._state = sink_layout.state(connection, self._name, self._schema)
        self._fields |= fields
        self._adapt_to(schema)
        return is_new

    def _columns(self, schema: Schema) -> Mapping[str, Field]:
        """What a row consists of whose record has that schema."""
        return {**schema.fields, **(HANDLE.fields if ROW in self.key else {})}

    def keeps(self, field: Field) -> bool:
        """Whether the field's column keeps each of its values as it is, or refuses it."""
        return self.dialect.keeps(field, self.layout.type_of(field.name))

    def keeps_text(self, name: str) -> bool:
        """Whether what the table holds in that column are texts."""
        return name == ROW or (name in self._fields and self._fields[name].solid.means == "string")

    def _adapt_to(self, schema: Schema) -> dict[str, Adapter]:
        assert self._layout is not None
        self._adapters[schema] = {
            name: self._layout.adapter(field, tells_apart=name in (*self.key, self.entity))
            for name, field in self._columns(schema).items()
        }
        return self._adapters[schema]

    def upsert(self, schema: Schema, record: Mapping[str, Any], origin: RecordOrigin) -> RowChange:
        """The change that writes this record, whose schema fits, with its handle if rows go by it.

        Raises UnstorableError if the database cannot hold it.
        """
        row = adapted(record, self._adapters[schema])
        for name in self.key:
            if row[name] is None:
                raise UnstorableError(f"{name}: null in a field of the subject's `key`")
        place = dict(zip(PLACE, (origin.partition, origin.offset), strict=True))
        return RowChange(row | place | {TIME: origin.time_ms, REPLAY: origin.replay}, origin)

    def withdraw(self, schema: Schema, name: Mapping[str, Any], origin: RecordOrigin) -> RowChange:
        """The change that removes the row of that name, which has a value for each column of the key.

        Raises UnstorableError if the database could never have held it.
        """
        return RowChange(adapted(name, self._adapters.get(schema) or self._adapt_to(schema)), origin, is_gone=True)

    def delete(self, key: bytes, origin: RecordOrigin) -> RowChange:
        """The change that removes the rows of the entity with that record key; raises UnstorableError if it is none."""
        of_entity = next((each[self.entity] for each in self._adapters.values() if self.entity in each), None)
        if of_entity is None:
            raise UnstorableError("a tombstone, but the table has no column of the entity")
        try:
            return RowChange({self.entity: of_entity(key.decode())}, origin, is_gone=True)
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
    ) -> Refused:
        """Apply the changes and move the offsets, partition → (from, to), in one transaction.

        Leaves out records that the database refuses; returns them. `set_aside` gets them before the commit; if it
        fails, nothing is done. Raises OtherSinkError, having done nothing, if the offsets are not at `from`.
        """
        write = partial(self.rows.write, topic=topic, changes=changes)
        if self.apply_whole(topic, write if changes else None, moved, set_aside):
            return ()
        with translated(f"write {self._name}"), self._moving(topic, moved, is_change=True) as connection:
            self._check_unchanged(connection)  # before any record is blamed
            self._end_deferral(connection)
            refused = self._write_accepted(connection, topic, changes)
            self._check_unchanged(connection)
            set_aside(refused)
        return refused

    def apply_whole(
        self,
        topic: str,
        write: Callable[[Connection], None] | None,
        moved: Mapping[int, tuple[int, int]],
        set_aside: Callable[[Refused], None],
    ) -> bool:
        """As `apply`, for whatever `write` does; returns False, having done nothing, if the database refuses a record.

        `set_aside` is called without any; nothing is written if `write` is None.
        """
        with translated(f"write {self._name}"):
            try:
                with self._moving(topic, moved, is_change=write is not None) as connection:
                    if write is not None:
                        write(connection)
                    # After writing: from then on nobody can change the table.
                    self._check_same(connection, self.dialect.sealed(connection, self._name, self._schema))
                    set_aside(())
            except refusal.raised() as error:
                if refusal.reason(error) is None:
                    raise
                return False
        return True

    def _check_unchanged(self, connection: Connection) -> None:
        """Raise TableMismatchError or TableChangedError unless the table is as `fit` left it."""
        self._check_same(connection, sink_layout.state(connection, self._name, self._schema))

    def _check_same(self, connection: Connection, state: str) -> None:
        if state == self._state:
            return
        layout = sink_layout.read(connection, self._name, self._schema)
        if layout is not None:
            sink_layout.check(self._name, layout, self._fields, self.key)
        raise TableChangedError(f"{self._name} was changed while the sink ran")

    @contextmanager
    def _moving(
        self, topic: str, moved: Mapping[int, tuple[int, int]], *, is_change: bool = False
    ) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            self._offsets.move(connection, topic, moved)
            yield connection
            if is_change:
                self._copies.change(connection, topic, int(time.time() * 1000))

    def _end_deferral(self, connection: Connection) -> None:
        """Have the department's deferred constraints checked now: at the commit it is too late to set records aside."""
        self.dialect.check_deferred(connection)

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
                if part[0].is_gone:
                    self._note_stuck(connection, topic, part[0], reason)
                refused.append((part[0].origin, reason))
                at += 1
        return refused

    def _note_stuck(self, connection: Connection, topic: str, change: RowChange, reason: str) -> None:
        """Note the rows that this change was to remove; there are none if their key is what the database refuses."""
        try:
            with connection.begin_nested():
                places = self.rows.found(connection, topic, change)
        except refusal.raised() as error:
            if refusal.reason(error) is None:
                raise
            return
        self._stuck.note(connection, topic, places, reason, int(time.time() * 1000))

    def _attempt(self, connection: Connection, topic: str, part: Sequence[RowChange]) -> str | None:
        """Write all of these changes; if the database refuses one, write none of them and return the reason."""
        try:
            with connection.begin_nested():
                self.rows.write(connection, topic, part)
        except refusal.raised() as error:
            reason = refusal.reason(error)
            if reason is None:
                raise
            return reason
        return None

    def _check_new(self, connection: Connection, origin: RecordOrigin) -> None:
        """Raise SinkTableError if the record that the database refuses is in the table already."""
        if self.key:
            return
        partition, offset = self.rows.target(PLACE).c
        here = (partition == origin.partition) & (offset == origin.offset)
        if connection.scalar(sa.select(partition).where(here).limit(1)) is not None:
            raise SinkTableError(f"{self._name} holds records that {OFFSETS} says are still to come")

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()
