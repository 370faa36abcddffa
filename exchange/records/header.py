"""A Kafka record batch as the broker stores it (format v2, KIP-98), and its 61-byte header."""

from __future__ import annotations

import struct
from typing import NamedTuple

from crc32c import crc32c

HEADER_BYTES = 61
_HEADER = struct.Struct(">qiibIhiqqqhii")
_PRODUCER = struct.Struct(">qhi")
MAGIC, MAGIC_AT = 2, 16
_ATTRIBUTES_AT, _PRODUCER_AT, _CRC_AT = 21, 43, 17
_LENGTH_FROM = 12  # `length` counts the bytes after itself

_COMMIT_MARKER = 1

CODEC_MASK, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20


class Header(NamedTuple):
    """The header's fields in wire order; times are in ms since 1970."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def next_offset(self) -> int:
        """The offset after the batch, even if compaction removed its last records."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def codec(self) -> int:
        """0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."""
        return self.attributes & CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        """Whether the batch was written in a transaction."""
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """Whether the batch is a transaction marker."""
        return bool(self.attributes & CONTROL)


class RawBatch(NamedTuple):
    """One batch of a partition as the broker stores it."""

    topic: str
    partition: int
    header: Header
    data: memoryview
    from_offset: int
    """The first offset that the consumer asked for; earlier records of the batch are not wanted."""

    @property
    def offset(self) -> int:
        """The last offset; kafka-python's fetcher compares it with its position to skip old data."""
        return self.header.base_offset + self.header.last_offset_delta

    @property
    def committed(self) -> bool:
        """Whether a control batch commits its producer's transaction; if not, it aborts it."""
        body = self.data[HEADER_BYTES:]
        # In a marker, length, attributes, time delta, offset delta and the key's length take one byte each.
        return int.from_bytes(body[7:9], "big") == _COMMIT_MARKER


def parse(batch: bytes | bytearray | memoryview) -> Header:
    """The header of the batch that starts at byte 0; raises `struct.error` if there are fewer than 61 bytes."""
    return Header._make(_HEADER.unpack_from(batch))


def write(head: bytearray | memoryview, body_bytes: int, count: int, first_timestamp: int, max_timestamp: int) -> None:
    """Fill in the header of an uncompressed batch; a producer stamps it later."""
    length = HEADER_BYTES + body_bytes - _LENGTH_FROM
    times = first_timestamp, max_timestamp
    _HEADER.pack_into(head, 0, 0, length, -1, MAGIC, 0, 0, count - 1, *times, -1, -1, -1, count)


def stamp(
    head: bytearray | memoryview,
    body: bytes | bytearray | memoryview,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
    transactional: bool,
) -> None:
    """Stamp the batch: set its producer and, as nothing changes after that, its CRC-32C."""
    attributes = (head[_ATTRIBUTES_AT] << 8 | head[_ATTRIBUTES_AT + 1]) & ~TRANSACTIONAL
    struct.pack_into(">h", head, _ATTRIBUTES_AT, attributes | (TRANSACTIONAL if transactional else 0))
    _PRODUCER.pack_into(head, _PRODUCER_AT, producer_id, producer_epoch, base_sequence)
    struct.pack_into(">I", head, _CRC_AT, crc32c(body, crc(head)))


def crc(batch: bytes | bytearray | memoryview) -> int:
    """CRC-32C over everything from the attributes to the end."""
    return crc32c(memoryview(batch)[_ATTRIBUTES_AT:])
