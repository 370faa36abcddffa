"""Compiles what a sink writes into steps for a kernel: how a field lies in Avro, how its column lies in a COPY.

Only what both sides keep without a question: any other field, or any other column, has no program, and its records go
row by row. What the values mean is said in `sink_values`; property tests hold both equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy.dialects import postgresql

from exchange.connect.delivered import ROW
from exchange.connect.sink_layout import PLACE, REPLAY, TIME, Layout
from exchange.connect.sink_values import Type
from exchange.records.values import Values
from exchange.schema.avro import Schema
from exchange.schema.types import Field

# How a value is read: a number, or a piece of the buffer.
READ_NULL, READ_LONG, READ_BOOLEAN, READ_FLOAT, READ_DOUBLE, READ_BYTES, READ_FIXED, READ_ENUM = range(8)
READ_OWN, READ_REPLAY, READ_ROW = 8, 9, 10  # not of the body: the record's place and time, and its headers
# How it is written; the formats are those of PostgreSQL's `…_recv` functions.
INT2, INT4, INT8, WHOLE, NUMBER, BOOLEAN, REAL, DOUBLE, WIDENED, TEXT, RAW, DECIMAL, UUID, UUID_TEXT, HEX = range(15)
# A step's words.
READ, FIELD, NULL_BRANCH, BASE, WRITE, ONE, TWO, KEY, WORDS = range(9)
NO_UNION, NO_NULL = -1, 1 << 20  # in NULL_BRANCH, beside the null's branch

_EPOCH_DAYS, _EPOCH_US = 10_957, 946_684_800_000_000  # PostgreSQL's years begin in 2000
_MOST = (1 << 63) - 1
_INTEGERS: Mapping[str, int] = {"SMALLINT": INT2, "INTEGER": INT4, "BIGINT": INT8}
_DOUBLES = ("DOUBLE", "DOUBLE_PRECISION")
_TEXTS = ("TEXT", "VARCHAR")
_OWN_INDEX: Mapping[str, int] = {PLACE[0]: 0, PLACE[1]: 1, TIME: 2}


class _Step(NamedTuple):
    read: int
    base: int
    write: int
    one: int = 0
    two: int = 0


@dataclass(frozen=True, eq=False)
class CopyProgram:
    """Steps (int64[n, WORDS]) for the columns of `names`; `symbols` are those of all enums, one after the other.

    A row takes at most `row_bytes`, beside the bytes of its record and of its headers.
    """

    names: tuple[str, ...]
    steps: np.ndarray
    symbols: Values
    row_bytes: int


def compile_copy(
    schema: Schema, given: Sequence[str], layout: Layout, key: Sequence[str], entity: str
) -> CopyProgram | None:
    """The program for records of that schema, of which these fields are written; None if a field or column has none.

    The steps for columns of `key` have in KEY their number, from 1; the entity's has it negative.
    """
    own = [*((ROW,) if ROW in key else ()), *_OWN_INDEX, REPLAY]
    return _compiled(schema, given, {name: _own(name, layout.type_of(name)) for name in own}, layout, key, entity)


def compile_name(schema: Schema, layout: Layout, key: Sequence[str], entity: str) -> CopyProgram | None:
    """As `compile_copy`, for bodies that only name a row: they have the fields of `key`."""
    return _compiled(schema, key, {}, layout, key, entity)


def compile_piece(name: str, layout: Layout) -> CopyProgram | None:
    """As `compile_copy`, for a column alone that tells rows or entities apart: its value comes in place of `row`."""
    there = layout.type_of(name)
    step = _own(ROW, there) if name == ROW else _Step(READ_ROW, 0, TEXT, _limit(there)) if keeps_text(there) else None
    return _compiled(None, (), {name: step}, layout, (name,), name)


def _compiled(
    schema: Schema | None,
    given: Sequence[str],
    own: Mapping[str, _Step | None],
    layout: Layout,
    key: Sequence[str],
    entity: str,
) -> CopyProgram | None:
    steps: list[list[int]] = []
    symbols: list[bytes] = []
    fields = schema.fields if schema else {}
    for name in given:
        step, null = _step(fields[name], layout.type_of(name), symbols), _null_branch(fields[name])
        if step is None or null is None:
            return None
        steps.append(_words(step, list(fields).index(name), null))
    for name, step in own.items():
        if step is None:
            return None
        steps.append(_words(step, _OWN_INDEX.get(name, 0), NO_UNION))
    names = (*given, *own)
    for number, name in enumerate(key, 1):
        steps[names.index(name)][KEY] = -number if name in (entity, ROW) else number
    # Length and the longest form of a number; text is in the record, except symbols and a handle's digits.
    row_bytes = 2 + 32 * (len(names) + 1) + 32 + sum(max(map(len, symbols), default=0) for _ in given)
    return CopyProgram(names, np.array(steps, np.int64), Values.of(symbols), row_bytes)


def keeps_text(column: Type) -> bool:
    """Whether a text's bytes stand in a COPY for such a column as they are."""
    return _kind(column) in _TEXTS


