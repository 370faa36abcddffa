"""Reads topics again with simple code of its own: a check must not rely on the code that it checks."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.epochs import Published
from exchange.errors import TransientError
from exchange.names import Partition
from exchange.records.codec import OversizedBatchError, decompress
from exchange.records.header import HEADER_BYTES, RawBatch
from exchange.records.scan import MAX_UNCOMPRESSED_BYTES

STALL_S = 30.0
Report = Callable[[str, int], None]
"""Reports progress to people: called with the topic and the number of its records just read."""


class RereadError(TransientError):
    """The end of a topic was not reached."""

    code = "reread"
    remedy = "see that all partitions have a leader, then run it again"


class PlainRecord(NamedTuple):
    """A record with what the ledger vouches for: its key and value, and its headers as they are encoded."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: bytes = b"\0"


@dataclass(slots=True)
class _Pending:
    batch: RawBatch
    committed: bool | None


def source_topics(newest: Published | None, subject: str | None) -> set[str]:
    """The topics whose records routers have to decide under that epoch: of one subject, or of all."""
    subjects = newest.epoch.contract.subjects if newest else ()
    return {names.subject_topic(each.id) for each in subjects if subject in (None, each.id)}


class Reread:
    """The committed batches of these topics, in order per partition, up to the ends at the start of the iteration.

    Reads the raw log with its transaction markers and decides here what is committed. Once the iteration has begun,
    `starts` holds the first offset that each (topic, partition) keeps. Batches of transactions still open at the end
    are left out.
    """

    def __init__(self, cluster: Cluster, topics: Iterable[str]) -> None:
        self._cluster = cluster
        self._topics = list(topics)
        self._queues: defaultdict[Partition, deque[_Pending]] = defaultdict(deque)
        self.starts: dict[Partition, int] = {}

    def __iter__(self) -> Iterator[RawBatch]:
        with Consumer(self._cluster, isolation="read_uncommitted") as consumer:
            places = [(topic, p) for topic in self._topics for p in consumer.partitions(topic)]
            self.starts |= consumer.begin_offsets(places)
            ends = consumer.end_offsets(places)
        left = {place: start for place, start in self.starts.items() if start < ends[place]}
        if not left:
            return
        with Consumer(
            self._cluster, assignment=left, isolation="read_uncommitted", control=True, max_batches=256
        ) as consumer:
            heard = time.monotonic()
            while left:
                batches = consumer.poll(0.5)
                for batch in batches:
                    place = (batch.topic, batch.partition)
                    if batch.header.base_offset < ends[place]:
                        yield from self._decided(place, batch)
                for place, (position, _) in consumer.positions().items():
                    if position >= ends[place]:
                        left.pop(place, None)
                if batches:
                    heard = time.monotonic()
                elif time.monotonic() - heard > STALL_S:
                    raise RereadError(f"{min(left)[0]} stopped short of its end for {STALL_S:.0f} s")

    def _decided(self, place: Partition, batch: RawBatch) -> Iterator[RawBatch]:
        """The batches now known to be committed, given that this one arrived."""
        queue = self._queues[place]
        header = batch.header
        if header.is_control:
            for pending in queue:
                if pending.committed is None and pending.batch.header.producer_id == header.producer_id:
                    pending.committed = batch.committed
        else:
            queue.append(_Pending(batch, None if header.is_transactional else True))
        while queue and queue[0].committed is not None:
            pending = queue.popleft()
            if pending.committed:
                yield pending.batch


def plain_records(batch: RawBatch) -> Iterator[PlainRecord]:
    """The records of a data batch, parsed byte by byte (Kafka message format v2, KIP-98).

    The broker returns a batch whole even if its first records were deleted; those are left out here. If a batch cannot
    be decompressed, its offsets are returned with nulls, as they enter the ledger.
    """
    return (record for record in _every_record(batch) if record.offset >= batch.from_offset)


def count(batch: RawBatch) -> int:
    """The number of records that `plain_records` yields."""
    if batch.header.base_offset >= batch.from_offset:
        return batch.header.records
    return sum(1 for _ in plain_records(batch))


def _every_record(batch: RawBatch) -> Iterator[PlainRecord]:
    header = batch.header
    try:
        section = batch.data[HEADER_BYTES:]
        body = decompress(header.codec, section, MAX_UNCOMPRESSED_BYTES) if header.codec else bytes(section)
    except OversizedBatchError:
        yield from (PlainRecord(header.base_offset + row, None, None) for row in range(header.records))
        return
    at = 0
    for _ in range(header.records):
        length, at = _varint(body, at)
        end = at + length
        _, at = _varint(body, at + 1)
        delta, at = _varint(body, at)
        key, at = _bytes(body, at)
        value, at = _bytes(body, at)
        yield PlainRecord(header.base_offset + delta, key, value, body[at:end])
        at = end


def header_of(record: PlainRecord, name: str) -> bytes | None:
    """The record's last header of that name; None if it has none."""
    count, at = _varint(record.headers, 0)
    found = None
    for _ in range(count):
        this, at = _bytes(record.headers, at)
        value, at = _bytes(record.headers, at)
        if this == name.encode():
            found = value
    return found


def encoded_headers(headers: Mapping[str, bytes]) -> bytes:
    """Headers as a record holds them."""
    parts = (part for name, value in headers.items() for part in (name.encode(), value))
    return _zigzag(len(headers)) + b"".join(_zigzag(len(part)) + part for part in parts)


def _zigzag(number: int) -> bytes:
    left, out = number << 1, bytearray()
    while left >= 0x80:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def _bytes(body: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = _varint(body, at)
    return (None, at) if length < 0 else (body[at : at + length], at + length)


def _varint(body: bytes, at: int) -> tuple[int, int]:
    zigzag = shift = 0
    while True:
        byte = body[at]
        at += 1
        zigzag |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (zigzag >> 1) ^ -(zigzag & 1), at
        shift += 7
