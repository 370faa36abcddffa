"""Writes record batches: copies of whole records, or new records from keys and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.records import memory
from exchange.records.header import HEADER_BYTES, write
from exchange.records.scan import Run, varint
from exchange.records.values import Values, read_only

MAX_BATCH_BYTES = 900_000  # below the broker's default message.max.bytes of 1,048,588
_OVERHEAD_BYTES = 21  # at most: a record's length, attributes, time delta and offset delta
_LENGTHS_BYTES = 10  # at most: a new record's key length and value length
NO_HEADERS = b"\0"


class Batch(NamedTuple):
    """An uncompressed batch that no producer has stamped yet.

    `head`, the header, is writable, and a producer stamps it; so each topic needs a `twin` of its own.
    """

    head: bytearray
    body: memoryview
    records: int

    @property
    def size_bytes(self) -> int:
        """Bytes of header and records together."""
        return len(self.head) + len(self.body)

    @property
    def data(self) -> bytearray:
        """Header and records together, as a copy."""
        return self.head + self.body

    def twin(self) -> Batch:
        """The same records under a new header."""
        return Batch(bytearray(self.head), self.body, self.records)


def copy(run: Run, rows: np.ndarray, max_bytes: int = MAX_BATCH_BYTES) -> list[Batch]:
    """Copy the records of `rows` (int64 indexes, ascending) into new batches, headers included.

    Only length, time delta and offset delta are rewritten. A batch exceeds `max_bytes` only if one record alone
    does.
    """
    bound = int(run.tails.length[rows].sum()) + len(rows) * _OVERHEAD_BYTES
    out, batches = _space(bound, len(rows), max_bytes)
    count = _copy(*run.tails, run.timestamp, rows, out, batches, max_bytes)
    return _cut(out, batches[:count])


def copy_with(run: Run, rows: np.ndarray, headers: bytes, max_bytes: int = MAX_BATCH_BYTES) -> list[Batch]:
    """As `copy`, but append `headers` (see `encode_headers`) to each record's own headers."""
    bound = int(run.tails.length[rows].sum()) + len(rows) * (_OVERHEAD_BYTES + len(headers))
    out, batches = _space(bound, len(rows), max_bytes)
    own = run.values.start + run.values.sizes  # where each record's own headers begin, with their count first
    count = _copy_with(*run.tails, own, run.timestamp, read_only(headers), rows, out, batches, max_bytes)
    return _cut(out, batches[:count])


def join(
    keys: Values,
    values: Values,
    timestamp: np.ndarray,
    rows: np.ndarray,
    *,
    headers: bytes | Values = NO_HEADERS,
    max_bytes: int = MAX_BATCH_BYTES,
) -> list[Batch]:
    """Build new batches from keys and values; `timestamp` is in ms, `rows` (int64 indexes) says which, in order.

    `headers` are encoded headers sections (see `encode_headers`): one for every record, or one for each.
    """
    sections = headers if isinstance(headers, Values) else Values.repeated(headers, keys.rows)
    bound = int((keys.sizes + values.sizes + sections.sizes)[rows].sum())
    bound += len(rows) * (_OVERHEAD_BYTES + _LENGTHS_BYTES)
    out, batches = _space(bound, len(rows), max_bytes)
    count = _join(*keys, *values, *sections, timestamp, rows, out, batches, max_bytes)
    return _cut(out, batches[:count])


def sections(headers: Mapping[str, bytes], name: str, values: Values) -> Values:
    """Headers sections with these headers and one more: that name, and the value of each row (not null)."""
    head = encode_headers({**headers, name: b""})[:-1]
    out = np.empty(int(values.length.sum()) + values.rows * (len(head) + _LENGTHS_BYTES), np.uint8)
    start, length = np.empty_like(values.start), np.empty_like(values.length)
    _sections(read_only(head), *values, out, start, length)
    out.flags.writeable = False
    return Values(out, start, length)


def encode_headers(headers: Mapping[str, bytes]) -> bytes:
    """Encode the headers section of a record.

    >>> encode_headers({"a": b"xy"}).hex(" ")
    '02 02 61 04 78 79'
    """
    out = np.empty(10 + sum(20 + 4 * len(name) + len(value) for name, value in headers.items()), np.uint8)
    at = _put_varint(out, 0, len(headers))
    for name, value in headers.items():
        for part in (name.encode(), value):
            at = _put_varint(out, at, len(part))
            out[at : at + len(part)] = read_only(part)
            at += len(part)
    return out[:at].tobytes()


def pack(
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    timestamps_ms: Sequence[int],
    *,
    max_bytes: int = MAX_BATCH_BYTES,
) -> list[Batch]:
    """Build batches of new records, in order.

    >>> [batch.records for batch in pack([b"k", None], [b"v", b"w"], [0, 1])]
    [2]
    """
    rows = np.arange(len(keys), dtype=np.int64)
    times = np.asarray(timestamps_ms, np.int64)
    return join(Values.of(keys), Values.of(values), times, rows, max_bytes=max_bytes)


