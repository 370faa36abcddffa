"""Takes one top-level field out of many located Avro bodies, as a column of numbers or of places."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.records.check import read_long
from exchange.records.locate import Located
from exchange.records.memory import address, byte, word
from exchange.schema.types import Field

_LONG, _BOOLEAN, _FLOAT, _DOUBLE, _BYTES, _FIXED = range(6)
_READS = {"boolean": _BOOLEAN, "float": _FLOAT, "double": _DOUBLE, "bytes": _BYTES, "string": _BYTES, "fixed": _FIXED,
          "int": _LONG, "long": _LONG, "enum": _LONG}  # fmt: skip
_NO_UNION, _NO_NULL = -1, 1 << 20


class Picked(NamedTuple):
    """Column of n values: `value` (int64[n]) is a number, an enum's index, a float's bits, or where bytes begin.

    `length` (int64[n]) is that of the bytes, 0 for numbers, -1 for a null or a body that is none.
    """

    value: np.ndarray
    length: np.ndarray


def is_plain(field: Field) -> bool:
    """Whether `pick` takes it: no array, map, record, or union of several types."""
    return field.solid.kind in _READS


def pick(located: Located, number: int, field: Field) -> Picked:
    """The column of the field with that number, which must be plain."""
    found = Picked(np.zeros(len(located.start), np.int64), np.full(len(located.start), -1, np.int64))
    null = _NO_UNION
    if field.type.means == "union":
        branches = field.type.parts
        null = next((i for i, branch in enumerate(branches) if branch.means == "null"), _NO_NULL)
    _pick(*located, number, null, _READS[field.solid.kind], field.solid.size, *found)
    return found


@njit(nogil=True, cache=True)
def _pick(buf, start, marks, status, field, null, read, size, value, length):
    base = address(buf)
    for i in range(len(start)):
        if status[i] != 0:
            continue
        at = base + start[i] + marks[i, field]
        end = base + start[i] + marks[i, field + 1]
        if null != _NO_UNION:
            branch, at = read_long(at, end)
            if branch == null:
                continue
        length[i] = 0
        if read == _LONG:
            value[i], at = read_long(at, end)
        elif read == _BYTES:
            length[i], at = read_long(at, end)
            value[i] = at - base
        elif read == _FIXED:
            length[i] = size
            value[i] = at - base
        elif read == _BOOLEAN:
            value[i] = np.int64(byte(at))
        elif read == _DOUBLE:
            value[i] = np.int64(word(at))
        else:
            for k in range(4):
                value[i] |= np.int64(byte(at + k)) << np.int64(8 * k)
