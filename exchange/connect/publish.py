"""Publishes a page of rows as one transaction: records, and the progress of their source."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from exchange.bus.produce import Producer
from exchange.connect.coerce import RowRejectedError
from exchange.connect.encode import MAX_RECORD_BYTES, encoder
from exchange.connect.rejects import RejectFile
from exchange.connect.row_key import NoRowKeyError, RowKey
from exchange.connect.source import Bad, Deleted, Encoded, Page, Row
from exchange.connect.table_transform import TableTransform
from exchange.contract.model import Subject
from exchange.schema import wire
from exchange.schema.avro import Schema

if TYPE_CHECKING:
    from exchange.connect.column_encoder import ColumnEncoder
    from exchange.connect.page_records import Records

Transform = Callable[[Row], Row | None]


class Encoder:
    """Turns rows into records of one subject; a row that does not fit is rejected with the reason.

    `row_key` is None if the subject has no key: then no row can be deleted. What `columns` makes writes most rows that
    are in columns at once. `untransformed` takes rows that were transformed before.
    """

    def __init__(
        self,
        subject: Subject,
        schema_id: int,
        schema: Schema,
        convert: Callable[[Row], dict[str, Any]],
        transform: Transform | None = None,
        row_key: RowKey | None = None,
        columns: Callable[[], ColumnEncoder] | None = None,
    ) -> None:
        self._subject = subject.id
        self._entity = subject.entity.field
        self._schema_id = schema_id
        self._encode = encoder(schema)
        self._convert = convert
        self._transform = transform
        self._row_key = row_key
        self._make_columns = columns
        rest = (subject, schema_id, schema, convert)
        self.untransformed: Encoder = self if transform is None else Encoder(*rest, row_key=row_key, columns=columns)

    @property
    def key(self) -> tuple[str, ...]:
        """The fields that tell rows apart; raises NoRowKeyError if there are none."""
        return self._keyed().fields

    @cached_property
    def columns(self) -> ColumnEncoder | None:
        """What writes rows that are in columns; None if each is to be transformed by itself."""
        return None if self._make_columns is None or self._transform is not None else self._make_columns()

    @property
    def table_transform(self) -> TableTransform | None:
        """What transforms many rows at once, if that is how."""
        return self._transform if isinstance(self._transform, TableTransform) else None

    def encode(self, page: Page, *, named: bool = False) -> Records:
        """Process every row: it becomes a record, is rejected, or is skipped by the transform.

        `named`: with the names of the rows; the subject has a key. Raises NoRowKeyError if a row is deleted and the
        subject has no key.
        """
        from exchange.connect import page_records  # kernels, which only those who need them load

        return page_records.encode(self, page, named=named)

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
        if entity == "":
            raise RowRejectedError(f"{self._entity}: an empty text names nobody")
        key = None if entity is None else str(entity).encode()
        if len(body) + len(key or b"") > MAX_RECORD_BYTES:
            raise RowRejectedError(f"a record of more than {MAX_RECORD_BYTES} bytes")
        name = None if self._row_key is None else self._row_key.of_record(record)
        return Encoded(key, wire.pack(self._schema_id, body), name)

    def names(self, rows: Sequence[Row | Deleted | Bad | Encoded]) -> tuple[list[bytes], int]:
        """The names of the rows that are there, in any order, and how many rows have a key that cannot be read.

        Rows that are deleted, or that the transform drops, are not there.
        """
        from exchange.connect import page_records  # kernels, which only those who need them load

        return page_records.names(self, rows)

    def name(self, row: Row) -> bytes | None:
        """The name of a row of the source, of which only the key's fields need be there; None if it is skipped."""
        mapped = self._mapped(row)
        return None if mapped is None else self._keyed().of_row(mapped)

    def gone(self, name: bytes) -> Encoded:
        """The record that says that the row with that name is deleted."""
        return Encoded(self._keyed().entity(name), None, name)

    def header(self, made: Encoded) -> bytes:
        """What says, in a header, which row a record without value is about."""
        assert made.name is not None
        return wire.pack(self._schema_id, made.name)

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
        from exchange.connect import page_records  # kernels, which only those who need them load
        from exchange.records.warm_up_source import warm_up

        warm_up()  # before the transaction, which could not wait for it
        records = self._encoder.encode(page)
        if records.rejected:
            self._rejects.write(records.rejected)
        now = int(self._clock() * 1000)
        with producer.transaction() as transaction:
            page_records.send(transaction, self._subject, records, page.progress, now)
        return len(records.rows), len(records.rejected)


def _mapped(transform: Transform, row: Row) -> Row | None:
    try:
        mapped = transform(row)
        if isinstance(mapped, Mapping):
            return dict(mapped)
    except RowRejectedError:
        raise
    except (Exception, SystemExit) as error:
        # The department's own code: whatever it raises concerns this row. The message could quote it.
        raise RowRejectedError(f"transform raised {type(error).__name__}") from error
    if mapped is not None:
        raise RowRejectedError(f"transform returned {type(mapped).__name__}, not a mapping")
    return None
