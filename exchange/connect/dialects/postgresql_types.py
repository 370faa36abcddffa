"""Which columns of PostgreSQL keep a field's values, and how they get there."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from exchange.connect.sink_values import (
    STANDARD_TYPES,
    Adapter,
    Type,
    UnstorableError,
    is_fine_enough,
    json_of,
    kind,
    same,
    whole,
)
from exchange.schema.types import Field

_DIALECT = postgresql.dialect()
_KEEPING: Mapping[str, tuple[type[Type], ...]] = {
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


def column_type(field: Field) -> Type:
    """The type of a column that is created for the field."""
    # A decimal's column has no limits, because a later schema may widen them.
    return sa.Numeric() if kind(field) == "decimal" else STANDARD_TYPES[kind(field)]


def type_name(column: Type) -> str:
    """The type as SQL writes it."""
    return "unknown" if isinstance(column, sa.types.NullType) else str(column.compile(dialect=_DIALECT))


def keeps(field: Field, column: Type) -> bool:
    """Whether a column of that type keeps each value of the field unchanged, or refuses it."""
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
            precision = getattr(column, "precision", None)
            return isinstance(column, _KEEPING[kind(field)]) and is_fine_enough(field, precision)
    return isinstance(column, _KEEPING[kind(field)])


def adapter(field: Field, column: Type) -> Adapter:
    """A function that makes a value into what the driver stores unchanged in such a column."""
    if kind(field) == "json":
        return json_of
    if kind(field) == "integer" and isinstance(column, sa.Double):
        return whole
    if field.solid.means == "uuid":
        return str
    return _text(getattr(column, "length", None)) if kind(field) == "text" else same


def _text(length: int | None) -> Adapter:
    def convert(value: str) -> str:
        if "\0" in value:
            raise UnstorableError("PostgreSQL cannot hold text with a zero character")
        if length is not None and len(value) > length:  # PostgreSQL would silently cut off blanks at the end
            raise UnstorableError(f"text longer than the column's {length} characters")
        return value

    return convert
