"""Takes the usual lines of a CSV file apart, as csv.reader does, up to the first odd one, which it leaves to that.

A line is usual if it is one row of the header's width whose quotes enclose whole cells. Odd is everything else: a quote
elsewhere, a value of several lines, a foreign line end, a last line without an end, a replacement character (which
stands for bytes that are no text).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.records.text_table import TextTable
from exchange.records.values import read_only

ROWS = 8192  # at most, at once
CELLS = 1 << 20  # at most, at once, unless one row has more
LINE_BYTES = 1 << 20
_START, _PLAIN, _QUOTED, _CLOSED = range(4)  # where in a cell the kernel is


class UsualRows(NamedTuple):
    """Rows of usual lines: of each, how many lines come before it, and its characters (both int64[n]).

    What follows begins at `end`, after `lines` lines, of which some may be blank; `is_odd`: an odd line.
    """

    table: TextTable
    before: np.ndarray
    chars: np.ndarray
    end: int
    lines: int
    is_odd: bool


class LineSplitter:
    """Takes lines apart whose rows have so many columns; the delimiter is an ASCII character."""

    def __init__(self, columns: int, delimiter: str) -> None:
        self._delimiter = ord(delimiter)
        rows = max(1, min(ROWS, CELLS // columns))
        # All of this is used again and again: for few rows, it would take longer to make than to fill.
        self._start, self._length = (np.empty((columns, rows), np.int64) for _ in range(2))
        self._before, self._chars = (np.empty(rows, np.int64) for _ in range(2))
        self._out = np.empty(0, np.uint8)

    def split(self, data: bytes, at: int) -> UsualRows:
        """The rows from there on, at most `ROWS` of `CELLS` together; `data` is UTF-8."""
        if len(self._out) < len(data):
            self._out = np.empty(len(data), np.uint8)
        scratch = (self._out, self._start, self._length, self._before, self._chars)
        rows, end, lines, size, is_odd = _split(read_only(data), at, self._delimiter, *scratch)
        out = self._out[:size].copy()
        out.flags.writeable = False
        start, length = (np.ascontiguousarray(each[:, :rows]) for each in (self._start, self._length))
        before, chars = self._before[:rows].copy(), self._chars[:rows].copy()
        return UsualRows(TextTable(out, start, length), before, chars, end, lines, is_odd)


@njit(nogil=True, cache=True)
def _split(data, at, delimiter, out, start, length, before, chars):  # noqa: PLR0912, PLR0915
    """Write the texts, each with a byte behind it; return rows, end, lines, bytes, whether the next is odd."""
    columns, most = start.shape
    row = lines = to = 0
    while row < most and at < data.size:
        first, begin = at, to
        cell, column, where, size = to, 0, _START, 0
        is_whole = False
        while at < data.size:
            byte = data[at]
            at += 1
            if where == _QUOTED:
                if byte == 34:
                    where = _CLOSED
                    continue
                if byte in (10, 13):
                    break
            elif byte in (delimiter, 10):
                if column == columns:
                    break
                start[column, row], length[column, row] = cell, to - cell
                out[to] = 10
                to += 1
                column += 1
                if byte == 10:
                    is_whole = at - first <= LINE_BYTES
                    break
                cell, where = to, _START
                continue
            elif byte == 13:
                if at == data.size or data[at] != 10:
                    break
                continue
            elif byte == 34:
                if where == _PLAIN:
                    break
                is_escaped, where = where == _CLOSED, _QUOTED
                if not is_escaped:
                    continue
            elif where == _CLOSED:
                break
            else:
                where = _PLAIN
            if byte == 0xEF and at + 1 < data.size and data[at] == 0xBF and data[at + 1] == 0xBD:
                break
            size += (byte & 0xC0) != 0x80
            out[to] = byte
            to += 1
        is_blank = is_whole and column == 1 and where == _START and to == begin + 1
        if not is_whole or (column < columns and not is_blank):
            return row, first, lines, begin, True
        if is_blank:
            to = begin
        else:
            before[row], chars[row] = lines, size
            row += 1
        lines += 1
    return row, at, lines, to, False
