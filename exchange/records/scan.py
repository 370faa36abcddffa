"""Finds every record in a run of batches and returns them as columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.errors import CorruptionError
from exchange.records import codec
from exchange.records.header import HEADER_BYTES, LOG_APPEND_TIME, RawBatch
from exchange.records.values import Values, read_only

MAX_UNCOMPRESSED_BYTES = 64 << 20


class MalformedBatchError(CorruptionError):
    """A length in a batch points outside the batch, although the broker accepted it."""

    code = "malformed-batch"
    remedy = "stop the router, and look at the broker's disk and log"


class Run(NamedTuple):
    """Consecutive records of one partition, as columns of n rows.

    `offset` (int64[n]) is absolute, `timestamp` (int64[n]) is in ms since 1970. Keys, values and tails are in one
    read-only buffer. A tail is all that follows the offset delta (key, value and headers), which is what `copy`
    copies. If a batch could not be opened, the keys, values and tails of its records have length -1.
    """

    offset: np.ndarray
    timestamp: np.ndarray
    keys: Values
    values: Values
    tails: Values

    @property
    def rows(self) -> int:
        """The number of records."""
        return len(self.offset)

    def at(self, rows: np.ndarray) -> Run:
        """The records of these rows (int64 indexes, ascending)."""
        strings = (column.at(rows) for column in (self.keys, self.values, self.tails))
        return Run(self.offset[rows], self.timestamp[rows], *strings)

    def first(self, rows: int) -> Run:
        """The first so many records."""
        return self.at(np.arange(rows))

    def parts(self, most: int) -> Iterator[Run]:
        """The run in parts of at most so many records."""
        return (self.at(np.arange(at, min(at + most, self.rows))) for at in range(0, self.rows, most))


def scan(batches: Sequence[RawBatch], max_bytes: int = MAX_UNCOMPRESSED_BYTES) -> Run:
    """Decompress, join and scan batches of one partition; records before `from_offset` are left out.

    If a batch does not decompress within `max_bytes`, its rows have every length -1. Raises MalformedBatchError if
    a length points outside its batch.
    """
    buf, placed = _place([_section(batch, max_bytes) for batch in batches])
    segments = np.empty((len(batches), 8), np.int64)
    for i, (_, _, header, _, from_offset) in enumerate(batches):
        append_time = bool(header.attributes & LOG_APPEND_TIME)
        base_timestamp = header.max_timestamp if append_time else header.first_timestamp
        start, end = placed[i] or (0, 0)
        opened = placed[i] is not None
        segments[i] = start, end, header.records, header.base_offset, base_timestamp, append_time, from_offset, opened
    columns = np.empty((8, int(segments[:, 2].sum())), np.int64)
    rows = _scan(buf, segments, *columns)
    if rows < 0:
        bad = batches[-rows - 1].header
        raise MalformedBatchError(f"the batch at offset {bad.base_offset} is malformed")
    strings = (Values(buf, columns[i, :rows], columns[i + 1, :rows]) for i in (2, 4, 6))
    return Run(columns[0, :rows], columns[1, :rows], *strings)


def _section(batch: RawBatch, max_bytes: int) -> bytes | memoryview | None:
    """The records of a batch, decompressed; None if that is not possible within `max_bytes`."""
    section = batch.data[HEADER_BYTES:]
    if batch.header.codec == codec.NONE:
        return section
    try:
        return codec.decompress(batch.header.codec, section, max_bytes)
    except codec.OversizedBatchError:
        return None


def _place(sections: Sequence[bytes | memoryview | None]) -> tuple[np.ndarray, list[tuple[int, int] | None]]:
    """One buffer that holds all sections, and the start and end of each in it.

    Sections of the same fetch response stay where they are; others are joined.
    """
    views = [section for section in sections if isinstance(section, memoryview)]
    if len(views) == len(sections) and len({id(view.obj) for view in views}) == 1:
        buf = read_only(memoryview(views[0].obj))
        starts = [_address(read_only(view)) - _address(buf) if view else 0 for view in views]
        return buf, [(start, start + len(view)) for start, view in zip(starts, views, strict=True)]
    ends = list(itertools.accumulate(len(section or b"") for section in sections))
    places = [None if s is None else (end - len(s), end) for s, end in zip(sections, ends, strict=True)]
    return read_only(b"".join([section for section in sections if section])), places


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@njit(nogil=True, cache=True)
def varint(buf, at, end):
    """Read the zigzag varint at `at` → (value, next position); the position is -1 if the varint runs past `end`."""
    value = np.uint64(0)
    shift = np.uint64(0)
    for _ in range(10):
        if at >= end:
            return np.int64(0), np.int64(-1)
        byte = buf[at]
        at += 1
        value |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), np.int64(at)
        shift += np.uint64(7)
    return np.int64(0), np.int64(-1)


@njit(nogil=True, cache=True)
def _scan(buf, segments, offset, timestamp, key, key_len, value, value_len, tail, tail_len):
    """Fill the columns; return the number of rows filled, or -1 - i if segment i is malformed."""
    row = 0
    for s in range(len(segments)):
        at, end, count, base_offset, base_timestamp, append_time, from_offset, opened = segments[s]
        if not opened:
            for i in range(count):
                if base_offset + i >= from_offset:
                    offset[row] = base_offset + i
                    timestamp[row] = base_timestamp
                    key[row] = value[row] = tail[row] = 0
                    key_len[row] = value_len[row] = tail_len[row] = -1
                    row += 1
            continue
        for _ in range(count):
            size, body = varint(buf, at, end)
            if body < 0 or size < 0 or size > end - body:
                return -1 - s
            stop = body + size
            time_delta, p = varint(buf, body + 1, stop)  # after one byte of attributes
            if p < 0:
                return -1 - s
            offset_delta, p = varint(buf, p, stop)
            if p < 0:
                return -1 - s
            start = p
            klen, p = varint(buf, p, stop)
            if p < 0 or klen > stop - p:
                return -1 - s
            kstart = p
            p += max(klen, 0)
            vlen, p = varint(buf, p, stop)
            if p < 0 or vlen > stop - p:
                return -1 - s
            if base_offset + offset_delta >= from_offset:
                offset[row] = base_offset + offset_delta
                timestamp[row] = base_timestamp if append_time else base_timestamp + time_delta
                key[row] = kstart
                key_len[row] = max(klen, -1)
                value[row] = p
                value_len[row] = max(vlen, -1)
                tail[row] = start
                tail_len[row] = stop - start
                row += 1
            at = stop
        if at != end:
            return -1 - s
    return row
