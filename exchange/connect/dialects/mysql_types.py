"""Which columns of MySQL and MariaDB keep a field's values, and how they get there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles

from exchange.connect.sink_values import (
    Adapter,
    Type,
    UnstorableError,
    decimal_text,
    in_utc,
    is_fine_enough,
    json_of,
    kind,
    same,
    whole,
)
from exchange.schema.types import Field

MOST_DIGITS, MOST_DECIMALS = 65, 30  # of MySQL's DECIMAL; MariaDB has more decimals
KEY_CHARACTERS = 768  # of 4 bytes, in all columns of an InnoDB key together
LONGEST_KEY_TEXT = 255
_DIALECT = mysql.dialect()
_WHOLE = (mysql.TINYINT, mysql.SMALLINT, mysql.MEDIUMINT, mysql.INTEGER, mysql.BIGINT)
_TEXTS = (mysql.VARCHAR, mysql.TINYTEXT, mysql.TEXT, mysql.MEDIUMTEXT, mysql.LONGTEXT)
_BYTES = (mysql.VARBINARY, mysql.TINYBLOB, mysql.BLOB, mysql.MEDIUMBLOB, mysql.LONGBLOB)
# The longest value in bytes; the text types cut off blanks beyond it without an error.
_MOST_BYTES: Mapping[type[Type], int] = {
    mysql.TINYTEXT: (1 << 8) - 1,
    mysql.TEXT: (1 << 16) - 1,
    mysql.MEDIUMTEXT: (1 << 24) - 1,
}


class ExactText(sa.types.UserDefinedType[str]):
    """Text of any length, or of so many characters, in UTF-8, equal only to the very same text."""

    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    @property
    def name(self) -> str:
        """The type without its collation."""
        return f"VARCHAR({self.length})" if self.length else "LONGTEXT"


@compiles(ExactText, "mysql")
def _exact_text(column: ExactText, compiler: Any, **_: Any) -> str:
    return f"{column.name} CHARACTER SET utf8mb4 COLLATE {exact_collation(compiler.dialect)}"


def exact_collation(dialect: Any) -> str:
    """The collation that compares bytes, blanks at the end included: MySQL has it from 8.0.17, MariaDB from 10.2."""
    return "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"


_CREATED: Mapping[str, Type] = {
    "text": ExactText(),
    "json": ExactText(),
    "boolean": mysql.BOOLEAN(),
    "integer": mysql.BIGINT(),
    "float": mysql.DOUBLE(),
    "bytes": mysql.LONGBLOB(),
    "date": mysql.DATE(),
    "time": mysql.TIME(fsp=6),
    "instant": mysql.DATETIME(fsp=6),
    "local": mysql.DATETIME(fsp=6),
}


def column_type(field: Field, key_size: int = 0) -> Type:
    """The type of a column that is created for the field; texts and bytes in a key have a limit."""
    means = kind(field)
    if means == "decimal":
        if _is_decimal(field):
            return mysql.DECIMAL(MOST_DIGITS, field.solid.scale)  # as many digits as a later schema may have
        means = "text"
    if key_size and means in ("text", "bytes"):
        length = min(LONGEST_KEY_TEXT, KEY_CHARACTERS // key_size)
        return ExactText(length) if means == "text" else mysql.VARBINARY(length)
    return _CREATED[means]


def _is_decimal(field: Field) -> bool:
    return field.solid.precision <= MOST_DIGITS and field.solid.scale <= MOST_DECIMALS


def type_name(column: Type) -> str:
    """The type as SQL writes it."""
    if isinstance(column, ExactText):
        return column.name
    return "unknown" if isinstance(column, sa.types.NullType) else str(column.compile(dialect=_DIALECT))


def keeps(field: Field, column: Type) -> bool:
    """Whether a column of that type keeps each value of the field unchanged, or refuses it.

    TIMESTAMP is not among them: it ends in 2038, and may fill itself. Nor is FLOAT, which shows six digits only.
    """
    match kind(field):
        case "text" | "json":
            return _is_one(column, _TEXTS)
        case "boolean":
            return _is_one(column, _WHOLE)
        case "integer":
            return _is_one(column, _WHOLE) or _is_double(column) or _is_one(column, (mysql.DECIMAL, mysql.NUMERIC))
        case "float":
            return _is_double(column)
        case "decimal" if _is_decimal(field):
            there = _is_one(column, (mysql.DECIMAL, mysql.NUMERIC))
            return (there and (getattr(column, "scale", 0) or 0) >= field.solid.scale) or _is_one(column, _TEXTS)
        case "decimal":
            return _is_one(column, _TEXTS)
        case "bytes":
            return _is_one(column, _BYTES)
        case "date":
            return _is_one(column, (mysql.DATE, sa.DATE))
        case "time":
            return _is_one(column, (mysql.TIME,)) and is_fine_enough(field, getattr(column, "fsp", None) or 0)
    return _is_one(column, (mysql.DATETIME,)) and is_fine_enough(field, getattr(column, "fsp", None) or 0)


def _is_one(column: Type, types: tuple[type[Type], ...]) -> bool:
    return type(column) in types


def _is_double(column: Type) -> bool:
    """Whether it is a double without a number of decimals to which it rounds."""
    return isinstance(column, mysql.DOUBLE) and getattr(column, "scale", None) is None


def adapter(field: Field, column: Type) -> Adapter:
    """A function that makes a value into what the driver stores unchanged in such a column."""
    match kind(field):
        case "json":
            limited = _text(column)
            return lambda value: limited(json_of(value))
        case "text":
            limited = _text(column)
            return (lambda value: limited(str(value))) if field.solid.means == "uuid" else limited
        case "decimal" if _is_one(column, _TEXTS):
            return decimal_text
        case "integer" if _is_double(column):
            return whole
        case "float":
            return _finite
        case "instant" | "local":
            return in_utc
    return same


def _text(column: Type) -> Adapter:
    characters, most_bytes = getattr(column, "length", None), _MOST_BYTES.get(type(column))

    def convert(value: str) -> str:
        if most_bytes is not None and len(value.encode()) > most_bytes:
            raise UnstorableError(f"text longer than the column's {most_bytes} bytes")
        if most_bytes is None and characters is not None and len(value) > characters:
            raise UnstorableError(f"text longer than the column's {characters} characters")
        return value

    return convert


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise UnstorableError("MySQL has no NaN and no infinite numbers")
    return value
