"""How databases that sinks write with MERGE differ in types and values: a table, with a row for each of them.

PostgreSQL's relatives have its types (`postgresql_types`), and only a MERGE of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from exchange.connect.dialects.merge import Spelling
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

# The collation of SQL Server that tells all texts apart, but for blanks at their end.
EXACT = "Latin1_General_100_BIN2"
LONGEST_KEY_TEXT = 255
_ONE = "(SELECT 1 AS one) AS given"

OPENGAUSS_MERGE = Spelling("", _ONE, "")


@dataclass(frozen=True)
class MergeTypes:
    """One database.

    `created`: the types of columns that a sink makes, by the kind of their values; `decimal` by its digits after the
    point, of `most_digits`. `keeps`: the types whose columns keep each value of a kind, or refuse it. `text_in_key` and
    `bytes_in_key` are types with a length; all columns of a key may have `key_room` characters or bytes together.
    `characters` counts a text as the length of its column does. `stores`: what the driver stores unchanged, by kind.
    """

    title: str
    dialect: Any
    merge: Spelling
    created: Mapping[str, Type]
    decimal: Callable[[int], Type]
    most_digits: int
    text_in_key: Callable[[int], Type]
    bytes_in_key: Callable[[int], Type]
    key_room: int
    keeps: Mapping[str, tuple[type[Type], ...]]
    characters: Callable[[str], int]
    stores: Mapping[str, Adapter]

    def kind(self, field: Field) -> str:
        """The kind of the field's values here: what the database has no type for is text."""
        means = kind(field)
        if means == "decimal" and field.solid.precision > self.most_digits:
            return "text"
        return means if means in self.keeps else "text"

    def column_type(self, field: Field, key_size: int) -> Type:
        """The type of a column that is created for the field; texts and bytes in a key have a limit."""
        means = self.kind(field)
        if means == "decimal":
            return self.decimal(field.solid.scale)
        if key_size and means in ("text", "bytes"):
            length = min(LONGEST_KEY_TEXT, self.key_room // key_size)
            return self.text_in_key(length) if means == "text" else self.bytes_in_key(length)
        return self.created[means]

    def type_name(self, column: Type) -> str:
        """The type as SQL writes it."""
        return "unknown" if isinstance(column, sa.types.NullType) else str(column.compile(dialect=self.dialect))

    def keeps_all(self, field: Field, column: Type) -> bool:
        """Whether a column of that type keeps each value of the field unchanged, or refuses it."""
        means = self.kind(field)
        if type(column) not in self.keeps[means]:
            return field.solid.means == "uuid" and isinstance(column, sa.Uuid)
        if isinstance(column, oracle.TIMESTAMP) and (column.timezone or column.local_timezone) != (means == "instant"):
            return False
        if means in ("instant", "local", "time"):
            return is_fine_enough(field, getattr(column, "precision", None))
        if means in ("integer", "decimal") and isinstance(column, sa.Numeric) and not isinstance(column, sa.Float):
            unlimited = column.precision is None and column.scale is None
            return unlimited or (column.scale or 0) >= field.solid.scale
        return True

    def adapter(self, field: Field, column: Type) -> Adapter:
        """A function that makes a value into what the driver stores unchanged in such a column."""
        means = self.kind(field)
        if means == "integer" and isinstance(column, sa.Float):
            return whole
        if means not in ("text", "json"):
            return self.stores.get(means, same)
        convert, most = _words(field), getattr(column, "length", None)

        def limited(value: Any) -> str:
            text: str = convert(value)
            if isinstance(most, int) and self.characters(text) > most:
                raise UnstorableError(f"text longer than the column's {most} characters")
            return text

        return limited


def _words(field: Field) -> Adapter:
    """A function that makes a value of the field into text."""
    if kind(field) == "json":
        return json_of
    return decimal_text if kind(field) == "decimal" else str


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise UnstorableError("the database has no NaN and no infinite numbers")
    return value


def _binary(value: bytes) -> Any:
    from pytds import Binary  # a sink's engine has loaded it

    return Binary(value)


def _aware(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day)  # noqa: DTZ001 – Oracle's DATE has a time, and no zone


ORACLE = MergeTypes(
    title="Oracle",
    dialect=oracle.dialect(),
    merge=Spelling("", "dual", ""),
    created={
        "text": oracle.VARCHAR2(4000),
        "json": sa.CLOB(),
        "boolean": oracle.NUMBER(1, 0),
        "integer": oracle.NUMBER(19, 0),
        "float": oracle.BINARY_DOUBLE(),
        "bytes": sa.BLOB(),
        "date": oracle.DATE(),
        "instant": oracle.TIMESTAMP(timezone=True),
        "local": oracle.TIMESTAMP(),
    },
    decimal=lambda _: oracle.NUMBER(),  # no limits, because a later schema may widen them
    most_digits=38,
    text_in_key=oracle.VARCHAR2,
    bytes_in_key=oracle.RAW,
    key_room=1500,  # of 4 bytes: an index takes about 6,400 bytes with the usual blocks
    keeps={
        "text": (oracle.VARCHAR2, oracle.NVARCHAR2, sa.VARCHAR, sa.NVARCHAR, sa.CLOB, oracle.NCLOB),
        "json": (oracle.VARCHAR2, oracle.NVARCHAR2, sa.VARCHAR, sa.NVARCHAR, sa.CLOB, oracle.NCLOB),
        "boolean": (oracle.NUMBER, sa.INTEGER),
        "integer": (oracle.NUMBER, sa.INTEGER),
        "float": (oracle.BINARY_DOUBLE,),
        "decimal": (oracle.NUMBER,),
        "bytes": (sa.BLOB, oracle.RAW),
        "date": (oracle.DATE,),
        "instant": (oracle.TIMESTAMP,),
        "local": (oracle.TIMESTAMP,),
    },
    characters=len,
    stores={"boolean": int, "date": _midnight, "instant": in_utc},
)

_WHOLE = (mssql.TINYINT, sa.SMALLINT, sa.INTEGER, sa.BIGINT)
# Dameng takes Oracle's types. Its texts end at 8,188 bytes; times have no zone, for the driver neither sends nor gives
# one. A decimal goes as its text, which the server makes into a number.
DAMENG = replace(
    ORACLE,
    title="Dameng",
    merge=Spelling("", "(SELECT 1 AS one FROM dual) given", ""),
    created={
        **ORACLE.created,
        "text": oracle.VARCHAR2(2000),
        "float": sa.DOUBLE_PRECISION(),
        "date": sa.DATE(),
        "instant": sa.TIMESTAMP(),
        "local": sa.TIMESTAMP(),
    },
    decimal=lambda scale: oracle.NUMBER(38, scale),  # as many digits as a later schema may have
    bytes_in_key=sa.VARBINARY,
    key_room=500,
    keeps={
        **ORACLE.keeps,
        "boolean": (oracle.NUMBER, *_WHOLE),
        "integer": (oracle.NUMBER, *_WHOLE),
        "float": (sa.DOUBLE_PRECISION,),
        "bytes": (sa.BLOB, sa.VARBINARY),
        "date": (sa.DATE, sa.TIMESTAMP),  # where it passes for Oracle, a DATE has a time
        "instant": (sa.TIMESTAMP,),
        "local": (sa.TIMESTAMP,),
    },
    stores={"boolean": int, "float": _finite, "decimal": decimal_text, "instant": in_utc},
)

SQL_SERVER = MergeTypes(
    title="SQL Server",
    dialect=mssql.dialect(),
    merge=Spelling(" WITH (HOLDLOCK)", _ONE, ";"),
    created={
        "text": sa.NVARCHAR("max", collation=EXACT),  # type: ignore[arg-type]
        "json": sa.NVARCHAR("max", collation=EXACT),  # type: ignore[arg-type]
        "boolean": mssql.BIT(),
        "integer": sa.BIGINT(),
        "float": sa.FLOAT(53),
        "bytes": mssql.VARBINARY("max"),
        "date": sa.DATE(),
        "time": mssql.TIME(6),
        "instant": mssql.DATETIMEOFFSET(6),
        "local": mssql.DATETIME2(6),
    },
    decimal=lambda scale: sa.DECIMAL(38, scale),  # as many digits as a later schema may have
    most_digits=38,
    text_in_key=lambda length: sa.NVARCHAR(length, collation=EXACT),
    bytes_in_key=mssql.VARBINARY,
    key_room=450,  # of 2 bytes: a clustered index takes 900 bytes
    keeps={
        "text": (sa.NVARCHAR, mssql.NVARCHAR),
        "json": (sa.NVARCHAR, mssql.NVARCHAR),
        "boolean": (mssql.BIT, *_WHOLE),
        "integer": (*_WHOLE, sa.DECIMAL, sa.NUMERIC, sa.FLOAT),
        "float": (sa.FLOAT, mssql.DOUBLE_PRECISION),
        "decimal": (sa.DECIMAL, sa.NUMERIC),
        "bytes": (mssql.VARBINARY, sa.VARBINARY),
        "date": (sa.DATE,),
        "time": (mssql.TIME,),
        "instant": (mssql.DATETIMEOFFSET,),
        "local": (mssql.DATETIME2,),
    },
    characters=lambda text: len(text.encode("utf-16-le")) // 2,
    stores={"float": _finite, "bytes": _binary, "instant": _aware},
)