def _words(step: _Step, field: int, null: int) -> list[int]:
    return [step.read, field, null, step.base, step.write, step.one, step.two, 0]


def _null_branch(field: Field) -> int | None:
    """Which branch of the field's union is null; None if the union has several other types."""
    if field.type.means != "union":
        return NO_UNION
    if field.solid.means == "union":
        return None
    return next((i for i, branch in enumerate(field.type.parts) if branch.means == "null"), NO_NULL)


def _kind(column: Type) -> str:
    """PostgreSQL's name of the type, as SQLAlchemy writes it; that of a domain is its base's."""
    return str((column.data_type if isinstance(column, postgresql.DOMAIN) else column).__visit_name__)


def _limit(column: Type) -> int:
    length = getattr(column, "length", None)
    return _MOST if length is None else int(length)


def _own(name: str, column: Type) -> _Step | None:
    if name == ROW:
        return _Step(READ_ROW, 0, HEX) if _kind(column) in _TEXTS and _limit(column) >= 32 else None
    if name == REPLAY:
        return _Step(READ_REPLAY, 0, TEXT, _limit(column)) if _kind(column) in _TEXTS else None
    there = _INTEGERS.get(_kind(column))
    return None if there is None else _Step(READ_OWN, 0, there, 1)


def _step(field: Field, column: Type, symbols: list[bytes]) -> _Step | None:  # noqa: PLR0912
    solid, there = field.solid, _kind(column)
    zoned = bool(getattr(column, "timezone", False))
    match solid.means:
        case "null":
            return _Step(READ_NULL, 0, RAW)
        case "int" | "long":
            return _integer(there)
        case "boolean" if there == "BOOLEAN":
            return _Step(READ_BOOLEAN, 0, BOOLEAN)
        case "float" if there == "REAL":
            return _Step(READ_FLOAT, 0, REAL)
        case "float" if there in _DOUBLES:
            return _Step(READ_FLOAT, 0, WIDENED)
        case "double" if there in _DOUBLES:
            return _Step(READ_DOUBLE, 0, DOUBLE)
        case "date" if there == "DATE":
            return _Step(READ_LONG, 0, INT4, 1, -_EPOCH_DAYS)
        case "timestamp-millis" | "timestamp-micros" as unit if there == "TIMESTAMP" and zoned:
            return _Step(READ_LONG, 0, INT8, _us(unit), -_EPOCH_US)
        case "local-timestamp-millis" | "local-timestamp-micros" as unit if there == "TIMESTAMP" and not zoned:
            return _Step(READ_LONG, 0, INT8, _us(unit), -_EPOCH_US)
        case "time-millis" | "time-micros" as unit if there == "TIME" and not zoned:
            return _Step(READ_LONG, 0, INT8, _us(unit))
        case "decimal" if there == "NUMERIC":
            digits = min(10**solid.precision - 1, _MOST)
            return _Step(*_span(solid), DECIMAL, solid.scale, digits)
        case "bytes" | "fixed" if there == "BYTEA":
            return _Step(*_span(solid), RAW)
        case "string" if there in _TEXTS:
            return _Step(READ_BYTES, 0, TEXT, _limit(column))
        case "uuid" if there == "UUID":
            return _Step(READ_BYTES, 0, UUID)
        case "uuid" if there in _TEXTS and _limit(column) >= 36:
            return _Step(READ_BYTES, 0, UUID_TEXT)
        case "enum" if there in _TEXTS:
            first = len(symbols)
            symbols += [symbol.encode() for symbol in solid.symbols]
            return _Step(READ_ENUM, first, TEXT, _limit(column))
    return None


def _integer(there: str) -> _Step | None:
    if there in _INTEGERS:
        return _Step(READ_LONG, 0, _INTEGERS[there], 1)
    if there == "NUMERIC":
        return _Step(READ_LONG, 0, NUMBER, 0, _MOST)
    return _Step(READ_LONG, 0, WHOLE) if there in _DOUBLES else None


def _span(solid: Any) -> tuple[int, int]:
    return (READ_FIXED, solid.size) if solid.size else (READ_BYTES, 0)


def _us(unit: str) -> int:
    return 1000 if unit.endswith("millis") else 1
