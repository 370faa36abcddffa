"""Takes records from an inbox into the reader's database, each exactly once."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.record import Record, records
from exchange.connect.delivered import HANDLE, HANDLE_BYTES, ROW, Delivered
from exchange.connect.rejects import RejectFile
from exchange.connect.row_change import RecordOrigin, Refused, RowChange
from exchange.connect.sink_layout import TableMismatchError
from exchange.connect.sink_table import SinkTable
from exchange.connect.sink_values import UnstorableError
from exchange.contract.key import name_schema
from exchange.contract.model import Subject
from exchange.errors import RecordError
from exchange.gap import GapError
from exchange.names import REPLAY_HEADER, REPLAY_ID, ROW_HEADER, inbox_topic
from exchange.records.header import RawBatch
from exchange.schema import avro, wire
from exchange.schema.avro import Schema
from exchange.schema.project import project

AT_ONCE = 20_000  # records of a transaction, beside those of its last batch: some seconds of work, and 100 MB
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


class _Written(NamedTuple):
    """The schema of records, and that of what is written of them: fields that are given no more are left out."""

    schema: Schema
    given: Schema


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
        self._schemas: dict[int, _Written | TableMismatchError] = {}
        self._names: dict[int, Schema] = {}
        self._is_confirmed = False
        self._remedy = f"exchange connector accept-gap {reader} {subject.id}"
        self._next: dict[int, int] = {}
        self._waiting: deque[RawBatch] = deque()  # what was fetched and is not taken in yet
        self._consumer = Consumer(cluster)
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
        changes: list[RowChange] = []
        rejected: list[tuple[str, str]] = []
        moved: dict[int, tuple[int, int]] = {}
        for batch in self._some(timeout_s):
            moved[batch.partition] = (self._next[batch.partition], batch.header.next_offset)
            for record in records(batch):
                try:
                    changes.append(self._change(record))
                except RecordError as error:
                    rejected.append((self._place(record.partition, record.offset), error.message))
        if not self._waiting:
            for (_, partition), (at, _) in self._consumer.positions().items():
                if at > self._next[partition]:  # with the markers after the last record
                    moved[partition] = (self._next[partition], at)
        if not moved:
            if self.lag() == 0:
                self._consumer.collect(0, is_at_rest=True)
            return Taken(0, 0, 0)

        def set_aside(refused: Refused) -> None:
            rejected.extend((self._place(origin.partition, origin.offset), reason) for origin, reason in refused)
            if rejected:
                self._rejects.write(rejected)

        refused = {origin for origin, _ in self._table.apply(self._topic, changes, moved, set_aside)}
        self._next.update({partition: after for partition, (_, after) in moved.items()})
        gone = sum(change.is_gone and change.origin not in refused for change in changes)
        return Taken(len(changes) - len(refused) - gone, gone, len(rejected))

    def _some(self, timeout_s: float) -> Iterator[RawBatch]:
        """What is taken in at once: batches of the last poll; of a new one if nothing is left."""
        if not self._waiting:
            self._waiting.extend(self._poll(timeout_s))
        taken = 0
        while self._waiting and taken < AT_ONCE:
            batch = self._waiting.popleft()
            taken += batch.header.records
            yield batch

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
        known = self._schemas.get(schema_id)
        if known is None:
            known = self._schemas[schema_id] = self._fitting(self._schema_of(schema_id))
        if isinstance(known, TableMismatchError):
            raise UnstorableError(f"of a schema that is not delivered any more: {known.message}")
        values = avro.decode(known.schema, body)
        if known.given is not known.schema:
            self._confirm_once()  # a newer grant may give these fields
            values = {name: values[name] for name in known.given.fields}
        return self._table.upsert(known.given, values | handle, origin)

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
        if schema_id not in self._names:
            schema = self._schema_of(schema_id)
            if missing := [name for name in key if name not in schema.fields]:
                raise RowHeaderError(f"the row's name is of a schema that has no {', '.join(missing)}")
            self._names[schema_id] = name_schema(schema, key)
        return self._table.withdraw(self._names[schema_id], avro.decode(self._names[schema_id], body), origin)

    def _confirm_once(self) -> None:
        """Confirm the terms, but once a poll: a publisher may have written any header to all of its records."""
        if not self._is_confirmed:
            self._confirm()
            self._is_confirmed = True

    def _fitting(self, schema: Schema) -> _Written | TableMismatchError:
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
        return _Written(schema, written)

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
