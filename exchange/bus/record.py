"""Records one by one, for readers that are not on the path of all records."""

from __future__ import annotations

from typing import NamedTuple

from kafka.record.memory_records import MemoryRecords

from exchange.bus.raw import RawBatch


class Record(NamedTuple):
    """One record, for readers that take them one by one."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def few(batch: RawBatch) -> list[Record]:
    """Like `records`, for a batch of few: it needs no kernels, whose loading takes a command half a second."""
    parsed = MemoryRecords(bytes(batch.data)).next_batch()
    return [
        Record(batch.topic, batch.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
        for r in parsed or ()
        if r.offset >= batch.from_offset
    ]


def records(batch: RawBatch) -> list[Record]:
    """The records of a data batch, decompressed, from the wanted offset on."""
    from exchange.records.scan import SourceBatch, scan  # not before it is needed, see `few`

    run = scan([SourceBatch(batch.header, batch.data, batch.from_offset)])
    buf = run.buf
    found = []
    for row in zip(*(column.tolist() for column in run.columns), strict=True):
        offset, timestamp, key, key_len, value, value_len, tail, tail_len = row
        end = max(key + key_len, value + value_len, value)
        headers = _headers(buf, end, tail + tail_len) if tail_len >= 0 else ()
        found.append(
            Record(
                batch.topic,
                batch.partition,
                offset,
                timestamp,
                None if key_len < 0 else buf[key : key + key_len].tobytes(),
                None if value_len < 0 else buf[value : value + value_len].tobytes(),
                headers,
            )
        )
    return found


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
