"""Puts the changes of one transaction into few runs that can each be written at once, without changing what comes out.

It is `row_change.runs` for columns. In addition no run of columns has two versions of one row, which one INSERT cannot
take.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BY_ROW, LEFT_OUT = 0, -1


def order(kind: np.ndarray, entity: np.ndarray, row: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The run of each change (int32[n]) and the kind of each run; None if there were more than `most` runs.

    `kind` (int64[n]) is how a change is written: BY_ROW, or a number above it for columns; LEFT_OUT has no run. Changes
    with the same `entity` (uint64[n], never 0) keep their order; `row` (uint64[n]) are versions of one row.
    """
    run, kinds = np.full(len(kind), -1, np.int32), np.empty(most, np.int64)
    slots = 1 << int(2 * len(kind) + 1).bit_length()
    tables = [np.zeros(slots, dtype) for dtype in (np.uint64, np.int64, np.uint64, np.int64)]
    count = _order(kind, entity, row, run, kinds, *tables)
    return None if count < 0 else (run, kinds[:count])


@njit(nogil=True, cache=True)
def _slot(keys, key):
    at = (key ^ key >> np.uint64(32)) & np.uint64(len(keys) - 1)
    while keys[at] != np.uint64(0) and keys[at] != key:
        at = (at + np.uint64(1)) & np.uint64(len(keys) - 1)
    keys[at] = key
    return at


@njit(nogil=True, cache=True)
def _order(kind, entity, row, run, kinds, entities, last, rows, after):
    """`last` is the run of an entity's last change; `after` the first run in which a row may have its next version."""
    count = 0
    for i in range(len(kind)):
        if kind[i] == LEFT_OUT:
            continue
        whose = _slot(entities, entity[i])
        at = last[whose]
        mine = np.uint64(0)
        if kind[i] != BY_ROW:
            mine = _slot(rows, row[i])
            at = max(at, after[mine])
        while at < count and kinds[at] != kind[i]:
            at += 1
        if at >= count:
            if at == len(kinds):
                return -1
            kinds[at] = kind[i]
            count = at + 1
        run[i] = last[whose] = at
        if kind[i] != BY_ROW:
            after[mine] = at + 1
    return count
