"""How a sink stores a field's values: the column's type, other types that keep them unchanged, and the conversion.

A value comes back from the database exactly as it was delivered, or its record is rejected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from exchange.errors import RecordError
from exchange.schema.types import Field

Type = sa.types.TypeEngine[Any]
Adapter = Callable[[Any], Any]

EXACT_DIGITS = 15  # decimal digits that every double keeps (IEEE 754)
_SQLITE = sqlite.dialect()
_POSTGRESQL = postgresql.dialect()

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
_POSTGRESQL_TYPES: Mapping[str, tuple[type[Type], ...]] = {
    "text": (sa.String,),
    "json": (sa.String, sa.JSON),
    "boolean": (sa.Boolean,),
    "integer": (sa.Integer, sa.Double),
    "float": (sa.Double,),
    "decimal": (),
    "bytes": (sa.LargeBinary, postgresql.BYTEA),
    "date": (sa.Date,),
    "time": (sa.Time,),
    "instant": (sa.DateTime,),
    "local": (sa.DateTime,),
}
# Types that may round, cut or pad; for a domain, SQLAlchemy does not say how many digits or characters it allows.
_LIMITED = (sa.Numeric, sa.DateTime, sa.Time, sa.VARCHAR, sa.CHAR)


class UnstorableError(RecordError):
    """A record has a value that the database cannot hold."""

    code = "unstorable"
    remedy = "widen the column, or name another `table` for the sink"


def kind(field: Field) -> str:
    """The kind of a field's values, as far as databases are concerned."""
    match field.solid.means:
        case "array" | "map" | "record" | "union":
            return "json"
        case "decimal" | "date" | "boolean" as means:
            return means
        case "timestamp-millis" | "timestamp-micros":
            return "instant"
        case "local-timestamp-millis" | "local-timestamp-micros":
            return "local"
        case "time-millis" | "time-micros":
            return "time"
        case "int" | "long":
            return "integer"
        case "float" | "double":
            return "float"
        case "bytes" | "fixed":
            return "bytes"
        case "null" | "string" | "enum" | "uuid":
            return "text"


def column_type(field: Field, *, is_sqlite: bool) -> Type:
    """The type of a column that is created for the field.

    SQLite has no decimals. Its numbers keep up to 15 digits, and sort and sum well; decimals with more digits are text.
    """
    match kind(field):
        case "decimal":
            # Without limits, because a later schema may widen them.
            return sa.Text() if is_sqlite and field.solid.precision > EXACT_DIGITS else sa.Numeric()
        case "date":
            return sa.Date()
        case "instant":
            return sa.DateTime(timezone=True)
        case "local":
            return sa.DateTime()
        case "time":
            return sa.Time()
        case "boolean":
            return sa.Boolean()
        case "integer":
            return sa.BigInteger()
        case "float":
            return sa.Double()
        case "bytes":
            return sa.LargeBinary()
    return sa.Text()


def type_name(column: Type, *, is_sqlite: bool) -> str:
    """The type as SQL writes it; SQLite's columns can have none."""
    if isinstance(column, sa.types.NullType):
        return "" if is_sqlite else "unknown"
    return str(column.compile(dialect=_SQLITE if is_sqlite else _POSTGRESQL))


def keeps(field: Field, column: Type, *, is_sqlite: bool) -> bool:
    """Whether a column of that type keeps each value of the field unchanged, or refuses it."""
    if is_sqlite:
        return _affinity(column) in _AFFINITIES[kind(field)]
    if isinstance(column, postgresql.DOMAIN):
        column = column.data_type
        if isinstance(column, _LIMITED):
            return False
    if type(column) is sa.String:  # the type `name`, which cuts text off
        return False
    match kind(field), column:
        # PostgreSQL pads char(n) with blanks, and rounds numbers to the column's scale.
        case (("text" | "json"), sa.CHAR()) | ("integer", sa.REAL()) | ("decimal", sa.Float()):
            return False
        case (("integer" | "decimal"), sa.Numeric()):
            return (column.scale is None and column.precision is None) or (column.scale or 0) >= field.solid.scale
        case "float", sa.REAL():
            return field.solid.means == "float"
        case "text", sa.Uuid():
            return field.solid.means == "uuid"
        case (("local" | "time"), sa.DateTime(timezone=True) | sa.Time(timezone=True)):
            return False
        case (("instant" | "local" | "time"), _):
            return isinstance(column, _POSTGRESQL_TYPES[kind(field)]) and _is_fine_enough(field, column)
    return isinstance(column, _POSTGRESQL_TYPES[kind(field)])


