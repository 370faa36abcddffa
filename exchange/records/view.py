"""One view of a subject: which records pass, and what of them is delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from exchange.contract.model import Mask, Where
from exchange.records.avro_plan import Plan, compile_plan
from exchange.records.filter import Filter, compile_filter
from exchange.records.locate import LocatedRows, locate
from exchange.records.project import Draft, InconvertibleError, Projection, compile_projection
from exchange.records.reference import Reference, UnevaluableError
from exchange.records.wire_ids import by_id
from exchange.schema.avro import Schema
from exchange.schema.wire import HEADER_BYTES, pack


class Evaluated(NamedTuple):
    """What a view makes of n values, row by row.

    `keep` are the rows that pass, `unevaluable` those withheld because the filter or the projection
    cannot be evaluated on them. Row i is delivered as buf[start[i] : start[i] + length[i]], wire
    header included; rows that do not pass have length -1. `buf` is read-only.
    """

    keep: np.ndarray
    unevaluable: np.ndarray
    buf: np.ndarray
    start: np.ndarray
    length: np.ndarray


@dataclass(frozen=True, eq=False)
class Kernels:
    """A view on one writer's records; without projection the values pass as they are."""

    plan: Plan
    filter: Filter
    projection: Projection | None


Way = Kernels | Reference | None
"""How one writer's records are evaluated; None: they cannot be."""


@dataclass(frozen=True, eq=False)
class View:
    """A compiled view; `ways` has one entry per schema id that the subject's writers use."""

    schema_id: int | None
    ways: Mapping[int, Way]

    def evaluate(
        self,
        buf: np.ndarray,
        start: np.ndarray,
        length: np.ndarray,
        ids: np.ndarray,
        rows: np.ndarray,
        known: Mapping[int, LocatedRows] = {},
    ) -> Evaluated:
        """Evaluate the rows named by `rows` (int64 indexes, ascending) of n values.

        Values are buf[start : start + length] in wire format, `buf` read-only uint8[], the columns
        int64[n] and `ids` their schema ids. The rows named must have passed `check` (no nulls
        among them); all others neither pass nor count as unevaluable. `known` are bodies that have been
        located already, by schema id: at least the rows named of that id.
        """
        n = len(start)
        keep, unevaluable = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        made: list[tuple[np.ndarray, Draft]] = []
        slow: dict[int, bytes] = {}
        for schema_id, of_writer in by_id(ids, rows):
            way = self.ways.get(schema_id)
            if way is None:
                unevaluable[of_writer] = True
            elif isinstance(way, Reference):
                slow |= self._slowly(way, buf, start, length, of_writer, keep, unevaluable)
            elif way.projection is None and not way.filter.conditions:
                keep[of_writer] = True
            else:
                if schema_id in known:
                    located = known[schema_id].of(of_writer)
                else:
                    located = locate(way.plan, buf, start[of_writer] + HEADER_BYTES, length[of_writer] - HEADER_BYTES)
                passing = of_writer
                if located.status.any():
                    unevaluable[of_writer[located.status != 0]] = True
                    passing, located = passing[located.status == 0], located.cut(located.status == 0)
                if way.filter.conditions:
                    mask = way.filter.mask(located)
                    passing, located = passing[mask], located.cut(mask)
                keep[passing] = True
                if way.projection is not None:
                    made.append((passing, way.projection.draft(located)))
        if self.schema_id is None:
            return Evaluated(keep, unevaluable, buf, start, np.where(keep, length, -1))
        return Evaluated(keep, unevaluable, *_written(n, made, slow))

    def _slowly(
        self,
        way: Reference,
        buf: np.ndarray,
        start: np.ndarray,
        length: np.ndarray,
        rows: np.ndarray,
        keep: np.ndarray,
        unevaluable: np.ndarray,
    ) -> dict[int, bytes]:
        values = {}
        for row in rows.tolist():
            body = way.evaluate(buf[start[row] + HEADER_BYTES : start[row] + length[row]].tobytes())
            if body is None:
                unevaluable[row] = True
            elif isinstance(body, bytes):
                keep[row] = True
                values[row] = pack(self.schema_id or 0, body)
        return values


def compile_view(
    writers: Mapping[int, Schema],
    view: tuple[int, Schema] | None,
    where: Where,
    masks: Mapping[str, Mask] | None = None,
    pseudonym_key: bytes = b"",
) -> View:
    """The view of a grant; PlanError if a schema is too large.

    `writers` are the subject's schemas by id, `view` the id and schema of what is delivered, or None for whole records.
    `masks` are by field; conditions look at what is behind them. `pseudonym_key` is the reader's (32 bytes).
    """

    def way(writer: Schema) -> Way:
        plan = compile_plan(writer)
        try:
            conditions = compile_filter(writer, where)
            if view is None:
                return Kernels(plan, conditions, None)
            try:
                return Kernels(
                    plan, conditions, compile_projection(writer, view[1], view[0], masks or {}, pseudonym_key)
                )
            except InconvertibleError:
                return Reference(writer, view[1], where, masks or {}, pseudonym_key)
        except UnevaluableError:
            return None

    return View(view[0] if view else None, {schema_id: way(writer) for schema_id, writer in writers.items()})


def _written(
    n: int, made: list[tuple[np.ndarray, Draft]], slow: Mapping[int, bytes]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All projected values one after the other, in row order: their buffer, starts and lengths."""
    length = np.full(n, -1, np.int64)
    for rows, draft in made:
        length[rows] = draft.sizes()
    for row, value in slow.items():
        length[row] = len(value)
    end = np.cumsum(np.maximum(length, 0))
    start = end - np.maximum(length, 0)
    out = np.empty(int(end[-1]) if n else 0, np.uint8)
    for rows, draft in made:
        draft.write(out, start[rows])
    for row, value in slow.items():
        out[start[row] : start[row] + len(value)] = np.frombuffer(value, np.uint8)
    out.flags.writeable = False
    return out, start, length


def warm_up(view: View) -> None:
    """Compile (or load from the cache) every kernel that the view can need."""
    for schema_id, way in view.ways.items():
        if isinstance(way, Kernels):
            value = np.frombuffer(pack(schema_id, b""), np.uint8)
            column = np.zeros(1, np.int64)
            located = locate(way.plan, value, column, column)
            located.marks[:] = 0
            way.filter.mask(located)
            if way.projection is not None:
                draft = way.projection.draft(located)
                draft.write(np.empty(draft.sizes()[0], np.uint8), column)
