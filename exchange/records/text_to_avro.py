"""Writes tables of texts as Avro: the twin of `check`, for a source's rows instead of a topic's records.

It writes a row only if its texts are written as usual and fit the schema. All others (a value out of range, one that
would lose digits, `infinity`, a year before 1 …) it leaves to the slow path, which knows what to do with them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.records.check import is_text
from exchange.records.memory import address, byte, move, put
from exchange.records.text_program import (
    BOOLEAN,
    CONSTANT,
    DATE,
    DAY,
    DECIMAL,
    HEX,
    INSTANT,
    OWN,
    REAL,
    SYMBOL,
    TEXT,
    TIME,
    TRUTH,
    UUID,
    WHOLE,
    TextProgram,
)
from exchange.records.text_table import TextTable
from exchange.records.text_values import (
    is_number,
    is_same,
    put_date,
    put_day,
    put_decimal,
    put_hex,
    put_instant,
    put_long,
    put_real,
    put_time,
    put_truth,
    put_uuid,
    put_whole,
)
from exchange.records.values import Values, read_only

_MOST_BYTES = 12  # of a value in Avro, beside its text


def write(program: TextProgram, head: bytes, table: TextTable) -> Values:
    """Each row as the bytes `head` and an Avro body; null where the slow path has to write the row."""
    constants = int(program.constants.sizes.sum())
    fixed = int(program.code[program.code[:, 0] == DECIMAL, 6].sum())
    row_bytes = len(head) + constants + fixed + _MOST_BYTES * len(program.code)
    out = np.empty(int(np.maximum(table.length, 0).sum()) + table.rows * row_bytes, np.uint8)
    start, length = np.empty(table.rows, np.int64), np.empty(table.rows, np.int64)
    null, null_size = read_only(program.null or b""), -1 if program.null is None else len(program.null)
    texts = (read_only(head), null, null_size, *table)
    _write(program.code, *program.constants, program.breaks, program.offsets, *texts, out, start, length)
    out.flags.writeable = False
    return Values(out, start, length)


@njit(nogil=True, cache=True)
def _write(  # noqa: PLR0912, PLR0915
    code, constant_buf, constant, constant_len, breaks, offsets, head, null, null_size, buf, start, length,
    out, out_start, out_len,
):  # fmt: skip
    base, texts, constants = address(out), address(buf), address(constant_buf)
    break_at, offset_at, heads, nulls = address(breaks), address(offsets), address(head), address(null)
    to = base
    for row in range(out_start.size):
        first = to
        move(to, heads, head.size)
        to += head.size
        for field in range(code.shape[0]):
            what, column = code[field, 0], code[field, 1]
            a, b, c, d = code[field, 4], code[field, 5], code[field, 6], code[field, 7]
            if what == CONSTANT:
                move(to, constants + constant[a], constant_len[a])
                to += constant_len[a]
                continue
            size, at = length[column, row], texts + start[column, row]
            if size == null_size and code[field, 9] and is_same(nulls, at, size):
                size = -1
            branch = code[field, 2] if size < 0 else code[field, 3]
            if branch >= 0:
                put(to, branch)
                to += 1
            if size < 0:
                if branch < 0:
                    to = np.int64(0)
                    break
                continue
            end = at + size
            if code[field, 8] != OWN and not is_number(at, end, code[field, 8]):
                to = np.int64(0)
                break
            if what == TEXT:
                if is_text(at, end):
                    to = put_long(to, size)
                    move(to, at, size)
                    to += size
                else:
                    to = np.int64(0)
            elif what == WHOLE:
                to = put_whole(at, end, to, a)
            elif what == DECIMAL:
                to = put_decimal(at, end, to, a, b, c, d)
            elif what == INSTANT:
                to = put_instant(at, end, to, a, b, c, break_at, offset_at, breaks.size)
            elif what == DATE:
                to = put_date(at, end, to)
            elif what == BOOLEAN:
                is_true = byte(at) == a
                is_good = size == 1 and (is_true or byte(at) == b)
                put(to, np.uint64(is_true))
                to = to + 1 if is_good else np.int64(0)
            elif what == TRUTH:
                to = put_truth(at, size, to)
            elif what == REAL:
                to = put_real(at, end, to, a, b)
            elif what == SYMBOL:
                found = -1
                for i in range(b):
                    if constant_len[a + i] == size and is_same(constants + constant[a + i], at, size):
                        found = i
                        break
                to = put_long(to, found) if found >= 0 else np.int64(0)
            elif what == UUID:
                to = put_uuid(at, end, to)
            elif what == TIME:
                to = put_time(at, end, to, a, b)
            elif what == DAY:
                to = put_day(at, end, to, a)
            elif what == HEX:
                to = put_hex(at, end, to, a)
            if to == 0:
                break
        out_start[row], out_len[row] = first - base, to - first
        if to == 0:
            out_len[row] = -1
            to = first
