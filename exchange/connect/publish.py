"""Publishes a page of rows as one transaction: records, and the progress of their source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.bus.produce import Producer
from exchange.connect import cursor
from exchange.connect.coerce import RowRejectedError
from exchange.connect.column_encoder import MAX_RECORD_BYTES, ColumnEncoder
from exchange.connect.encode import encoder
from exchange.connect.rejects import RejectFile
from exchange.connect.row_key import NoRowKeyError, RowKey
from exchange.connect.source import Bad, Deleted, Encoded, Page, Row
from exchange.connect.text_rows import TextRows
from exchange.contract.model import Subject
from exchange.errors import RecordError
from exchange.names import ROW_HEADER, cursor_topic, subject_topic
from exchange.records.build import NO_HEADERS, join, pack, sections
from exchange.records.partition import partitions
from exchange.records.values import Values
from exchange.records.warm_up_source import warm_up
from exchange.schema import wire
from exchange.schema.avro import Schema

Transform = Callable[[Row], Row | None]


@dataclass(frozen=True, eq=False)
class Records:
    """What became of a page's rows: keys, values and headers to publish, and (place, reason) of the rejected ones.

    `rows` (int64[n], ascending) says of which row each record is.
    """

    rows: np.ndarray
    keys: Values
    values: Values
    headers: Values
    rejected: Sequence[tuple[str, str]]

    @classmethod
    def merged(cls, one: Records, other: Records) -> Records:
        """The records of both, in the order of their rows."""
        rows = np.concatenate([one.rows, other.rows])
        order = np.argsort(rows)
        keys = Values.joined([one.keys, other.keys]).at(order)
        values = Values.joined([one.values, other.values]).at(order)
        headers = Values.joined([one.headers, other.headers]).at(order)
        return cls(rows[order], keys, values, headers, [*one.rejected, *other.rejected])


class Encoder:
    """Turns rows into records of one subject; a row that does not fit is rejected with the reason.

    `row_key` is None if the subject has no key: then no row can be deleted. `columns` writes most rows of PostgreSQL
    at once.
    """

    def __init__(
        self,
        subject: Subject,
        schema_id: int,
        schema: Schema,
        convert: Callable[[Row], dict[str, Any]],
        transform: Transform | None = None,
        row_key: RowKey | None = None,
        columns: ColumnEncoder | None = None,
    ) -> None:
        self._subject = subject.id
        self._entity = subject.entity.field
        self._schema_id = schema_id
        self._encode = encoder(schema)
        self._convert = convert
        self._transform = transform
        self._row_key = row_key
        self._columns = columns

    @property
    def key(self) -> tuple[str, ...]:
        """The fields that tell rows apart; raises NoRowKeyError if there are none."""
        return self._keyed().fields

    def encode(self, page: Page) -> Records:
        """Process every row: it becomes a record, is rejected, or is skipped by the transform.

        Raises NoRowKeyError if a row is deleted and the subject has no key.
        """
        written = self._columns.write(page.rows) if self._columns and isinstance(page.rows, TextRows) else None
        if written is None:
            return self._by_row(page, range(len(page.rows)))
        rows = np.flatnonzero(written.values.length >= 0)
        headers = Values.repeated(NO_HEADERS, len(rows))
        records = Records(rows, written.keys.at(rows), written.values.at(rows), headers, [])
        if len(rows) == len(page.rows):
            return records
        return Records.merged(records, self._by_row(page, np.flatnonzero(written.values.length < 0).tolist()))

    def _by_row(self, page: Page, some: Iterable[int]) -> Records:
        """Process these rows one by one."""
        rows: list[int] = []
        columns: tuple[list[bytes | None], ...] = ([], [])
        gone: list[bytes | None] = []
        header: list[int] = []  # of each record: 0 for none, or the number in `gone`, from 1
        rejected: list[tuple[str, str]] = []
        for index in some:
            try:
                made = self.record(page.rows[index])
            except RecordError as error:
                rejected.append((page.place(index), error.message))
                continue
            if made is not None:
                rows.append(index)
                for column, value in zip(columns, (made.key, made.value), strict=True):
                    column.append(value)
                if made.value is None:
                    assert made.name is not None
                    gone.append(wire.pack(self._schema_id, made.name))
                header.append(0 if made.value is not None else len(gone))
        keys, values = map(Values.of, columns)
        named = sections({}, ROW_HEADER, Values.of(gone))
        headers = Values.joined([Values.of([NO_HEADERS]), named]).at(np.array(header, np.int64))
        return Records(np.array(rows, np.int64), keys, values, headers, rejected)

    def record(self, row: Row | Deleted | Bad | Encoded) -> Encoded | None:
        """The record that a row becomes, named if the subject has a key; None if the transform skips the row.

        Raises RowRejectedError if it is neither.
        """
        if isinstance(row, Encoded):
            return row
        if isinstance(row, Bad):
            raise RowRejectedError(row.reason)
        if isinstance(row, Deleted):
            name = self.name(row.row)
            return None if name is None else self.gone(name)
        mapped = self._mapped(row)
        if mapped is None:
            return None
        record = self._convert(mapped)
        body = self._encode(record)
        entity = record.get(self._entity)
        key = None if entity is None else str(entity).encode()
        if len(body) + len(key or b"") > MAX_RECORD_BYTES:
            raise RowRejectedError(f"a record of more than {MAX_RECORD_BYTES} bytes")
        name = None if self._row_key is None else self._row_key.of_record(record)
        return Encoded(key, wire.pack(self._schema_id, body), name)

    def name(self, row: Row) -> bytes | None:
        """The name of a row of the source, of which only the key's fields need be there; None if it is skipped."""
        mapped = self._mapped(row)
        return None if mapped is None else self._keyed().of_row(mapped)

    def gone(self, name: bytes) -> Encoded:
        """The record that says that the row with that name is deleted."""
        return Encoded(self._keyed().entity(name), None, name)

    def _keyed(self) -> RowKey:
        if self._row_key is None:
            raise NoRowKeyError(self._subject)
        return self._row_key

    def _mapped(self, row: Row) -> Row | None:
        if not isinstance(row, Mapping):  # it comes from a source that the department wrote
            raise RowRejectedError(f"{type(row).__name__}, not a mapping")
        return row if self._transform is None else _mapped(self._transform, row)


