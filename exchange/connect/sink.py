"""Takes records from an inbox into the reader's database, each exactly once."""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.record import Record, records_of
from exchange.connect.at_once import listed, scanned
from exchange.connect.delivered import HANDLE, HANDLE_BYTES, ROW, Delivered, Written
from exchange.connect.rejects import RejectFile
from exchange.connect.row_change import RecordOrigin, Refused, RowChange
from exchange.connect.sink_layout import TableMismatchError
from exchange.connect.sink_pace import Pace
from exchange.connect.sink_table import SinkTable
from exchange.connect.sink_values import UnstorableError
from exchange.contract.key import name_schema
from exchange.contract.model import Subject
from exchange.errors import RecordError
from exchange.gap import GapError
from exchange.names import REPLAY_HEADER, REPLAY_ID, ROW_HEADER, inbox_topic
from exchange.records.compiler import give_back
from exchange.records.header import RawBatch
from exchange.schema import avro, wire
from exchange.schema.avro import Schema
from exchange.schema.project import project

if TYPE_CHECKING:
    from exchange.connect.sink_columns import SinkColumns
    from exchange.records.scan import Run

AT_ONCE, AT_ONCE_BYTES = 10_000, 8 << 20  # records of a transaction, and about how many bytes of them
FETCH_BYTES = 4 << 20  # more would only wait in memory
FEW = 100  # so many go row by row: kernels, which take a second to load, are for more;
LEAST = 30  # once a sink of this process has loaded them, columns are for more than so many
_COLUMNS = "exchange.connect.sink_columns"
_log = logging.getLogger("exchange.connect")


class RowHeaderError(RecordError):
    """A record of an inbox does not say which row it is about, as it has to under the reader's grant."""

    code = "row-header"
    remedy = "if it was delivered under an earlier grant, have it delivered again (exchange grant replay --again)"


class Taken(NamedTuple):
    """How many records a sink took in: rows written, records that took rows away, records set aside."""

    applied: int
    withdrawn: int
    rejected: int


Moved = Mapping[int, tuple[int, int]]
"""Partition → (offset before, offset after)."""


