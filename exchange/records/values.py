"""Byte strings in a buffer, as columns: the type that kernels read and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Values(NamedTuple):
    """Byte strings as columns: string i is buf[start[i] : start[i] + length[i]]; length -1 is null.

    `buf` is uint8[], the columns are int64[n]. Kernels take the three as arguments: `kernel(*values)`.
    """

    buf: np.ndarray
    start: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, strings: Sequence[bytes | None]) -> Values:
        """Columns for a list of byte strings."""
        length = np.fromiter((-1 if s is None else len(s) for s in strings), np.int64, len(strings))
        sizes = np.maximum(length, 0)
        return cls(read_only(b"".join([s for s in strings if s])), np.cumsum(sizes) - sizes, length)

    @classmethod
    def nulls(cls, rows: int) -> Values:
        """As many nulls as `rows` says."""
        return cls(read_only(b""), np.zeros(rows, np.int64), np.full(rows, -1, np.int64))

    @classmethod
    def repeated(cls, string: bytes, rows: int) -> Values:
        """The same string in every row."""
        return cls(read_only(string), np.zeros(rows, np.int64), np.full(rows, len(string), np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Values]) -> Values:
        """The rows of all parts, one part after the other, in a buffer of their own."""
        at = np.cumsum([0, *(len(part.buf) for part in parts)])
        buf = np.concatenate([read_only(b""), *(part.buf for part in parts)])
        buf.flags.writeable = False
        starts = [part.start + first for part, first in zip(parts, at[:-1], strict=True)]
        return cls(buf, np.concatenate(starts), np.concatenate([part.length for part in parts]))

    @property
    def rows(self) -> int:
        """The number of strings."""
        return len(self.start)

    @property
    def sizes(self) -> np.ndarray:
        """int64[n]: the bytes of each string; 0 for a null."""
        sizes: np.ndarray = np.maximum(self.length, 0)
        return sizes

    def at(self, rows: np.ndarray) -> Values:
        """The strings of these rows (int64 indexes)."""
        return Values(self.buf, self.start[rows], self.length[rows])

    def string(self, number: int) -> bytes:
        """One of the strings, which is not null."""
        return self.buf[self.start[number] : self.start[number] + self.length[number]].tobytes()

    def tolist(self) -> list[bytes | None]:
        """The strings as a list.

        >>> Values.of([b"a", None, b""]).tolist()
        [b'a', None, b'']
        """
        data, places = self.buf.data, zip(self.start.tolist(), self.length.tolist(), strict=True)
        return [None if length < 0 else bytes(data[start : start + length]) for start, length in places]


def read_only(data: bytes | bytearray | memoryview) -> np.ndarray:
    """The bytes as uint8[n]. Never writable, so that kernels compile for one array type only."""
    array: np.ndarray = np.frombuffer(data, np.uint8)
    array.flags.writeable = False
    return array
