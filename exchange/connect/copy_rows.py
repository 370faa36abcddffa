"""Writes the rows of PostgreSQL's binary COPY from the Avro bodies of many records at once.

Format: https://www.postgresql.org/docs/15/sql-copy.html, "Binary Format". Each row ends with one more column, an int4
that `number` fills in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exchange.connect.copy_program import (
    BASE,
    BOOLEAN,
    DECIMAL,
    DOUBLE,
    FIELD,
    HEX,
    INT2,
    INT4,
    INT8,
    KEY,
    NO_UNION,
    NULL_BRANCH,
    NUMBER,
    ONE,
    RAW,
    READ,
    READ_BOOLEAN,
    READ_BYTES,
    READ_DOUBLE,
    READ_ENUM,
    READ_FIXED,
    READ_FLOAT,
    READ_LONG,
    READ_NULL,
    READ_OWN,
    READ_REPLAY,
    REAL,
    TEXT,
    TWO,
    UUID_TEXT,
    WHOLE,
    WIDENED,
    WRITE,
    CopyProgram,
)
from exchange.connect.copy_values import (
    MIX,
    characters,
    hash_bytes,
    is_replay,
    put_int,
    put_numeric,
    put_uuid,
    unscaled,
)
from exchange.connect.delivered import HANDLE_BYTES
from exchange.records.check import read_long
from exchange.records.heads import Heads
from exchange.records.locate import Located
from exchange.records.memory import address, byte, move, word

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_WHOLE = 1 << 53  # every integer up to this is a double


class CopyRows(NamedTuple):
    """Rows for a COPY, one after the other in `data`; `is_written` (bool[n]) says which records they are of.

    `ends` (int64[m]) is where each row ends; `entity` and `row` (uint64[n]) are hashes of the columns by which the
    records of one entity, and the versions of one row, are told apart; equal values have equal ones.
    """

    data: np.ndarray
    ends: np.ndarray
    is_written: np.ndarray
    entity: np.ndarray
    row: np.ndarray


def copy_rows(program: CopyProgram, located: Located, own: np.ndarray, replay: Heads, row: Heads) -> CopyRows:
    """The rows of these bodies; `own` (int64[3, n]) has partition, offset and time, and headers lie in the same buffer.

    Those that are no record of the schema, or have a value that needs a closer look, are left out.
    """
    n = len(located.start)
    sizes = int(located.marks[located.status == 0, -1].sum()) if n else 0
    room = n * program.row_bytes + sizes + sum(int(np.maximum(head.length, 0).sum()) for head in (replay, row))
    made = CopyRows(
        np.empty(room, np.uint8), np.empty(n, np.int64), np.empty(n, np.bool_), np.zeros(n, np.uint64),
        np.zeros(n, np.uint64),
    )  # fmt: skip
    rows = _copy(program.steps, *program.symbols, *located, own, *replay, *row, *made)
    ends = made.ends[:rows]
    return made._replace(data=made.data[: int(ends[-1]) if rows else 0], ends=ends)


def number(rows: CopyRows, numbers: np.ndarray) -> None:
    """Fill in the last column: one number (int32[m]) for each row."""
    last = rows.data.reshape(-1)
    for i in range(4):
        last[rows.ends - 4 + i] = (numbers >> (24 - 8 * i)) & 0xFF


@njit(nogil=True, cache=True)
def _copy(  # noqa: PLR0912, PLR0915
    steps, symbols, symbol_at, symbol_len, buf, start, marks, status, own, replay_at, replay_len, row_at, row_len,
    out, ends, is_written, entity, row,
):  # fmt: skip
    base, symbols_base, target = address(buf), address(symbols), address(out)
    f32 = np.empty(1, np.float32)
    f32_bits = f32.view(np.uint32)
    f64 = np.empty(1, np.float64)
    f64_bits = f64.view(np.int64)
    digits = np.empty(8, np.int64)
    pos: Any = np.int64(0)
    count = 0
    columns = len(steps)
    for i in range(len(start)):
        is_written[i] = False
        if status[i] != 0:
            continue
        begin = pos
        at_end = base + start[i] + marks[i, -1]
        pos = put_int(out, pos, columns + 1, 2)
        for s in range(columns):
            # Where the value is: `value`, or `length` bytes at `at`.
            read, write = steps[s, READ], steps[s, WRITE]
            value: Any = np.int64(0)
            at: Any = np.int64(0)
            length: Any = np.int64(0)
            is_null = False
            if read < READ_OWN:
                at = base + start[i] + marks[i, steps[s, FIELD]]
                if steps[s, NULL_BRANCH] != NO_UNION:
                    branch, at = read_long(at, at_end)
                    is_null = branch == steps[s, NULL_BRANCH]
            if is_null or read == READ_NULL:
                is_null = True
            elif read == READ_LONG:
                value, at = read_long(at, at_end)
            elif read == READ_BYTES:
                length, at = read_long(at, at_end)
            elif read == READ_OWN:
                value = own[steps[s, FIELD], i]
            elif read == READ_REPLAY:
                is_null = replay_len[i] < 0
                at, length = base + replay_at[i], replay_len[i]
                if not is_null and not is_replay(at, length):
                    pos = -1
                    break
            elif read == READ_ENUM:
                symbol, at = read_long(at, at_end)
                symbol += steps[s, BASE]
                at, length = symbols_base + symbol_at[symbol], symbol_len[symbol]
            elif read == READ_BOOLEAN:
                value = np.int64(byte(at))
            elif read == READ_FIXED:
                length = steps[s, BASE]
            elif read == READ_FLOAT:
                for k in range(4):
                    value |= np.int64(byte(at + k)) << np.int64(8 * k)
            elif read == READ_DOUBLE:
                value = np.int64(word(at))
            else:  # READ_ROW
                at, length = base + row_at[i], row_len[i]
            if is_null:
                if steps[s, KEY] != 0:
                    pos = -1
                    break
                pos = put_int(out, pos, -1, 4)
                continue
            begins = pos
            pos += 4
            if write == TEXT:
                count_of = characters(at, length)
                if count_of < 0 or count_of > steps[s, ONE]:
                    pos = -1
                else:
                    move(target + pos, at, length)
                    pos += length
            elif write == INT8:
                pos = put_int(out, pos, value * steps[s, ONE] + steps[s, TWO], 8)
            elif write == INT4:
                value = value * steps[s, ONE] + steps[s, TWO]
                pos = put_int(out, pos, value, 4) if -(1 << 31) <= value < 1 << 31 else -1
            elif write == INT2:
                pos = put_int(out, pos, value, 2) if -(1 << 15) <= value < 1 << 15 else -1
            elif write == BOOLEAN:
                pos = put_int(out, pos, value, 1)
            elif write == DECIMAL:
                sign, magnitude = unscaled(at, length, steps[s, TWO])
                pos = put_numeric(out, pos, sign == 1, magnitude, steps[s, ONE], digits) if sign >= 0 else -1
            elif write == NUMBER:
                magnitude = np.uint64(value) if value >= 0 else ~np.uint64(value) + np.uint64(1)
                pos = put_numeric(out, pos, value < 0, magnitude, 0, digits)
            elif write == REAL:
                pos = put_int(out, pos, value, 4)
            elif write == DOUBLE:
                pos = put_int(out, pos, value, 8)
            elif write == WIDENED:
                f32_bits[0] = np.uint32(value)
                f64[0] = f32[0]
                pos = put_int(out, pos, f64_bits[0], 8)
            elif write == WHOLE:
                f64[0] = value
                pos = put_int(out, pos, f64_bits[0], 8) if -_WHOLE <= value <= _WHOLE else -1
            elif write == RAW:
                move(target + pos, at, length)
                pos += length
            elif write == HEX:
                if length != HANDLE_BYTES:
                    pos = -1
                else:
                    for k in range(HANDLE_BYTES):
                        for half in (byte(at + k) >> np.uint64(4), byte(at + k) & np.uint64(15)):
                            out[pos] = half + np.uint64(48 if half < np.uint64(10) else 87)
                            pos += 1
            else:
                pos = put_uuid(out, pos, at, length, write == UUID_TEXT)
            if pos < 0:
                break
            size = pos - begins - 4
            put_int(out, begins, size, 4)
            if steps[s, KEY] != 0:
                part = hash_bytes(target + begins + 4, size)
                if steps[s, KEY] < 0:
                    entity[i] = part
                row[i] += (part ^ np.uint64(abs(steps[s, KEY]))) * MIX
        if pos < 0:
            pos = begin
            continue
        pos = put_int(out, pos, 4, 4) + 4
        ends[count] = pos
        count += 1
        is_written[i] = True
    return count
