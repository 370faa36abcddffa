"""What becomes of a page's rows, as columns: the part of publishing that needs kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exchange.bus.produce import Transaction
from exchange.connect import cursor
from exchange.connect.source import Bad, Deleted, Encoded, Page, Row
from exchange.connect.text_rows import TextRows
from exchange.contract.model import Subject
from exchange.errors import RecordError
from exchange.names import ROW_HEADER, cursor_topic, subject_topic
from exchange.records.build import NO_HEADERS, join, pack, sections
from exchange.records.partition import partitions
from exchange.records.values import Values

if TYPE_CHECKING:
    from exchange.connect.publish import Encoder
    from exchange.connect.table_transform import TableTransform


@dataclass(frozen=True, eq=False)
class Records(Sequence[Encoded | Bad]):
    """What became of a page's rows: keys, values and headers to publish, and (place, reason) of the rejected ones.

    `rows` (int64[n], ascending) says of which row each record is; `names` are the rows', null if nobody asked for them.
    As a sequence, it is the records, then the rejected rows: so it can be the rows of a page.
    """

    rows: np.ndarray
    keys: Values
    values: Values
    headers: Values
    names: Values
    rejected: Sequence[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.rows) + len(self.rejected)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError
        if index >= len(self.rows):
            return Bad(self.rejected[index - len(self.rows)][1])
        at = np.array([index])
        return Encoded(*(column.at(at).tolist()[0] for column in (self.keys, self.values, self.names)))

    @classmethod
    def merged(cls, parts: Sequence[Records]) -> Records:
        """The records of all parts, in the order of their rows."""
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rows)
        keys, values, headers, names = (
            Values.joined(columns).at(order)
            for columns in zip(*((part.keys, part.values, part.headers, part.names) for part in parts), strict=True)
        )
        return cls(rows[order], keys, values, headers, names, [each for part in parts for each in part.rejected])


def encode(encoder: Encoder, page: Page, *, named: bool = False) -> Records:
    """As `Encoder.encode`."""
    if isinstance(page.rows, Records):
        return page.rows
    if encoder.table_transform is not None:
        return _transformed(encoder, encoder.table_transform, page, named=named)
    columns = encoder.columns
    written = columns.write(page.rows, named=named) if columns and isinstance(page.rows, TextRows) else None
    if written is None:
        return _by_row(encoder, page, range(len(page.rows)))
    rows = np.flatnonzero(written.values.length >= 0)
    headers = Values.repeated(NO_HEADERS, len(rows))
    keys, values, names = (column.at(rows) for column in written)
    records = Records(rows, keys, values, headers, names, [])
    if len(rows) == len(page.rows):
        return records
    return Records.merged([records, _by_row(encoder, page, np.flatnonzero(written.values.length < 0).tolist())])


def names(encoder: Encoder, rows: Sequence[Row | Deleted | Bad | Encoded]) -> tuple[list[bytes], int]:
    """As `Encoder.names`."""
    if encoder.table_transform is not None:
        is_whole = isinstance(rows, TextRows) and not rows.deletions().any()
        there = rows if is_whole else [row for row in rows if not isinstance(row, Deleted)]
        parts = [names(encoder.untransformed, some) for _, some in encoder.table_transform.pieces(there)]
        return [name for found, _ in parts for name in found], sum(count for _, count in parts)
    columns = encoder.columns
    written = columns.names(rows) if columns and isinstance(rows, TextRows) else None
    if written is None:
        written = Values.nulls(len(rows))
    found = [name for name in written.tolist() if name is not None]
    unreadable = 0
    for row in _these(rows, np.flatnonzero(written.length < 0).tolist()):
        try:
            name = encoder.name(row) if isinstance(row, Mapping) else None
        except RecordError:
            name, unreadable = None, unreadable + 1
        unreadable += isinstance(row, Bad)
        found += [] if name is None else [name]
    return found, unreadable


def _transformed(encoder: Encoder, transform: TableTransform, page: Page, *, named: bool) -> Records:
    """Transform the rows many at once, and encode what becomes of them."""
    parts = [_by_row(encoder, page, ())]
    for indexes, rows in transform.pieces(page.rows):
        places = [page.place(index) for index in indexes]
        made = encode(encoder.untransformed, Page(rows, {}, places), named=named)
        parts.append(replace(made, rows=np.array(indexes, np.int64)[made.rows]))
    return Records.merged(parts)


def _by_row(encoder: Encoder, page: Page, some: Sequence[int]) -> Records:
    """Process these rows one by one."""
    rows: list[int] = []
    columns: tuple[list[bytes | None], ...] = ([], [], [])
    gone: list[bytes | None] = []
    header: list[int] = []  # of each record: 0 for none, or the number in `gone`, from 1
    rejected: list[tuple[str, str]] = []
    for index, row in zip(some, _these(page.rows, some), strict=True):
        try:
            made = encoder.record(row)
        except RecordError as error:
            rejected.append((page.place(index), error.message))
            continue
        if made is not None:
            rows.append(index)
            for column, value in zip(columns, (made.key, made.value, made.name), strict=True):
                column.append(value)
            if made.value is None:
                gone.append(encoder.header(made))
            header.append(0 if made.value is not None else len(gone))
    keys, values, named = map(Values.of, columns)
    told = sections({}, ROW_HEADER, Values.of(gone))
    headers = Values.joined([Values.of([NO_HEADERS]), told]).at(np.array(header, np.int64))
    return Records(np.array(rows, np.int64), keys, values, headers, named, rejected)


def _these(rows: Sequence[Any], some: Sequence[int]) -> Iterator[Any]:
    """Some of the rows; if they are most of them, all are loaded at once."""
    them = list(rows) if 2 * len(some) > len(rows) else rows
    return (them[index] for index in some)


def send(
    transaction: Transaction, subject: Subject, records: Records, progress: Mapping[str, bytes | None], now_ms: int
) -> None:
    """Send the records to the partitions of their keys, and the change of their source's progress."""
    topic, target = subject_topic(subject.id), partitions(records.keys, subject.topic.partitions)
    stamps = np.full(len(target), now_ms, np.int64)
    for partition in np.unique(target).tolist():
        rows = np.flatnonzero(target == partition)
        transaction.send(topic, partition, join(records.keys, records.values, stamps, rows, headers=records.headers))
    changes = cursor.key_values(subject.id, progress)
    transaction.send(cursor_topic(subject.owner), cursor.PARTITION, pack(*changes, [now_ms] * len(progress)))