def _space(bound: int, rows: int, max_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """A buffer large enough for `rows` records of `bound` bytes in all, and a table for its batches."""
    most = min(rows, 2 * (bound // max_bytes) + 2)
    return np.empty(bound + most * HEADER_BYTES, np.uint8), np.empty((most, 5), np.int64)


def _cut(out: np.ndarray, batches: np.ndarray) -> list[Batch]:
    made = []
    for start, end, count, first_timestamp, max_timestamp in batches.tolist():
        head, body = bytearray(HEADER_BYTES), out.data[start + HEADER_BYTES : end]
        write(head, len(body), count, first_timestamp, max_timestamp)
        made.append(Batch(head, body, count))
    return made


@njit(nogil=True, cache=True)
def _varint_bytes(value):
    zigzag = np.uint64((value << 1) ^ (value >> 63))
    size = 1
    while zigzag >= np.uint64(0x80):
        zigzag >>= np.uint64(7)
        size += 1
    return size


@njit(nogil=True, cache=True)
def _put_varint(out, at, value):
    zigzag = np.uint64((value << 1) ^ (value >> 63))
    while zigzag >= np.uint64(0x80):
        out[at] = np.uint8(zigzag & np.uint64(0x7F)) | np.uint8(0x80)
        zigzag >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(zigzag)
    return at + 1


@njit(nogil=True, cache=True)
def _put_bytes(out, at, buf, start, length):
    memory.copy(out, at, buf, start, length)
    return at + length


@njit(nogil=True, cache=True)
def _open_record(out, at, tail_bytes, now, batches, made, max_bytes):
    """Write a record's head, in a new batch if the last one is full; return (position, number of batches)."""
    if made > 0:
        start, _, count, first, latest = batches[made - 1]
        head = 1 + _varint_bytes(now - first) + _varint_bytes(count)
        if at + head + tail_bytes + 5 - start <= max_bytes:
            at = _put_varint(out, at, head + tail_bytes)
            out[at] = 0
            at = _put_varint(out, at + 1, now - first)
            at = _put_varint(out, at, count)
            batches[made - 1, 2] = count + 1
            batches[made - 1, 4] = max(latest, now)
            return at, made
    batches[made] = np.array([at, 0, 1, now, now])
    at = _put_varint(out, at + HEADER_BYTES, 3 + tail_bytes)
    out[at : at + 3] = 0
    return at + 3, made + 1


@njit(nogil=True, cache=True)
def _copy(buf, tail, tail_len, timestamp, rows, out, batches, max_bytes):
    at = made = 0
    for row in rows:
        at, made = _open_record(out, at, tail_len[row], timestamp[row], batches, made, max_bytes)
        at = _put_bytes(out, at, buf, tail[row], tail_len[row])
        batches[made - 1, 1] = at
    return made


@njit(nogil=True, cache=True)
def _copy_with(buf, tail, tail_len, own_headers, timestamp, headers, rows, out, batches, max_bytes):
    more, added = varint(headers, 0, len(headers))
    at = made = 0
    for row in rows:
        own = own_headers[row]
        end = tail[row] + tail_len[row]
        count, first = varint(buf, own, end)
        if first < 0 or count < 0:  # a broker does not accept such headers; leave them out
            count, first = np.int64(0), end
        before, between, behind = own - tail[row], end - first, len(headers) - added
        size = before + _varint_bytes(count + more) + between + behind
        at, made = _open_record(out, at, size, timestamp[row], batches, made, max_bytes)
        at = _put_bytes(out, at, buf, tail[row], before)
        at = _put_varint(out, at, count + more)
        at = _put_bytes(out, at, buf, first, between)
        at = _put_bytes(out, at, headers, added, behind)
        batches[made - 1, 1] = at
    return made


@njit(nogil=True, cache=True)
def _join(
    key_buf, key, key_len, value_buf, value, value_len, head_buf, head, head_len, timestamp, rows, out, batches, most
):
    at = made = 0
    for row in rows:
        klen, vlen = key_len[row], value_len[row]
        size = _varint_bytes(klen) + max(klen, 0) + _varint_bytes(vlen) + max(vlen, 0) + head_len[row]
        at, made = _open_record(out, at, size, timestamp[row], batches, made, most)
        at = _put_varint(out, at, klen)
        if klen > 0:
            at = _put_bytes(out, at, key_buf, key[row], klen)
        at = _put_varint(out, at, vlen)
        if vlen > 0:
            at = _put_bytes(out, at, value_buf, value[row], vlen)
        at = _put_bytes(out, at, head_buf, head[row], head_len[row])
        batches[made - 1, 1] = at
    return made


@njit(nogil=True, cache=True)
def _sections(head, buf, value, value_len, out, start, length):
    at = 0
    for row in range(len(value)):
        start[row] = at
        at = _put_bytes(out, at, head, 0, len(head))
        at = _put_varint(out, at, value_len[row])
        at = _put_bytes(out, at, buf, value[row], value_len[row])
        length[row] = at - start[row]
