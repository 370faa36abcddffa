"""A grant's conditions as masks over columns of located fields; they mean what `reference` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.contract.model import Condition
from exchange.records.columns import Column, Reader, compile_reader
from exchange.records.locate import Located
from exchange.records.reference import operands
from exchange.schema.avro import Schema


@dataclass(frozen=True)
class Filter:
    """Conditions on one writer's schema, ready to run."""

    conditions: tuple[FieldCondition, ...]

    def mask(self, located: Located) -> np.ndarray:
        """bool[n]: for which bodies every condition holds; all must have status 0."""
        mask = np.ones(len(located.start), np.bool_)
        for condition in self.conditions:
            mask &= condition.mask(located)
        return mask


@dataclass(frozen=True)
class FieldCondition:
    """The operators on one field."""

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


def compile_filter(schema: Schema, where: Mapping[str, Condition]) -> Filter:
    """The filter of a grant's `where` on records of that writer's schema; UnevaluableError as `operands`."""
    made = {name: operands(schema, name, condition) for name, condition in where.items()}
    return Filter(tuple(FieldCondition(compile_reader(schema, name), ops) for name, ops in made.items()))
