"""Names of rows, as columns: the key's fields as their writer encoded them, behind a wire header with its schema id.

A record that has a value is a version of a row. A record without one deletes the row that its header names, or, if it
has no such header, every row of its entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from exchange.contract.key import name_schema
from exchange.records.check import check
from exchange.records.locate import LocatedRows
from exchange.records.memory import address, copy, equal
from exchange.records.program import Program, compile_program
from exchange.records.projection import Projection, compile_projection
from exchange.records.scan import Run, varint
from exchange.records.values import Values, read_only
from exchange.records.wire_ids import NULL, bodies, by_id, schema_ids
from exchange.schema.avro import Schema
from exchange.schema.wire import HEADER_BYTES


@dataclass(frozen=True, eq=False)
class Namer:
    """How one writer's records name their rows: by these fields of a record, or by a name that stands alone.

    If the fields follow each other, they are those from `span[0]` to before `span[1]`.
    """

    fields: Projection
    program: Program
    span: tuple[int, int] | None


def compile_namers(writers: Mapping[int, Schema], key: Sequence[str]) -> dict[int, Namer]:
    """The namer of each of the subject's schemas, by id; none if the subject has no key."""
    return {schema_id: _namer(schema_id, writer, key) for schema_id, writer in writers.items()} if key else {}


def _namer(schema_id: int, writer: Schema, key: Sequence[str]) -> Namer:
    schema, order = name_schema(writer, key), list(writer.fields)
    first = order.index(key[0])
    span = (first, first + len(key)) if order[first : first + len(key)] == list(key) else None
    fields = compile_projection(writer, schema, schema_id, {}, b"")
    return Namer(fields, compile_program(schema), span)


class RowNames(NamedTuple):
    """Names of rows as columns: the schema ids in their wire headers (int64[n]), and their bodies; null: no row."""

    ids: np.ndarray
    bodies: Values

    @classmethod
    def nulls(cls, rows: int) -> RowNames:
        """As many records that name no row."""
        return cls(np.full(rows, NULL, np.int64), Values.nulls(rows))

    def at(self, rows: np.ndarray) -> Values:
        """The names of these records (int64 indexes) in wire format."""
        bodies, ids = self.bodies.at(rows), self.ids[rows]
        length = np.where(bodies.length < 0, -1, bodies.length + HEADER_BYTES)
        end = np.cumsum(np.maximum(length, 0))
        made = Values(np.empty(int(end[-1]) if len(rows) else 0, np.uint8), end - np.maximum(length, 0), length)
        _pack(*bodies, ids, made.start, made.buf)
        made.buf.flags.writeable = False
        return made


class Named(NamedTuple):
    """The `names` of n records' rows (null if a record deletes an entity or is not valid), and which are `misnamed`."""

    names: RowNames
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
    told = headers._replace(length=np.where(misnamed[gone], -1, headers.length))
    valued = list(by_id(ids, good[run.values.length[good] >= 0]))
    of = _in_place if all(namers[schema_id].span for schema_id, _ in valued) else _written
    whose = ids.copy()
    whose[gone] = gone_ids
    return Named(RowNames(whose, of(run, gone, told, valued, located, namers)), misnamed)


def _in_place(
    run: Run,
    gone: np.ndarray,
    told: Values,
    valued: Iterable[tuple[int, np.ndarray]],
    located: Mapping[int, LocatedRows],
    namers: Mapping[int, Namer],
) -> Values:
    """The bodies of names where they lie in the records: `told` are those of the `gone`, in wire format."""
    start, length = np.zeros(run.rows, np.int64), np.full(run.rows, -1, np.int64)
    start[gone], length[gone] = told.start + HEADER_BYTES, np.maximum(told.length - HEADER_BYTES, -1)
    for schema_id, rows in valued:
        fields, span = located[schema_id].of(rows), namers[schema_id].span
        assert span is not None
        low, high = (fields.marks[:, mark] for mark in span)
        start[rows], length[rows] = fields.start + low, high - low
    return Values(run.values.buf, start, length)


def _written(
    run: Run,
    gone: np.ndarray,
    told: Values,
    valued: Iterable[tuple[int, np.ndarray]],
    located: Mapping[int, LocatedRows],
    namers: Mapping[int, Namer],
) -> Values:
    """The same, for names whose fields do not follow each other in a record."""
    length = np.full(run.rows, -1, np.int64)
    length[gone] = told.length
    made = []
    for schema_id, rows in valued:
        unwritten = namers[schema_id].fields.unwritten(located[schema_id].of(rows))
        length[rows] = unwritten.sizes()
        made.append((rows, unwritten))
    end = np.cumsum(np.maximum(length, 0))
    names = Values(np.empty(int(end[-1]) if run.rows else 0, np.uint8), end - np.maximum(length, 0), length)
    for rows, unwritten in made:
        unwritten.write(names.buf, names.start[rows])
    _place(*told, names.start[gone], names.buf)
    names.buf.flags.writeable = False
    return Values(names.buf, names.start + HEADER_BYTES, np.maximum(length - HEADER_BYTES, -1))


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
            is_it = size == len(name) and equal(address(buf) + at, address(name), size)
            at += size
            size, at = varint(buf, at, end)
            if at < 0 or size > end - at:
                break
            if is_it and size >= 0:
                start[row], length[row] = at, size
            at += max(size, 0)


@njit(nogil=True, cache=True)
def _place(buf, start, length, to, out):
    for row in range(len(start)):
        copy(out, to[row], buf, start[row], max(length[row], 0))


@njit(nogil=True, cache=True)
def _pack(buf, start, length, ids, to, out):
    for row in range(len(start)):
        if length[row] >= 0:
            out[to[row]] = 0
            for i in range(4):
                out[to[row] + 1 + i] = np.uint8((ids[row] >> (24 - 8 * i)) & 0xFF)
            copy(out, to[row] + HEADER_BYTES, buf, start[row], length[row])
