"""Writes single values as PostgreSQL's `…_recv` functions read them, and hashes them: what `copy_rows` consists of.

A value is an integer, or `length` bytes at the address `at`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.records.memory import address, byte, move, word
from exchange.records.values import Values

MIX = np.uint64(0x9E3779B97F4A7C15)


def hashes(values: Values) -> np.ndarray:
    """uint64[n]: the hashes that these texts would have as values of a text column."""
    out = np.empty(values.rows, np.uint64)
    _hashes(*values, out)
    return out


@njit(nogil=True, cache=True)
def _hashes(buf, start, length, out):
    base = address(buf)
    for i in range(len(start)):
        out[i] = hash_bytes(base + start[i], max(length[i], 0))


@njit(nogil=True, cache=True)
def hash_bytes(at, length):
    """A hash of the bytes; not one that withstands people who look for collisions, which cost only time here."""
    found = np.uint64(length) * MIX
    end = at + length
    while at + 8 <= end:
        found = (found ^ word(at)) * MIX
        found ^= found >> np.uint64(29)
        at += 8
    rest = np.uint64(0)
    while at < end:
        rest = rest << np.uint64(8) | byte(at)
        at += 1
    found = (found ^ rest) * MIX
    found ^= found >> np.uint64(32)
    found *= MIX
    return found ^ found >> np.uint64(29)


@njit(nogil=True, cache=True, forceinline=True)
def put_int(out, at, value, size):
    """Write an integer, the highest byte first; return the place after it."""
    for i in range(size):
        out[at + i] = np.uint8(value >> np.int64(8 * (size - 1 - i)) & np.int64(0xFF))
    return at + size


@njit(nogil=True, cache=True)
def characters(at, length):
    """How many characters UTF-8 text has; -1 if one is a zero, which PostgreSQL cannot hold."""
    found = np.int64(0)
    for i in range(length):
        part = byte(at + i)
        if part == np.uint64(0):
            return -1
        found += np.int64((part & np.uint64(0xC0)) != np.uint64(0x80))
    return found


@njit(nogil=True, cache=True)
def unscaled(at, length, most):
    """The integer in these bytes, the highest first → (sign, magnitude); sign -1 if it is more than `most`."""
    negative = length > 0 and byte(at) >= np.uint64(0x80)
    fill = np.uint64(0xFF) if negative else np.uint64(0)
    while length > 8 and byte(at) == fill:
        at += 1
        length -= 1
    if length > 8 or (length == 8 and (byte(at) >= np.uint64(0x80)) != negative):
        return -1, np.uint64(0)
    value = ~np.uint64(0) if negative else np.uint64(0)
    for i in range(length):
        value = value << np.uint64(8) | byte(at + i)
    if negative:
        value = ~value + np.uint64(1)
    return (-1 if value > np.uint64(most) else np.int64(negative)), value


@njit(nogil=True, cache=True)
def put_numeric(out, at, negative, value, scale, digits):
    """Write a `numeric` (numeric_recv): digits to the base of 10,000, without zeros at either end."""
    count = 0
    weight = -((scale + 3) // 4)
    part = scale % 4
    if part > 0:
        power = np.uint64(10**part)
        digits[0] = np.int64(value % power) * 10 ** (4 - part)
        value //= power
        count = 1
    while value > np.uint64(0):
        digits[count] = np.int64(value % np.uint64(10_000))
        value //= np.uint64(10_000)
        count += 1
    low = 0
    while low < count and digits[low] == 0:
        low += 1
    at = put_int(out, at, count - low, 2)
    at = put_int(out, at, weight + count - 1 if low < count else 0, 2)
    at = put_int(out, at, 0x4000 if negative and low < count else 0, 2)
    at = put_int(out, at, scale, 2)
    for i in range(count - 1, low - 1, -1):
        at = put_int(out, at, digits[i], 2)
    return at


@njit(nogil=True, cache=True)
def put_uuid(out, to, at, length, as_text):
    """Write a UUID if its text is as Python would write it; return the place after it, or -1."""
    if length != 36:
        return -1
    high = np.int64(-1)
    for i in range(36):
        part = byte(at + i)
        if i in (8, 13, 18, 23):
            if part != np.uint64(45):
                return -1
            continue
        if np.uint64(48) <= part <= np.uint64(57):
            digit = np.int64(part) - 48
        elif np.uint64(97) <= part <= np.uint64(102):
            digit = np.int64(part) - 87
        else:
            return -1
        if as_text:
            continue
        if high < 0:
            high = digit
        else:
            out[to] = high << 4 | digit
            to += 1
            high = np.int64(-1)
    if as_text:
        move(address(out) + to, at, 36)
        to += 36
    return to


@njit(nogil=True, cache=True)
def is_replay(at, length):
    """Whether the bytes are a replay's id (`names.REPLAY_ID`)."""
    for i in range(length):
        part = byte(at + i)
        is_digit = np.uint64(48) <= part <= np.uint64(57)
        is_letter = np.uint64(97) <= part | np.uint64(32) <= np.uint64(122)
        is_other = i > 0 and (part == np.uint64(45) or part == np.uint64(46) or part == np.uint64(95))
        if not (is_digit or is_letter or is_other):
            return False
    return 0 < length <= 200
