"""Names of rows, as columns: the key's fields as their writer encoded them, behind a wire header with its schema id.

A record that has a value is a version of a row. A record without one deletes the row that its header names, or, if it
has no such header, every row of its entity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.contract.key import name_schema
from exchange.records.check import check
from exchange.records.locate import LocatedRows
from exchange.records.program import Program, compile_program
from exchange.records.projection import Projection, compile_projection
from exchange.records.scan import Run, varint
from exchange.records.values import Values, read_only
from exchange.records.wire_ids import bodies, by_id, schema_ids
from exchange.schema.avro import Schema


@dataclass(frozen=True, eq=False)
class Namer:
    """How one writer's records name their rows: by these fields of a record, or by a name that stands alone."""

    fields: Projection
    program: Program


def compile_namers(writers: Mapping[int, Schema], key: Sequence[str]) -> dict[int, Namer]:
    """The namer of each of the subject's schemas, by id; none if the subject has no key."""
    if not key:
        return {}
    schemas = {schema_id: name_schema(writer, key) for schema_id, writer in writers.items()}
    return {
        schema_id: Namer(compile_projection(writers[schema_id], schema, schema_id, {}, b""), compile_program(schema))
        for schema_id, schema in schemas.items()
    }


class Named(NamedTuple):
    """The `names` of n records' rows (null if a record deletes an entity or is not valid), and which are `misnamed`."""

    names: Values
    misnamed: np.ndarray


def named(
    run: Run,
    ids: np.ndarray,
    good: np.ndarray,
    located: Mapping[int, LocatedRows],
    namers: Mapping[int, Namer],
    header: str,
) -> Named:
    """Name the rows of the records in `good` (int64 indexes); `ids` and `located` are as for `View.evaluate`."""
    misnamed = np.zeros(run.rows, np.bool_)
    gone = good[run.values.length[good] < 0]
    headers = _header(run, gone, header)
    gone_ids = schema_ids(headers)
    for schema_id, which in by_id(gone_ids, np.flatnonzero(headers.length >= 0)):
        namer = namers.get(schema_id)
        misnamed[gone[which]] = True if namer is None else check(namer.program, bodies(headers.at(which))) != 0
    misnamed[gone[(headers.length < 0) & (run.keys.length[gone] < 0)]] = True  # of no entity
    length = np.full(run.rows, -1, np.int64)
    length[gone] = np.where(misnamed[gone], -1, headers.length)
    made = []
    for schema_id, rows in by_id(ids, good[run.values.length[good] >= 0]):
        unwritten = namers[schema_id].fields.unwritten(located[schema_id].of(rows))
        length[rows] = unwritten.sizes()
        made.append((rows, unwritten))
    end = np.cumsum(np.maximum(length, 0))
    names = Values(np.empty(int(end[-1]) if run.rows else 0, np.uint8), end - np.maximum(length, 0), length)
    for rows, unwritten in made:
        unwritten.write(names.buf, names.start[rows])
    _place(*headers, names.start[gone], names.length[gone], names.buf)
    names.buf.flags.writeable = False
    return Named(names, misnamed)


def _header(run: Run, rows: np.ndarray, name: str) -> Values:
    """The last header of that name of each of these records; null if it has none."""
    own = run.values.start + run.values.sizes
    end = run.tails.start + run.tails.length
    start, length = np.zeros(len(rows), np.int64), np.full(len(rows), -1, np.int64)
    _find(run.values.buf, own[rows], end[rows], read_only(name.encode()), start, length)
    return Values(run.values.buf, start, length)


@njit(nogil=True, cache=True)
def _find(buf, own, ends, name, start, length):
    for row in range(len(own)):
        at, end = own[row], ends[row]
        count, at = varint(buf, at, end)
        for _ in range(count if at >= 0 else 0):
            size, at = varint(buf, at, end)
            if at < 0 or size < 0 or size > end - at:
                break
            is_it = size == len(name)
            for i in range(size if is_it else 0):
                is_it = is_it and buf[at + i] == name[i]
            at += size
            size, at = varint(buf, at, end)
            if at < 0 or size > end - at:
                break
            if is_it and size >= 0:
                start[row], length[row] = at, size
            at += max(size, 0)


@njit(nogil=True, cache=True)
def _place(buf, start, length, to, taken, out):
    for row in range(len(start)):
        for i in range(taken[row]):
            out[to[row] + i] = buf[start[row] + i]
