"""A grant's conditions as masks over columns of located fields; `reference` defines what the conditions mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from exchange.contract.terms import Condition, Where
from exchange.records.field_values import Column, Reader, compile_reader
from exchange.records.locate import Located
from exchange.records.reference import UnevaluableError, operands
from exchange.schema.avro import Schema


class Test(Protocol):
    """A condition, or several combined."""

    def mask(self, located: Located) -> np.ndarray:
        """bool[n]: for which bodies it holds; all bodies must have status 0."""


@dataclass(frozen=True)
class Filter:
    """Holds if all of its conditions hold, on records of one writer's schema."""

    conditions: tuple[Test, ...]

    def mask(self, located: Located) -> np.ndarray:
        mask = np.ones(len(located.start), np.bool_)
        for condition in self.conditions:
            mask &= condition.mask(located)
        return mask


@dataclass(frozen=True)
class AnyOf:
    """Holds if at least one of its filters holds."""

    filters: tuple[Filter, ...]

    def mask(self, located: Located) -> np.ndarray:
        mask = np.zeros(len(located.start), np.bool_)
        for one in self.filters:
            mask |= one.mask(located)
        return mask


@dataclass(frozen=True)
class Not:
    """Holds if the other does not, whichever fields are null."""

    filter: Filter

    def mask(self, located: Located) -> np.ndarray:
        return ~self.filter.mask(located)


@dataclass(frozen=True)
class FieldCondition:
    """Holds if all of its operators hold for one field."""

    reader: Reader
    operators: Mapping[str, Any]

    def mask(self, located: Located) -> np.ndarray:
        """bool[n]: for which bodies every operator holds."""
        at = self.reader.places(located)
        null = at < 0
        mask = np.ones(len(at), np.bool_)
        column: Column | None = None
        for op, wanted in self.operators.items():
            if op == "is_null":
                mask &= null == wanted
                continue
            column = column or self.reader.column(located.buf, at)
            if op in ("eq", "ne", "in"):
                equal = _equal(column, null, wanted if op == "in" else (wanted,))
                mask &= ~equal if op == "ne" else equal
            else:
                mask &= column.test(op, wanted) & ~null
        return mask


def _equal(column: Column, null: np.ndarray, wanted: tuple[Any, ...]) -> np.ndarray:
    equal = np.zeros(len(null), np.bool_)
    for value in wanted:
        equal |= null if value is None else column.test("eq", value) & ~null
    return equal


def compile_filter(schema: Schema, where: Where) -> Filter:
    """The filter of a grant's `where` on records of a writer's schema; raises UnevaluableError as `operands` does."""

    def test(name: str, part: Any) -> Test:
        if isinstance(part, Condition):
            made = operands(schema, name, part)
            return FieldCondition(compile_reader(schema, name), made)
        if name == "not" and isinstance(part, Mapping):
            return Not(compile_filter(schema, part))
        if name in ("all", "any") and isinstance(part, tuple):
            filters = tuple(compile_filter(schema, each) for each in part)
            return AnyOf(filters) if name == "any" else Filter(filters)
        raise UnevaluableError(f"'{name}' is not a condition")

    return Filter(tuple(test(name, part) for name, part in where.items()))
