"""A table of texts as columns: PostgreSQL's COPY output, taken apart by a kernel.

Format: https://www.postgresql.org/docs/current/sql-copy.html, "Text Format".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.records.memory import address, move
from exchange.records.values import Values, read_only


class TextTable(NamedTuple):
    """Texts of n rows: that of column c and row i is buf[start[c, i] : start[c, i] + length[c, i]]; length -1 is null.

    `buf` is uint8[], the others are int64[columns, n]. Behind each text there is one byte that belongs to no text.
    """

    buf: np.ndarray
    start: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[bytes | None], columns: int) -> TextTable:
        """The table with these texts, row by row."""
        parts = Values.of([part for text in texts for part in (text, b"\n")])
        start, length = (np.ascontiguousarray(each[::2].reshape(-1, columns).T) for each in (parts.start, parts.length))
        return cls(parts.buf, start, length)

    @classmethod
    def joined(cls, parts: Sequence[TextTable]) -> TextTable:
        """The rows of all parts, which have the same columns, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        buf = np.concatenate([part.buf for part in parts])
        buf.flags.writeable = False
        first = np.cumsum([0, *(len(part.buf) for part in parts[:-1])])
        start = np.concatenate([part.start + at for part, at in zip(parts, first.tolist(), strict=True)], axis=1)
        return cls(buf, start, np.concatenate([part.length for part in parts], axis=1))

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.start.shape[1])

    def column(self, number: int) -> Values:
        """One column."""
        return Values(self.buf, self.start[number], self.length[number])

    def at(self, rows: np.ndarray) -> TextTable:
        """These rows (int64 indexes)."""
        return TextTable(self.buf, self.start.take(rows, axis=1), self.length.take(rows, axis=1))

    def replaced(self, rows: np.ndarray, texts: Sequence[bytes | None]) -> TextTable:
        """With these texts in these rows (int64 indexes), row by row."""
        other = TextTable.of(texts, len(self.start))
        start, length = self.start.copy(), self.length.copy()
        start[:, rows], length[:, rows] = len(self.buf) + other.start, other.length
        buf = np.concatenate([self.buf, other.buf])
        buf.flags.writeable = False
        return TextTable(buf, start, length)

    def row(self, number: int) -> list[bytes | None]:
        """One row's texts."""
        places = zip(self.start[:, number].tolist(), self.length[:, number].tolist(), strict=True)
        return [None if size < 0 else self.buf[at : at + size].tobytes() for at, size in places]


def packed(texts: Values, gap: int) -> Values:
    """The texts one behind the other, with a gap of so many bytes behind each."""
    sizes = texts.sizes + gap
    start = np.cumsum(sizes) - sizes
    out = np.zeros(int(sizes.sum()), np.uint8)
    _pack(*texts, out, start)
    out.flags.writeable = False
    return Values(out, start, texts.length)


@njit(nogil=True, cache=True)
def _pack(buf, start, length, out, to):
    source, target = address(buf), address(out)
    for row in range(start.size):
        if length[row] > 0:
            move(target + to[row], source + start[row], length[row])


def parse(copied: bytes | bytearray, rows: int, columns: int) -> TextTable:
    r"""The table in COPY's text format; raises ValueError if it has not just so many rows and columns.

    >>> parse(b"1\ta\\tb\n2\t\\N\n", 2, 2).row(0)
    [b'1', b'a\tb']
    """
    out = np.empty(len(copied), np.uint8)
    start, length = np.empty((columns, rows), np.int64), np.empty((columns, rows), np.int64)
    if not _parse(read_only(copied), out, start, length):
        raise ValueError("not a table in COPY's format")
    out.flags.writeable = False
    return TextTable(out, start, length)


@njit(nogil=True, cache=True)
def _parse(data, out, start, length):  # noqa: PLR0912
    """Write the texts without their escapes, each with its separator; return whether the table is as large as said."""
    columns, rows = start.shape
    row = column = to = begin = at = 0
    is_null = False
    while at < data.size:
        byte = data[at]
        at += 1
        if byte in (9, 10):  # tab, newline
            if row == rows or column == columns:
                return False
            start[column, row] = begin
            length[column, row] = -1 if is_null else to - begin
            out[to] = byte
            to += 1
            begin, is_null = to, False
            column += 1
            if byte == 10:
                if column != columns:
                    return False
                column = 0
                row += 1
            continue
        if byte == 92:  # \
            if at == data.size:
                return False
            byte = data[at]
            at += 1
            if byte == 78:  # N: nothing else stands beside it
                is_null = True
                continue
            if byte == 98:
                byte = 8
            elif byte == 102:
                byte = 12
            elif byte == 110:
                byte = 10
            elif byte == 114:
                byte = 13
            elif byte == 116:
                byte = 9
            elif byte == 118:
                byte = 11
        out[to] = byte
        to += 1
    return row == rows and column == 0 and begin == to
