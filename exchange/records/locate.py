"""Where the top-level fields of Avro bodies lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from exchange.records.check import walk
from exchange.records.program import RANGES, Program
from exchange.records.values import Values


class Located(NamedTuple):
    """Bodies of one schema with the places of their fields.

    Field f of body i is buf[start[i] + marks[i, f] : start[i] + marks[i, f + 1]]; `status` is that
    of `check`, and where it is not 0 the marks mean nothing.
    """

    buf: np.ndarray
    start: np.ndarray
    marks: np.ndarray
    status: np.ndarray

    def cut(self, which: np.ndarray) -> Located:
        """The bodies that `which` (a mask or indexes) names."""
        return Located(self.buf, self.start[which], self.marks[which], self.status[which])


class LocatedRows(NamedTuple):
    """Located bodies of some rows (int64 indexes, ascending), one body a row."""

    rows: np.ndarray
    located: Located

    def of(self, rows: np.ndarray) -> Located:
        """The bodies of these of the rows."""
        if len(rows) == len(self.rows):
            return self.located
        return self.located.cut(np.searchsorted(self.rows, rows))


def locate(program: Program, bodies: Values) -> Located:
    """Check the bodies as `check` does, and locate every field."""
    marks = np.empty((bodies.rows, len(program.fields) + 1), np.int32)
    status = np.empty(bodies.rows, np.uint8)
    walk(program.code, RANGES, *bodies, status, marks)
    return Located(bodies.buf, bodies.start, marks, status)
