"""Which columns of SQLite keep a field's values, and how they get there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from exchange.connect.sink_values import (
    STANDARD_TYPES,
    Adapter,
    Type,
    UnstorableError,
    decimal_text,
    in_utc,
    json_of,
    kind,
    same,
    whole,
)
from exchange.schema.types import Field

EXACT_DIGITS = 15  # decimal digits that every double keeps (IEEE 754)
_DIALECT = sqlite.dialect()
_AFFINITIES: Mapping[str, tuple[str, ...]] = {
    "text": ("TEXT", "BLOB"),
    "json": ("TEXT", "BLOB"),
    "boolean": ("INTEGER", "NUMERIC", "BLOB"),
    "integer": ("INTEGER", "NUMERIC", "REAL", "BLOB"),
    "float": ("REAL", "INTEGER", "NUMERIC", "BLOB"),
    "decimal": ("TEXT", "NUMERIC", "INTEGER", "BLOB"),
    "bytes": ("BLOB",),
    "date": ("TEXT", "NUMERIC", "BLOB"),
    "time": ("TEXT", "NUMERIC", "BLOB"),
    "instant": ("TEXT", "NUMERIC", "BLOB"),
    "local": ("TEXT", "NUMERIC", "BLOB"),
}


def column_type(field: Field) -> Type:
    """The type of a column that is created for the field.

    SQLite has no decimals. Its numbers keep up to 15 digits, and sort and sum well; decimals with more digits are text.
    """
    if kind(field) == "decimal":
        # Without limits, because a later schema may widen them.
        return sa.Text() if field.solid.precision > EXACT_DIGITS else sa.Numeric()
    return STANDARD_TYPES[kind(field)]


def type_name(column: Type) -> str:
    """The type as SQL writes it; a column can have none."""
    return "" if isinstance(column, sa.types.NullType) else str(column.compile(dialect=_DIALECT))


def keeps(field: Field, column: Type) -> bool:
    """Whether a column of that type keeps each value of the field unchanged, or refuses it."""
    return _affinity(column) in _AFFINITIES[kind(field)]


def _affinity(column: Type) -> str:
    """How SQLite treats values in a column of that type: https://www.sqlite.org/datatype3.html, 3.1."""
    name = type_name(column).upper()
    for affinity, parts in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(part in name for part in parts):
            return affinity
    return "NUMERIC" if name else "BLOB"


def adapter(field: Field, column: Type) -> Adapter:
    """A function that makes a value into what the driver stores unchanged in such a column."""
    match kind(field):
        case "json":
            return json_of
        case "decimal":
            return _number if _affinity(column) in ("NUMERIC", "INTEGER") else decimal_text
        case "integer" if _affinity(column) == "REAL":
            return whole
        case "float":
            return _not_nan
        case "instant" | "local":
            return _moment
        case "date" | "time":
            return str
    return str if field.solid.means == "uuid" else same


def _number(value: Decimal) -> int | float:
    number = int(value)
    if value == number and -(1 << 63) <= number < 1 << 63:
        return number
    if len(decimal_text(value).replace(".", "").strip("-0")) <= EXACT_DIGITS:
        return float(value)
    raise UnstorableError(f"more than {EXACT_DIGITS} digits, which a numeric column of SQLite does not keep")


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise UnstorableError("SQLite has no NaN")
    return value


def _moment(value: datetime) -> str:
    return in_utc(value).isoformat(" ", "microseconds")
