"""Hashes of (time, id), as columns: which version of a row it is. Its twin for single rows is `window.row_hash`."""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.records.blake2b import BLOCK, IV, LANES, compress, start
from exchange.records.check import is_text
from exchange.records.memory import address, byte, move, put
from exchange.records.values import Values

# What a column's texts say, and so how Python writes the value: as they are, or differently.
ASCII, TEXT, NUMBER, DATE, MOMENT, INSTANT = range(6)

_DIGEST_BYTES = 8
_FIRST = np.uint64(IV[0] ^ 0x01010000 ^ _DIGEST_BYTES)
_MORE_BYTES = 8  # a text may become so much longer, with what stands between two


def row_hashes(times: Values, time_form: int, ids: Values, id_form: int) -> tuple[np.ndarray, np.ndarray]:
    """uint64[n]: the BLAKE2b-64 of each row's time, a zero byte, and its id; and bool[n]: for which rows that is so.

    It is not if a value is not as its column's values usually are, such as the time `infinity`. No value is null.
    """
    bound = int((times.length + ids.length).sum()) + 3 * _MORE_BYTES * times.rows
    out = np.empty(bound, np.uint8)
    at, length = np.empty(times.rows, np.int64), np.empty(times.rows, np.int64)
    _messages(*times, time_form, *ids, id_form, out, at, length)
    hashes = np.empty(times.rows, np.uint64)
    _hash(out, at, length, hashes)
    return hashes.byteswap(), length >= 0


@njit(nogil=True, cache=True)
def _is_like(at, end, pattern):
    """Whether the text begins like the pattern, in which 0 stands for any digit."""
    if end - at < pattern.size:
        return False
    for i in range(pattern.size):
        if pattern[i] == 48:
            if byte(at + i) < 48 or byte(at + i) > 57:
                return False
        elif byte(at + i) != pattern[i]:
            return False
    return True


@njit(nogil=True, cache=True)
def _is_plain_number(at, end):
    """Whether Python's Decimal writes the number as it stands here: only one with many zeros gets an exponent."""
    at += byte(at) == 45
    zeros = 0
    for i in range(at, end):
        if (byte(i) < 48 or byte(i) > 57) and byte(i) != 46:
            return False
        zeros += byte(i) == 48 and zeros == i - at - (i > at)
    return zeros < 7


@njit(nogil=True, cache=True)
def _written(form, at, end, to, day, clock):
    """Write the value as Python does; return the address behind it, 0 if it has another form."""
    size = end - at
    if (form == TEXT and not is_text(at, end)) or (form == NUMBER and not _is_plain_number(at, end)):
        return np.int64(0)
    if form >= DATE and not _is_like(at, end, day):
        return np.int64(0)
    if form <= DATE:
        move(to, at, size)
        return to + size if form != DATE or size == 10 else np.int64(0)
    if form == INSTANT:
        end -= 3
        if end - at < 19 or byte(end) != 43 or byte(end + 1) != 48 or byte(end + 2) != 48:  # +00
            return np.int64(0)
    size = end - at
    if not _is_like(at + 10, end, clock) or size == 20 or size > 26 or (size > 19 and byte(at + 19) != 46):
        return np.int64(0)
    for i in range(at + 20, end):
        if byte(i) < 48 or byte(i) > 57:
            return np.int64(0)
    move(to, at, size)
    if size > 19:
        for i in range(size, 26):
            put(to + i, 48)
        size = np.int64(26)
    if form == INSTANT:
        move(to + size, end, 3)
        put(to + size + 3, 58)
        put(to + size + 4, 48)
        put(to + size + 5, 48)
        size += 6
    return to + size


@njit(nogil=True, cache=True)
def _messages(time_buf, time, time_len, time_form, id_buf, ids, id_len, id_form, out, start, length):
    day = np.array([48, 48, 48, 48, 45, 48, 48, 45, 48, 48], np.uint8)  # 0000-00-00
    clock = np.array([32, 48, 48, 58, 48, 48, 58, 48, 48], np.uint8)  # 00:00:00, behind a space
    first, times, rows = address(out), address(time_buf), address(id_buf)
    to = first
    for row in range(time.size):
        start[row], length[row] = to - first, -1
        at = times + time[row]
        end = _written(time_form, at, at + time_len[row], to, day, clock)
        if end == 0:
            continue
        put(end, 0)
        at = rows + ids[row]
        end = _written(id_form, at, at + id_len[row], end + 1, day, clock)
        if end != 0:
            length[row] = end - to
            to = end


@njit(nogil=True, cache=True)
def _hash(buf, message, length, out):
    messages = address(buf)
    h = np.empty(8 * LANES, np.uint64)
    m = np.zeros(16 * LANES, np.uint64)
    words = np.empty(16, np.uint64)
    block = address(words)
    counter = np.zeros(LANES, np.uint64)
    final = np.zeros(LANES, np.uint64)
    active = np.zeros(LANES, np.uint64)
    zero = np.uint64(0)
    for group in range(0, length.size, LANES):
        lanes = min(LANES, length.size - group)
        start(h, _FIRST, zero, zero)
        active[:] = zero
        longest = length[group : group + lanes].max()
        for base in range(0, longest, BLOCK):
            for lane in range(lanes):
                size = length[group + lane] - base
                if size <= 0:
                    active[lane] = zero
                    continue
                words[:] = zero
                move(block, messages + message[group + lane] + base, min(size, BLOCK))
                for w in range(16):
                    m[w * LANES + lane] = words[w]
                active[lane] = ~zero
                counter[lane] = np.uint64(base + min(size, BLOCK))
                final[lane] = ~zero if size <= BLOCK else zero
            compress(h, m, counter, final, active)
        for lane in range(lanes):
            out[group + lane] = h[lane]