class Sink:
    """Reads one inbox from where the database says, and writes rows and offsets together.

    `delivered` is what the reader gets, which the table fits; `confirm` raises TermsChangedError if the newest contract
    says something else. `schema_of` finds the schema of any id. After a failure, make a new sink.
    """

    is_finished = False
    waits = True

    def __init__(
        self,
        cluster: Cluster,
        reader: str,
        subject: Subject,
        table: SinkTable,
        delivered: Delivered,
        confirm: Callable[[], None],
        schema_of: Callable[[int], Schema],
        rejects: RejectFile,
        *,
        is_new_table: bool,
    ) -> None:
        self._topic = inbox_topic(reader, subject.id)
        self.copy = table.copy(self._topic)
        self._table = table
        self._schema_of = schema_of
        self._rejects = rejects
        self._delivered = delivered
        self._confirm = confirm
        self._schemas: dict[int, Written | TableMismatchError] = {}
        self._names: dict[int, Schema] = {}
        self._is_confirmed = False
        self._remedy = f"exchange connector accept-gap {reader} {subject.id}"
        self._next: dict[int, int] = {}
        self._waiting: deque[RawBatch] = deque()  # what was fetched and is not taken in yet
        self._at_once = min(FEW, AT_ONCE)  # so the first rows are there soon; doubled with each part that was taken in
        self._has_no_columns = not table.takes_columns()
        self._pace = Pace()
        self._consumer = Consumer(cluster, fetch_bytes=FETCH_BYTES)
        try:
            self._read(range(subject.topic.partitions))
            if is_new_table and any(self._next.values()):
                # This is no mistake: people go on like this, with a table of another name.
                _log.warning(
                    "the sink's table was not there and is made: it gets what comes from now on; the rest comes with "
                    "exchange grant replay --again",
                    extra={"topic": self._topic},
                )
        except BaseException:
            self._consumer.close()
            raise

    def _read(self, partitions: Iterable[int]) -> None:
        """Read these partitions, and all others of the inbox: someone may add partitions at any time."""
        there = self._next.keys() | {*partitions, *self._consumer.partitions(self._topic)}
        if there > self._next.keys():
            self._next = self._table.offsets(self._topic, there)
            now = self._consumer.topic_ids([self._topic]).get(self._topic, "")
            places = {(self._topic, p): at for p, at in self._next.items()}
            self._consumer.assign(places, {self._topic: self._table.topic_id(self._topic, now)} if now else {})
            self._waiting.clear()

    def step(self, timeout_s: float) -> Taken:
        """Take in what one poll returns, or a part of it; return how many records that were.

        Raises GapError if Kafka deleted deliveries before they were taken in: a person says how to go on.
        """
        self._read(())
        self._is_confirmed = False
        batches = self._some(timeout_s)
        self._pace.begin()
        by_rows = self._at_once <= FEW or self._has_no_columns or self._are_few(batches)
        part = (listed if by_rows else scanned)(batches, self._at_once)
        moved = {batch.partition: (self._next[batch.partition], batch.header.next_offset) for batch in batches}
        if part.rest is not None:
            moved[part.rest.partition] = (self._next[part.rest.partition], part.rest.from_offset)
        elif not self._waiting:
            for (_, partition), (at, _) in self._consumer.positions().items():
                if at > self._next[partition]:  # with the markers after the last record
                    moved[partition] = (self._next[partition], at)
        if not moved:
            if self.lag() == 0 and self._pace.is_rare():
                self._consumer.collect(0, is_at_rest=True)
            return Taken(0, 0, 0)
        taken = self._by_rows(part.records, moved) if by_rows else self._by_columns(part.runs, moved)
        if taken is None:
            self._at_once = max(FEW, part.rows // 2)
            self._waiting.extendleft(reversed(batches))
            return self.step(timeout_s)
        if part.rest is not None:
            self._waiting.appendleft(part.rest)
        self._at_once = min(AT_ONCE, 2 * self._at_once)
        self._next.update({partition: after for partition, (_, after) in moved.items()})
        self._consumer.collect(self._pace.end())
        return taken

    def _some(self, timeout_s: float) -> list[RawBatch]:
        """What is taken in at once: batches of the last poll; of a new one if nothing is left."""
        if not self._waiting:
            self._waiting.extend(self._poll(timeout_s))
        some: list[RawBatch] = []
        records = size = 0
        while self._waiting and records < self._at_once and size < AT_ONCE_BYTES:
            some.append(self._waiting.popleft())
            records += some[-1].header.records
            size += len(some[-1].data)
        return some

    def _are_few(self, batches: Sequence[RawBatch]) -> bool:
        """Whether these records would cost more by columns."""
        few = min(FEW, LEAST) if _COLUMNS in sys.modules else FEW
        return sum(batch.header.records for batch in batches) <= few

    def _by_columns(self, runs: Mapping[int, Run], moved: Moved) -> Taken | None:
        """Take these records in; None if they have to go row by row, or in smaller parts, and nothing was done."""
        prepared = self._columns.prepare(runs)
        if prepared is None:
            found = [each for partition, run in runs.items() for each in records_of(run, self._topic, partition)]
            return self._by_rows(found, moved)

        def set_aside(_: Refused) -> None:
            if prepared.rejected:
                self._rejects.write([(self._place(*place), reason) for place, reason in prepared.rejected])

        if not self._table.apply_whole(self._topic, prepared.write, moved, set_aside):
            return None
        give_back()
        gone = sum(change.is_gone for change in prepared.changes)
        written = prepared.written + len(prepared.changes) - gone
        return Taken(written, prepared.removed + gone, len(prepared.rejected))

    def _by_rows(self, found: Sequence[Record], moved: Moved) -> Taken:
        """Take these records in; those that the database refuses are set aside."""
        changes: list[RowChange] = []
        rejected: list[tuple[str, str]] = []
        for record in found:
            try:
                changes.append(self._change(record))
            except RecordError as error:
                rejected.append((self._place(record.partition, record.offset), error.message))

        def set_aside(refused: Refused) -> None:
            rejected.extend((self._place(origin.partition, origin.offset), reason) for origin, reason in refused)
            if rejected:
                self._rejects.write(rejected)

        refused = {origin for origin, _ in self._table.apply(self._topic, changes, moved, set_aside)}
        gone = sum(change.is_gone and change.origin not in refused for change in changes)
        return Taken(len(changes) - len(refused) - gone, gone, len(rejected))

    @cached_property
    def _columns(self) -> SinkColumns:
        from exchange.connect.sink_columns import SinkColumns  # kernels, which only those who need them load

        return SinkColumns(self._table, self._topic, self._written, self._named, self._change, self._confirm_once)

    def _poll(self, timeout_s: float) -> list[RawBatch]:
        try:
            return self._consumer.poll(timeout_s)
        except GapError as error:
            remedy = f"if they can be delivered again, do so after `{self._remedy}`, which goes on behind them"
            raise GapError(error.gaps, remedy=remedy) from error

    def _place(self, partition: int, offset: int) -> str:
        return f"{self._topic}/{partition} offset {offset}"

    def _change(self, record: Record) -> RowChange:
        origin = RecordOrigin(record.partition, record.offset, record.timestamp_ms, _replay(record))
        said = _row_header(record)
        try:
            if record.value is None:
                return self._removal(record, said, origin)
            handle = {ROW: _handle(said)} if ROW in self._table.key else {}
        except RecordError:
            self._confirm_once()
            raise
        if said is not None and len(said) == HANDLE_BYTES and not handle:
            self._confirm_once()  # if the key is hidden now, its fields would not tell rows apart
        schema_id, body = wire.unpack(record.value)
        known = self._known(schema_id)
        if isinstance(known, TableMismatchError):
            raise UnstorableError(f"of a schema that is not delivered any more: {known.message}")
        values = avro.decode(known.schema, body)
        if known.given is not known.schema:
            self._confirm_once()  # a newer grant may give these fields
            values = {name: values[name] for name in known.given.fields}
        return self._table.upsert(known.given, values | handle, origin)

    def _known(self, schema_id: int) -> Written | TableMismatchError:
        if schema_id not in self._schemas:
            self._schemas[schema_id] = self._fitting(self._schema_of(schema_id))
        return self._schemas[schema_id]

    def _written(self, schema_id: int) -> Written | None:
        known = self._known(schema_id)
        return known if isinstance(known, Written) else None

    def _removal(self, record: Record, said: bytes | None, origin: RecordOrigin) -> RowChange:
        """What a record without value removes: the row of that handle or name, or all rows of an entity."""
        key = self._table.key
        if ROW in key:
            return self._table.withdraw(HANDLE, {ROW: _handle(said)}, origin)
        if said is None or not key:
            if said is not None:
                self._confirm_once()  # if there is a key now, this is one row of the entity
            return self._table.delete(record.key or b"", origin)
        schema_id, body = wire.unpack(said)
        schema = self._named(schema_id)
        return self._table.withdraw(schema, avro.decode(schema, body), origin)

    def _named(self, schema_id: int) -> Schema:
        """The schema of a row's name by that of its record; raises RecordError if there is none."""
        if schema_id not in self._names:
            schema, key = self._schema_of(schema_id), self._table.key
            if missing := [name for name in key if name not in schema.fields]:
                raise RowHeaderError(f"the row's name is of a schema that has no {', '.join(missing)}")
            self._names[schema_id] = name_schema(schema, key)
        return self._names[schema_id]

    def _confirm_once(self) -> None:
        """Confirm the terms, but once a poll: a publisher may have written any header to all of its records."""
        if not self._is_confirmed:
            self._confirm()
            self._is_confirmed = True

    def _fitting(self, schema: Schema) -> Written | TableMismatchError:
        """The schema, with the table extended for what is given of it; if the table does not fit that, the reason why.

        Raises TableMismatchError if the table does not fit what is delivered now either.
        """
        given = [name for name in schema.fields if name in self._delivered.fields]
        written = schema if len(given) == len(schema.fields) else project(schema, given)
        try:
            self._table.fit(written)
        except TableMismatchError as error:
            self._confirm()
            self._table.fit(self._delivered.schema)
            return error
        return Written(schema, written)

    def lag(self) -> int | None:
        """How many offsets are still to be read; None if the broker has not yet said where the partitions end."""
        positions = self._consumer.positions()
        if len(positions) < len(self._next):
            return None
        return sum(max(0, end - self._next[partition]) for (_, partition), (_, end) in positions.items())

    def close(self) -> None:
        """Disconnect from Kafka and the database."""
        self._table.close()
        self._consumer.close()


def _replay(record: Record) -> str | None:
    """The replay that delivered the record, as the router marked it; None for the live flow.

    A publisher can write that header too, so a value that cannot be a replay's id is ignored.
    """
    marks = [value.decode(errors="replace") for name, value in record.headers if name == REPLAY_HEADER and value]
    return marks[-1] if marks and re.fullmatch(REPLAY_ID, marks[-1]) else None


def _row_header(record: Record) -> bytes | None:
    """What the router says of the record's row, behind all that a publisher wrote; None if it says nothing."""
    said = [value or b"" for name, value in record.headers if name == ROW_HEADER]
    return said[-1] if said else None


def _handle(said: bytes | None) -> str:
    if said is None or len(said) != HANDLE_BYTES:
        raise RowHeaderError(f"no row's handle of {HANDLE_BYTES} bytes, which the grant gives in place of the key")
    return said.hex()