def _is_fine_enough(field: Field, column: Type) -> bool:
    precision = getattr(column, "precision", None)
    return precision is None or precision >= (3 if field.solid.means.endswith("millis") else 6)


def _affinity(column: Type) -> str:
    """How SQLite treats values in a column of that type: https://www.sqlite.org/datatype3.html, 3.1."""
    name = type_name(column, is_sqlite=True).upper()
    for affinity, parts in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(part in name for part in parts):
            return affinity
    return "NUMERIC" if name else "BLOB"


def adapter(field: Field, column: Type, *, is_sqlite: bool) -> Adapter:
    """A function that makes a value into what the driver stores unchanged in such a column; raises UnstorableError."""
    convert = _sqlite_adapter(field, column) if is_sqlite else _postgresql_adapter(field, column)
    return convert if convert is _same else lambda value: None if value is None else convert(value)


def adapted(values: Mapping[str, Any], adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """The values as the driver stores them, each by its name's adapter; raises UnstorableError, naming the field."""
    name, made = "", {}
    try:
        for name, value in values.items():
            made[name] = adapters[name](value)
    except UnstorableError as error:
        raise UnstorableError(f"{name}: {error.message}") from None
    return made


def _sqlite_adapter(field: Field, column: Type) -> Adapter:
    match kind(field):
        case "json":
            return _json
        case "decimal":
            return _number if _affinity(column) in ("NUMERIC", "INTEGER") else _decimal_text
        case "integer" if _affinity(column) == "REAL":
            return _whole
        case "float":
            return _not_nan
        case "instant" | "local":
            return _moment
        case "date" | "time":
            return str
    return str if field.solid.means == "uuid" else _same


def _postgresql_adapter(field: Field, column: Type) -> Adapter:
    if kind(field) == "json":
        return _json
    if kind(field) == "integer" and isinstance(column, sa.Double):
        return _whole
    if field.solid.means == "uuid":
        return str
    return _text(getattr(column, "length", None)) if kind(field) == "text" else _same


def _same(value: Any) -> Any:
    return value


def _text(length: int | None) -> Adapter:
    def convert(value: str) -> str:
        if "\0" in value:
            raise UnstorableError("PostgreSQL cannot hold text with a zero character")
        if length is not None and len(value) > length:  # PostgreSQL would silently cut off blanks at the end
            raise UnstorableError(f"text longer than the column's {length} characters")
        return value

    return convert


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_text)
    except ValueError:
        raise UnstorableError("JSON has no NaN and no infinite numbers") from None


def _json_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return _decimal_text(value) if isinstance(value, Decimal) else str(value)


def _decimal_text(value: Decimal) -> str:
    return format(value, "f")


def _number(value: Decimal) -> int | float:
    whole = int(value)
    if value == whole and -(1 << 63) <= whole < 1 << 63:
        return whole
    if len(_decimal_text(value).replace(".", "").strip("-0")) <= EXACT_DIGITS:
        return float(value)
    raise UnstorableError(f"more than {EXACT_DIGITS} digits, which a numeric column of SQLite does not keep")


def _whole(value: int) -> int:
    """For a column of doubles, which may exist because the field was a double before."""
    if abs(value) > 1 << 53:
        raise UnstorableError("an integer of more than 53 bits, which a double does not keep")
    return value


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise UnstorableError("SQLite has no NaN")
    return value


def _moment(value: datetime) -> str:
    moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return moment.isoformat(" ", "microseconds")
