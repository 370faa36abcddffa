"""What becomes of a page's rows, as columns: the part of publishing that needs kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exchange.bus.produce import Transaction
from exchange.connect import cursor
from exchange.connect.source import Page
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
    def merged(cls, parts: Sequence[Records]) -> Records:
        """The records of all parts, in the order of their rows."""
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rows)
        keys, values, headers = (
            Values.joined(columns).at(order)
            for columns in zip(*((part.keys, part.values, part.headers) for part in parts), strict=True)
        )
        return cls(rows[order], keys, values, headers, [each for part in parts for each in part.rejected])


def encode(encoder: Encoder, page: Page) -> Records:
    """As `Encoder.encode`."""
    if encoder.table_transform is not None:
        return _transformed(encoder, encoder.table_transform, page)
    columns = encoder.columns
    written = columns.write(page.rows) if columns and isinstance(page.rows, TextRows) else None
    if written is None:
        return _by_row(encoder, page, range(len(page.rows)))
    rows = np.flatnonzero(written.values.length >= 0)
    headers = Values.repeated(NO_HEADERS, len(rows))
    records = Records(rows, written.keys.at(rows), written.values.at(rows), headers, [])
    if len(rows) == len(page.rows):
        return records
    return Records.merged([records, _by_row(encoder, page, np.flatnonzero(written.values.length < 0).tolist())])


def _transformed(encoder: Encoder, transform: TableTransform, page: Page) -> Records:
    """Transform the rows many at once, and encode what becomes of them."""
    parts = [_by_row(encoder, page, ())]
    for indexes, rows in transform.pieces(page.rows):
        made = encode(encoder.untransformed, Page(rows, {}, [page.place(index) for index in indexes]))
        parts.append(replace(made, rows=np.array(indexes, np.int64)[made.rows]))
    return Records.merged(parts)


def _by_row(encoder: Encoder, page: Page, some: Sequence[int]) -> Records:
    """Process these rows one by one."""
    rows: list[int] = []
    columns: tuple[list[bytes | None], ...] = ([], [])
    gone: list[bytes | None] = []
    header: list[int] = []  # of each record: 0 for none, or the number in `gone`, from 1
    rejected: list[tuple[str, str]] = []
    them = list(page.rows) if 2 * len(some) > len(page.rows) else page.rows
    for index in some:
        try:
            made = encoder.record(them[index])
        except RecordError as error:
            rejected.append((page.place(index), error.message))
            continue
        if made is not None:
            rows.append(index)
            for column, value in zip(columns, (made.key, made.value), strict=True):
                column.append(value)
            if made.value is None:
                gone.append(encoder.header(made))
            header.append(0 if made.value is not None else len(gone))
    keys, values = map(Values.of, columns)
    named = sections({}, ROW_HEADER, Values.of(gone))
    headers = Values.joined([Values.of([NO_HEADERS]), named]).at(np.array(header, np.int64))
    return Records(np.array(rows, np.int64), keys, values, headers, rejected)


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
