"""One view of a subject: which records pass, and what the reader gets of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from exchange.contract.terms import Mask, Where
from exchange.records.filter import Filter, compile_filter
from exchange.records.locate import LocatedRows
from exchange.records.projection import InconvertibleError, Projection, Unwritten, compile_projection
from exchange.records.reference import Reference, UnevaluableError
from exchange.records.values import Values
from exchange.records.wire_ids import bodies, by_id
from exchange.schema.avro import Schema
from exchange.schema.wire import pack


class Evaluated(NamedTuple):
    """What a view makes of n values, row by row.

    `keep` (bool[n]): the rows that pass. `unevaluable` (bool[n]): the rows withheld because the filter or the
    projection cannot be evaluated on them. `values`: what is delivered, wire header included, and null for rows
    that do not pass; their buffer is read-only.
    """

    keep: np.ndarray
    unevaluable: np.ndarray
    values: Values


@dataclass(frozen=True, eq=False)
class Kernels:
    """A view of one writer's records; if there is no projection, values pass as they are."""

    filter: Filter
    projection: Projection | None


Way = Kernels | Reference | None
"""How one writer's records are evaluated; None if they cannot be."""


@dataclass(frozen=True, eq=False)
class View:
    """A compiled view; `ways` has an entry for each schema id that the subject's writers use."""

    schema_id: int | None
    ways: Mapping[int, Way]

    def evaluate(
        self, values: Values, ids: np.ndarray, rows: np.ndarray, located: Mapping[int, LocatedRows]
    ) -> Evaluated:
        """Evaluate the rows in `rows` (int64 indexes, ascending) of n values in wire format.

        `ids` (int64[n]) are the values' schema ids. `located` holds, for each id, the bodies of at least its rows in
        `rows`. The rows in `rows` must have passed `check`, and none may be null; all other rows neither pass nor
        count as unevaluable.
        """
        keep, unevaluable = np.zeros(values.rows, np.bool_), np.zeros(values.rows, np.bool_)
        fast: list[tuple[np.ndarray, Unwritten]] = []
        slow: dict[int, bytes] = {}
        for schema_id, of_writer in by_id(ids, rows):
            way = self.ways.get(schema_id)
            if way is None:
                unevaluable[of_writer] = True
            elif isinstance(way, Reference):
                slow |= self._slowly(way, values, of_writer, keep, unevaluable)
            elif way.projection is None and not way.filter.conditions:
                keep[of_writer] = True
            else:
                passing, fields = of_writer, located[schema_id].of(of_writer)
                if way.filter.conditions:
                    mask = way.filter.mask(fields)
                    passing, fields = passing[mask], fields.cut(mask)
                keep[passing] = True
                if way.projection is not None:
                    fast.append((passing, way.projection.unwritten(fields)))
        if self.schema_id is None:
            return Evaluated(keep, unevaluable, values._replace(length=np.where(keep, values.length, -1)))
        return Evaluated(keep, unevaluable, _written(values.rows, fast, slow))

    def _slowly(
        self, way: Reference, values: Values, rows: np.ndarray, keep: np.ndarray, unevaluable: np.ndarray
    ) -> dict[int, bytes]:
        made = {}
        for row, given in zip(rows.tolist(), bodies(values.at(rows)).tolist(), strict=True):
            assert given is not None
            body = way.evaluate(given)
            if body is None:
                unevaluable[row] = True
            elif isinstance(body, bytes):
                keep[row] = True
                made[row] = pack(self.schema_id or 0, body)
        return made


def compile_view(
    writers: Mapping[int, Schema],
    view: tuple[int, Schema] | None,
    where: Where,
    masks: Mapping[str, Mask] | None = None,
    pseudonym_key: bytes = b"",
) -> View:
    """Compile the view of a grant.

    `writers`: the subject's schemas by id. `view`: id and schema of what is delivered, or None for whole records.
    `masks`: by field; conditions see the unmasked values. `pseudonym_key`: the reader's (32 bytes).
    """

    def way(writer: Schema) -> Way:
        try:
            conditions = compile_filter(writer, where)
            if view is None:
                return Kernels(conditions, None)
            try:
                return Kernels(conditions, compile_projection(writer, view[1], view[0], masks or {}, pseudonym_key))
            except InconvertibleError:
                return Reference(writer, view[1], where, masks or {}, pseudonym_key)
        except UnevaluableError:
            return None

    return View(view[0] if view else None, {schema_id: way(writer) for schema_id, writer in writers.items()})


def _written(n: int, fast: list[tuple[np.ndarray, Unwritten]], slow: Mapping[int, bytes]) -> Values:
    """All projected values in one buffer, in row order."""
    length = np.full(n, -1, np.int64)
    for rows, unwritten in fast:
        length[rows] = unwritten.sizes()
    for row, value in slow.items():
        length[row] = len(value)
    end = np.cumsum(np.maximum(length, 0))
    start = end - np.maximum(length, 0)
    out = np.empty(int(end[-1]) if n else 0, np.uint8)
    for rows, unwritten in fast:
        unwritten.write(out, start[rows])
    for row, value in slow.items():
        out[start[row] : start[row] + len(value)] = np.frombuffer(value, np.uint8)
    out.flags.writeable = False
    return Values(out, start, length)
