"""Walk Avro bodies by their plan: is each one record of the schema, no more and no less?"""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.records.avro_plan import (
    BOOLEAN,
    BYTES,
    ENTER,
    ENUM,
    JUMP,
    LONG,
    LOOP,
    MARK,
    MAX_LOOPS,
    NOTHING,
    RANGE,
    RANGES,
    SKIP,
    STRING,
    UNION,
    Plan,
)
from exchange.records.memory import load, load64

MAX_EMPTY_ITEMS = 1 << 16  # of an array whose items take no bytes

OK = 0
TRUNCATED = 1
VARINT = 2
INTEGER = 3
BOOL = 4
SYMBOL = 5
BRANCH = 6
SIZE = 7
COUNT = 8
TEXT = 9
TRAILING = 10

REASONS = (
    "",
    "truncated",
    "varint",
    "integer-range",
    "boolean",
    "enum-index",
    "union-index",
    "length",
    "block-count",
    "utf-8",
    "trailing-bytes",
)
"""What each status means; part of the quarantine's interface."""


def check(plan: Plan, buf: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """One status per Avro body (uint8[n], an index of REASONS): 0 where it is a record of the plan's schema.

    Bodies are buf[start[i] : start[i] + length[i]], with `buf` read-only uint8[] and int64[n] columns;
    all must lie within `buf`. A null (length -1) is fine. Stricter than Avro libraries: an int has
    32 bits and a long 64, a boolean is 0 or 1, text is UTF-8, dates and times are within years 1 to
    9999, and the byte size of a block, where given, is right.
    """
    status = np.empty(len(start), np.uint8)
    walk(plan.code, RANGES, buf, start, length, status, np.empty((0, 0), np.int32))
    return status


@njit(nogil=True, cache=True, forceinline=True)
def read_long(buf, at, end):
    """The zigzag varint at `at` → (value, next position); the position is -reason where there is none."""
    if at >= end:
        return np.int64(0), np.int64(-TRUNCATED)
    byte = np.uint64(load(buf, at))
    at += 1
    value = byte & np.uint64(0x7F)
    shift = np.uint64(7)
    while byte >= np.uint64(0x80):
        if at >= end:
            return np.int64(0), np.int64(-TRUNCATED)
        byte = np.uint64(load(buf, at))
        at += 1
        # The tenth byte has room for one bit.
        if shift == np.uint64(63) and byte > np.uint64(1):
            return np.int64(0), np.int64(-VARINT)
        value |= (byte & np.uint64(0x7F)) << shift
        shift += np.uint64(7)
    return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), np.int64(at)


@njit(nogil=True, cache=True)
def _is_text(buf, at, end):  # noqa: PLR0912
    """Whether these bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates)."""
    while at < end:
        if at + 8 <= end and load64(buf, at) & np.uint64(0x8080808080808080) == np.uint64(0):
            at += 8
            continue
        lead = load(buf, at)
        at += 1
        if lead < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            more = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        else:
            return False
        if at + more > end or load(buf, at) < low or load(buf, at) > high:
            return False
        for i in range(1, more):
            if load(buf, at + i) & 0xC0 != 0x80:
                return False
        at += more
    return True


@njit(nogil=True, cache=True)
def _empty_items(buf, at, end):
    """The position after the blocks of an array whose items take no bytes, or -reason."""
    total = 0
    while True:
        count, at = read_long(buf, at, end)
        if at < 0 or count == 0:
            return at
        if count < 0:
            size, at = read_long(buf, at, end)
            if at < 0:
                return at
            if size != 0:
                return np.int64(-COUNT)
            if count < -MAX_EMPTY_ITEMS:
                return np.int64(-COUNT)
            count = -count
        if count > MAX_EMPTY_ITEMS - total:
            return np.int64(-COUNT)
        total += count


@njit(nogil=True, cache=True)
def _record(code, ranges, buf, at, end, marks, counts, blocks):  # noqa: PLR0912, PLR0915
    """The position after the record at `at`, or -reason; marks[f] becomes where field f starts, from `at`."""
    pc = 0
    depth = -1
    field = 0
    first = at
    while True:
        op = load(code, pc)
        pc += 1
        if op == MARK:
            if marks.size > 0:
                marks[field] = at - first
                field += 1
        elif op in (STRING, BYTES):
            size, at = read_long(buf, at, end)
            if at < 0:
                return at
            if size < 0 or size > end - at:
                return np.int64(-SIZE)
            if op == STRING and not _is_text(buf, at, at + size):
                return np.int64(-TEXT)
            at += size
        elif op == LONG:
            _, at = read_long(buf, at, end)
            if at < 0:
                return at
        elif op == RANGE:
            value, at = read_long(buf, at, end)
            if at < 0:
                return at
            if value < ranges[load(code, pc), 0] or value > ranges[load(code, pc), 1]:
                return np.int64(-INTEGER)
            pc += 1
        elif op == UNION:
            branch, at = read_long(buf, at, end)
            if at < 0:
                return at
            if branch < 0 or branch >= load(code, pc):
                return np.int64(-BRANCH)
            pc = load(code, pc + 1 + branch)
        elif op == JUMP:
            pc = load(code, pc)
        elif op == SKIP:
            if load(code, pc) > end - at:
                return np.int64(-TRUNCATED)
            at += load(code, pc)
            pc += 1
        elif op == ENUM:
            symbol, at = read_long(buf, at, end)
            if at < 0:
                return at
            if symbol < 0 or symbol >= load(code, pc):
                return np.int64(-SYMBOL)
            pc += 1
        elif op == BOOLEAN:
            if at >= end:
                return np.int64(-TRUNCATED)
            if load(buf, at) > 1:
                return np.int64(-BOOL)
            at += 1
        elif op == ENTER:
            depth += 1
            counts[depth] = 0
            blocks[depth] = -1
        elif op == LOOP:
            if counts[depth] == 0:
                if blocks[depth] >= 0 and blocks[depth] != at:
                    return np.int64(-COUNT)
                count, at = read_long(buf, at, end)
                if at < 0:
                    return at
                blocks[depth] = -1
                if count < 0:
                    size, at = read_long(buf, at, end)
                    if at < 0:
                        return at
                    if size < 0 or size > end - at:
                        return np.int64(-COUNT)
                    blocks[depth] = at + size
                    count = -count
                # The least int64 has no positive: it stays negative.
                if count < 0 or count > (end - at) // load(code, pc + 1):
                    return np.int64(-COUNT)
                counts[depth] = count
            if counts[depth] == 0:
                depth -= 1
                pc = load(code, pc)
            else:
                counts[depth] -= 1
                pc += 2
        elif op == NOTHING:
            at = _empty_items(buf, at, end)
            if at < 0:
                return at
        else:  # END
            if marks.size > 0:
                marks[field] = at - first
            return at


@njit(nogil=True, cache=True)
def walk(code, ranges, buf, start, length, status, marks):
    """Set the status of every body; `marks` is int32[n, fields + 1] for `locate`, or empty."""
    counts = np.empty(MAX_LOOPS + 1, np.int64)
    blocks = np.empty(MAX_LOOPS + 1, np.int64)
    row = np.empty(marks.shape[1], np.int32)
    for i in range(start.size):
        status[i] = OK
        if length[i] < 0:
            continue
        end = start[i] + length[i]
        if marks.shape[0] > 0:
            row = marks[i]
        at = _record(code, ranges, buf, start[i], end, row, counts, blocks)
        if at < 0:
            status[i] = np.uint8(-at)
        elif at != end:
            status[i] = TRAILING
