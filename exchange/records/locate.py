"""Finds where the top-level fields of Avro bodies begin and end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from exchange.records.check import walk
from exchange.records.program import RANGES, Program
from exchange.records.values import Values


class Located(NamedTuple):
    """Bodies of one schema, with the positions of their fields.

    Field f of body i is buf[start[i] + marks[i, f] : start[i] + marks[i, f + 1]]. `status` comes from `check`; if it
    is not 0, the body's marks are undefined.
    """

    buf: np.ndarray
    start: np.ndarray
    marks: np.ndarray
    status: np.ndarray

    def cut(self, which: np.ndarray) -> Located:
        """The bodies that `which` (a mask or indexes) selects."""
        return Located(self.buf, self.start[which], self.marks[which], self.status[which])


class LocatedRows(NamedTuple):
    """Located bodies of some rows (int64 indexes, ascending), one body per row."""

    rows: np.ndarray
    located: Located

    def of(self, rows: np.ndarray) -> Located:
        """The bodies of `rows`, which must be among these rows."""
        if len(rows) == len(self.rows):
            return self.located
        return self.located.cut(np.searchsorted(self.rows, rows))


def locate(program: Program, bodies: Values) -> Located:
    """Check the bodies as `check` does, and find every field."""
    marks = np.empty((bodies.rows, len(program.fields) + 1), np.int32)
    status = np.empty(bodies.rows, np.uint8)
    walk(program.code, RANGES, *bodies, status, marks)
    return Located(bodies.buf, bodies.start, marks, status)
