"""Publishes a page of rows as one transaction: records, and the progress of their source."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.bus.produce import Producer
from exchange.connect import cursor
from exchange.connect.coerce import RowRejectedError
from exchange.connect.encode import encoder
from exchange.connect.rejects import RejectFile
from exchange.connect.row_key import NoRowKeyError, RowKey
from exchange.connect.source import Bad, Deleted, Encoded, Page, Row
from exchange.contract.model import Subject
from exchange.errors import RecordError
from exchange.names import ROW_HEADER, cursor_topic, subject_topic
from exchange.records.build import NO_HEADERS, encode_headers, join, pack
from exchange.records.partition import partitions
from exchange.records.values import Values
from exchange.schema import wire
from exchange.schema.avro import Schema

MAX_RECORD_BYTES = 900_000  # a batch with such a record stays below the broker's default message.max.bytes

Transform = Callable[[Row], Row | None]


@dataclass
class Records:
    """What became of a page's rows: keys, values and headers to publish, and (place, reason) of the rejected ones."""

    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[bytes | None]
    rejected: list[tuple[str, str]]


class Encoder:
    """Turns rows into records of one subject; a row that does not fit is rejected with the reason.

    `row_key` is None if the subject has no key: then no row can be deleted.
    """

    def __init__(
        self,
        subject: Subject,
        schema_id: int,
        schema: Schema,
        convert: Callable[[Row], dict[str, Any]],
        transform: Transform | None = None,
        row_key: RowKey | None = None,
    ) -> None:
        self._subject = subject.id
        self._entity = subject.entity.field
        self._schema_id = schema_id
        self._encode = encoder(schema)
        self._convert = convert
        self._transform = transform
        self._row_key = row_key

    @property
    def key(self) -> tuple[str, ...]:
        """The fields that tell rows apart; raises NoRowKeyError if there are none."""
        return self._keyed().fields

    def encode(self, page: Page) -> Records:
        """Process every row, in order: it becomes a record, is rejected, or is skipped by the transform.

        Raises NoRowKeyError if a row is deleted and the subject has no key.
        """
        records = Records([], [], [], [])
        for index, row in enumerate(page.rows):
            try:
                made = self.record(row)
            except RecordError as error:
                records.rejected.append((page.place(index), error.message))
                continue
            if made is not None:
                records.keys.append(made.key)
                records.values.append(made.value)
                records.headers.append(NO_HEADERS if made.value is not None else self._header(made))
        return records

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

    def _header(self, made: Encoded) -> bytes:
        assert made.name is not None
        return encode_headers({ROW_HEADER: wire.pack(self._schema_id, made.name)})

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
        records = self._encoder.encode(page)
        if records.rejected:
            self._rejects.write(records.rejected)
        now = int(self._clock() * 1000)
        topic, count = subject_topic(self._subject.id), self._subject.topic.partitions
        keys, values, headers = Values.of(records.keys), Values.of(records.values), Values.of(records.headers)
        target = partitions(keys, count)
        stamps = np.full(len(target), now, np.int64)
        progress = cursor.key_values(self._subject.id, page.progress)
        with producer.transaction() as transaction:
            for partition in np.unique(target).tolist():
                rows = np.flatnonzero(target == partition)
                transaction.send(topic, partition, join(keys, values, stamps, rows, headers=headers))
            transaction.send(
                cursor_topic(self._subject.owner), cursor.PARTITION, pack(*progress, [now] * len(page.progress))
            )
        return len(records.keys), len(records.rejected)


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