class Publisher:
    """Commits pages of one subject, each exactly once; after a failure the caller renews the producer."""

    def __init__(
        self, subject: Subject, encoder: Encoder, rejects: RejectFile, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._subject = subject
        self._encoder = encoder
        self._rejects = rejects
        self._clock = clock

    def publish(self, producer: Producer, page: Page) -> tuple[int, int]:
        """Write the page and its progress as one transaction; return how many rows were published and rejected."""
        warm_up()  # before the transaction; and not at the start, for a source that has nothing new needs no kernels
        records = self._encoder.encode(page)
        if records.rejected:
            self._rejects.write(records.rejected)
        now = int(self._clock() * 1000)
        topic, count = subject_topic(self._subject.id), self._subject.topic.partitions
        target = partitions(records.keys, count)
        stamps = np.full(len(target), now, np.int64)
        progress = cursor.key_values(self._subject.id, page.progress)
        with producer.transaction() as transaction:
            for partition in np.unique(target).tolist():
                rows = np.flatnonzero(target == partition)
                batches = join(records.keys, records.values, stamps, rows, headers=records.headers)
                transaction.send(topic, partition, batches)
            transaction.send(
                cursor_topic(self._subject.owner), cursor.PARTITION, pack(*progress, [now] * len(page.progress))
            )
        return len(records.rows), len(records.rejected)


def _mapped(transform: Transform, row: Row) -> Row | None:
    try:
        mapped = transform(row)
        if isinstance(mapped, Mapping):
            return dict(mapped)
    except (Exception, SystemExit) as error:
        # The department's own code: whatever it raises concerns this row. The message could quote it.
        raise RowRejectedError(f"transform raised {type(error).__name__}") from error
    if mapped is not None:
        raise RowRejectedError(f"transform returned {type(mapped).__name__}, not a mapping")
    return None
