"""Checks Avro bodies with their schema's program: is each exactly one record of the schema?"""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.records.memory import address, byte, word
from exchange.records.program import (
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
    Program,
)
from exchange.records.values import Values

MAX_EMPTY_ITEMS = 1 << 16  # the most items of an array whose items take no bytes

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
"""What each status means; part of the interface of quarantine topics."""


def check(program: Program, bodies: Values) -> np.ndarray:
    """One status per Avro body (uint8[n], an index of REASONS): 0 if the body is a record of the program's schema.

    All bodies must be within their buffer. A null body passes. The check is stricter than Avro libraries: an int
    has 32 bits and a long 64, a boolean is 0 or 1, text is UTF-8, dates and times are within the years 1 to
    9999, and the byte size of a block is right if it is given.
    """
    status = np.empty(bodies.rows, np.uint8)
    walk(program.code, RANGES, *bodies, status, np.empty((0, 0), np.int32))
    return status


@njit(nogil=True, cache=True, forceinline=True)
def read_long(at, end):
    """Read the zigzag varint between two addresses → (value, next address); if there is none, that is -reason."""
    if at >= end:
        return np.int64(0), np.int64(-TRUNCATED)
    part = byte(at)
    at += 1
    value = part & np.uint64(0x7F)
    shift = np.uint64(7)
    while part >= np.uint64(0x80):
        if at >= end:
            return np.int64(0), np.int64(-TRUNCATED)
        part = byte(at)
        at += 1
        # A tenth byte may only carry one bit.
        if shift == np.uint64(63) and part > np.uint64(1):
            return np.int64(0), np.int64(-VARINT)
        value |= (part & np.uint64(0x7F)) << shift
        shift += np.uint64(7)
    return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), np.int64(at)


@njit(nogil=True, cache=True)
def is_text(at, end):  # noqa: PLR0912
    """Whether the bytes between two addresses are UTF-8 (RFC 3629: no overlong forms, no surrogates)."""
    while at < end:
        if at + 8 <= end and word(at) & np.uint64(0x8080808080808080) == np.uint64(0):
            at += 8
            continue
        lead = byte(at)
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
        if at + more > end or byte(at) < low or byte(at) > high:
            return False
        for i in range(1, more):
            if byte(at + i) & np.uint64(0xC0) != np.uint64(0x80):
                return False
        at += more
    return True


@njit(nogil=True, cache=True)
def _empty_items(at, end):
    """The address after the blocks of an array whose items take no bytes; -reason if they are wrong."""
    total = 0
    while True:
        count, at = read_long(at, end)
        if at < 0 or count == 0:
            return at
        if count < 0:
            size, at = read_long(at, end)
            if at < 0:
                return at
            if size != 0 or count < -MAX_EMPTY_ITEMS:
                return np.int64(-COUNT)
            count = -count
        if count > MAX_EMPTY_ITEMS - total:
            return np.int64(-COUNT)
        total += count


# Numba inlines it: a call would count references of every array, which costs more than reading a field.
@njit(nogil=True, inline="always")
def _record(code, ranges, at, end, marks, row, counts, blocks):  # noqa: PLR0912, PLR0915
    """The address after the record at `at`, or -reason; sets marks[row, f] to the start of field f, from `at` on."""
    pc = np.uint64(0)
    one, two = np.uint64(1), np.uint64(2)
    depth = field = 0
    first = at
    while True:
        op = code[pc]
        pc += one
        if op == MARK:
            if marks.size > 0:
                marks[row, field] = at - first
                field += 1
        elif op in (STRING, BYTES):
            size, at = read_long(at, end)
            if at < 0:
                break
            if size < 0 or size > end - at:
                at = np.int64(-SIZE)
                break
            if op == STRING and not is_text(at, at + size):
                at = np.int64(-TEXT)
                break
            at += size
        elif op == LONG:
            _, at = read_long(at, end)
            if at < 0:
                break
        elif op == RANGE:
            value, at = read_long(at, end)
            if at < 0:
                break
            if value < ranges[code[pc], 0] or value > ranges[code[pc], 1]:
                at = np.int64(-INTEGER)
                break
            pc += one
        elif op == UNION:
            branch, at = read_long(at, end)
            if at < 0:
                break
            if branch < 0 or branch >= code[pc]:
                at = np.int64(-BRANCH)
                break
            pc = np.uint64(code[pc + one + np.uint64(branch)])
        elif op == JUMP:
            pc = np.uint64(code[pc])
        elif op == SKIP:
            if code[pc] > end - at:
                at = np.int64(-TRUNCATED)
                break
            at += code[pc]
            pc += one
        elif op == ENUM:
            symbol, at = read_long(at, end)
            if at < 0:
                break
            if symbol < 0 or symbol >= code[pc]:
                at = np.int64(-SYMBOL)
                break
            pc += one
        elif op == BOOLEAN:
            if at >= end:
                at = np.int64(-TRUNCATED)
                break
            if byte(at) > np.uint64(1):
                at = np.int64(-BOOL)
                break
            at += 1
        elif op == ENTER:
            depth += 1
            counts[depth] = 0
            blocks[depth] = -1
        elif op == LOOP:
            if counts[depth] == 0:
                if blocks[depth] >= 0 and blocks[depth] != at:
                    at = np.int64(-COUNT)
                    break
                blocks[depth] = -1
                count, at = read_long(at, end)
                if at < 0:
                    break
                if count < 0:
                    size, at = read_long(at, end)
                    if at < 0:
                        break
                    if size < 0 or size > end - at:
                        at = np.int64(-COUNT)
                        break
                    blocks[depth] = at + size
                    count = -count
                # The smallest int64 has no positive counterpart and stays negative.
                if count < 0 or count > (end - at) // code[pc + one]:
                    at = np.int64(-COUNT)
                    break
                counts[depth] = count
            if counts[depth] == 0:
                depth -= 1
                pc = np.uint64(code[pc])
            else:
                counts[depth] -= 1
                pc += two
        elif op == NOTHING:
            at = _empty_items(at, end)
            if at < 0:
                break
        else:  # END
            if marks.size > 0:
                marks[row, field] = at - first
            break
    return at


@njit(nogil=True, cache=True)
def walk(code, ranges, buf, start, length, status, marks):
    """Set the status of every body; `marks` is int32[n, fields + 1] for `locate`, or else empty."""
    counts = np.zeros(MAX_LOOPS + 1, np.int64)
    blocks = np.zeros(MAX_LOOPS + 1, np.int64)
    base = address(buf)
    for i in range(start.size):
        status[i] = OK
        if length[i] < 0:
            continue
        end = base + start[i] + length[i]
        at = _record(code, ranges, base + start[i], end, marks, i, counts, blocks)
        if at < 0:
            status[i] = np.uint8(-at)
        elif at != end:
            status[i] = TRAILING
