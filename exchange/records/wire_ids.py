"""Reads the schema ids in the wire headers of values, as a column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from exchange.records.values import Values
from exchange.schema.wire import HEADER_BYTES

NULL = -1
NO_HEADER = -2


def schema_ids(values: Values) -> np.ndarray:
    """The schema id of each value, int64[n]: NULL for a null value, NO_HEADER if it has no wire header."""
    out = np.empty(values.rows, np.int64)
    _schema_ids(*values, out)
    return out


def bodies(values: Values) -> Values:
    """What follows the wire headers; every value must have one."""
    return Values(values.buf, values.start + HEADER_BYTES, values.length - HEADER_BYTES)


def by_id(ids: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each schema id among ids[rows] with its rows, ascending; `rows` are int64 indexes into `ids` (int64[n])."""
    chosen = ids if len(rows) == len(ids) else ids[rows]
    if len(rows) and (chosen == chosen[0]).all():  # nearly always: a full sort would show in profiles
        yield int(chosen[0]), rows
        return
    for schema_id in np.unique(chosen).tolist():
        yield schema_id, rows[chosen == schema_id]


@njit(nogil=True, cache=True)
def _schema_ids(buf, start, length, out):
    for row in range(len(start)):
        at = start[row]
        if length[row] < 0:
            out[row] = NULL
        elif length[row] < HEADER_BYTES or buf[at] != 0 or buf[at + 1] >= 0x80:
            out[row] = NO_HEADER
        else:
            high = np.int64(buf[at + 1]) << 24 | np.int64(buf[at + 2]) << 16
            out[row] = high | np.int64(buf[at + 3]) << 8 | np.int64(buf[at + 4])
