"""Records one by one, for code that does not handle all records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kafka.record.memory_records import MemoryRecords

from exchange.records.codec import NONE
from exchange.records.header import RawBatch

if TYPE_CHECKING:
    from exchange.records.scan import Run


class Record(NamedTuple):
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def records_without_kernels(batch: RawBatch) -> list[Record]:
    """As `records`, but in plain Python. For commands that read few records: loading kernels takes half a second."""
    parsed = MemoryRecords(bytes(batch.data)).next_batch()
    return [
        Record(batch.topic, batch.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
        for r in parsed or ()
        if r.offset >= batch.from_offset
    ]


def few_records(batch: RawBatch) -> list[Record]:
    """As `records`, without kernels if it need not be decompressed."""
    return records_without_kernels(batch) if batch.header.codec == NONE else records(batch)


def records(batch: RawBatch) -> list[Record]:
    """The records of a data batch, decompressed, from the wanted offset on."""
    from exchange.records.scan import scan  # imported only when needed, see `records_without_kernels`

    return records_of(scan([batch]), batch.topic, batch.partition)


def records_of(run: Run, topic: str, partition: int) -> list[Record]:
    """The records of a run."""
    starts, ends = run.values.start + run.values.sizes, run.tails.start + run.tails.length
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    headers = [_headers(run.tails.buf, start, end) if start < end else () for start, end in spans]
    columns = (run.offset.tolist(), run.timestamp.tolist(), run.keys.tolist(), run.values.tolist(), headers)
    return [Record(topic, partition, *row) for row in zip(*columns, strict=True)]


def _headers(buf: object, at: int, end: int) -> tuple[tuple[str, bytes | None], ...]:
    from exchange.records.scan import varint

    count, at = varint(buf, at, end)
    headers = []
    for _ in range(count):
        size, at = varint(buf, at, end)
        name = buf[at : at + size].tobytes().decode()  # type: ignore[index]
        size, at = varint(buf, at + size, end)
        headers.append((name, None if size < 0 else buf[at : at + size].tobytes()))  # type: ignore[index]
        at += max(size, 0)
    return tuple(headers)
