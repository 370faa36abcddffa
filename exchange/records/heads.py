"""Finds two headers of each record, the last of their names, without making records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.records.scan import Run, varint
from exchange.records.values import Values, read_only

NONE, MALFORMED = -1, -2


class Heads(NamedTuple):
    """What the headers of n records say under one name: `length` is NONE without one, MALFORMED if none can be read.

    A header with a null value counts as an empty one.
    """

    start: np.ndarray
    length: np.ndarray


def heads(run: Run, name: str) -> Heads:
    """The last header of that name in each record of the run."""
    found = Heads(np.zeros(run.rows, np.int64), np.full(run.rows, NONE, np.int64))
    _heads(*run.values, *run.tails[1:], read_only(name.encode()), *found)
    return found


def of(run: Run, found: Heads) -> Values:
    """The same as byte strings; a header that is not there, or cannot be read, is null."""
    return Values(run.values.buf, found.start, np.maximum(found.length, -1))


@njit(nogil=True, cache=True)
def _heads(buf, value, value_len, tail, tail_len, name, start, length):
    for i in range(len(start)):
        end = tail[i] + tail_len[i]
        at = value[i] + max(value_len[i], 0)
        if tail_len[i] <= 0 or at >= end:
            continue
        if at + 1 == end and buf[at] == 0:  # nearly always: no headers
            continue
        count, at = varint(buf, at, end)
        for _ in range(count):
            size, at = varint(buf, at, end)
            if at < 0 or size < 0 or size > end - at:
                length[i] = MALFORMED
                break
            is_it = size == len(name)
            for k in range(len(name)):
                if not is_it:
                    break
                is_it = buf[at + k] == name[k]
            size, at = varint(buf, at + size, end)
            if at < 0 or size > end - at:
                length[i] = MALFORMED
                break
            if is_it:
                start[i] = at
                length[i] = max(size, 0)
            at += max(size, 0)
