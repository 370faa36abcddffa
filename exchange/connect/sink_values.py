"""How a sink stores a field's values: what they have in common in all databases; the rest is in `dialects`.

A value comes back from the database exactly as it was delivered, or its record is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from exchange.errors import RecordError
from exchange.schema.types import Field

Type = sa.types.TypeEngine[Any]
Adapter = Callable[[Any], Any]

# What columns for a kind of values are in standard SQL; a decimal's type differs.
STANDARD_TYPES: Mapping[str, Type] = {
    "text": sa.Text(),
    "json": sa.Text(),
    "boolean": sa.Boolean(),
    "integer": sa.BigInteger(),
    "float": sa.Double(),
    "bytes": sa.LargeBinary(),
    "date": sa.Date(),
    "time": sa.Time(),
    "instant": sa.DateTime(timezone=True),
    "local": sa.DateTime(),
}


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


def is_fine_enough(field: Field, precision: int | None) -> bool:
    """Whether so many digits of a second are enough for the field's moments or times; None: there is no limit."""
    return precision is None or precision >= (3 if field.solid.means.endswith("millis") else 6)


def adapted(values: Mapping[str, Any], adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """The values as the driver stores them, each by its name's adapter; raises UnstorableError, naming the field."""
    name, made = "", {}
    try:
        for name, value in values.items():
            made[name] = adapters[name](value)
    except UnstorableError as error:
        raise UnstorableError(f"{name}: {error.message}") from None
    return made


def same(value: Any) -> Any:
    """The value itself."""
    return value


def or_null(convert: Adapter) -> Adapter:
    """The adapter, for values that may be null."""
    return convert if convert is same else lambda value: None if value is None else convert(value)


def json_of(value: Any) -> str:
    """A nested value as JSON; raises UnstorableError if JSON has no form for it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_json_text)
    except ValueError:
        raise UnstorableError("JSON has no NaN and no infinite numbers") from None


def _json_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


def decimal_text(value: Decimal) -> str:
    """The decimal with all its digits, without an exponent."""
    return format(value, "f")


def whole(value: int) -> int:
    """For a column of doubles, which may exist because the field was a double before."""
    if abs(value) > 1 << 53:
        raise UnstorableError("an integer of more than 53 bits, which a double does not keep")
    return value


def in_utc(value: datetime) -> datetime:
    """The moment in UTC, without its zone; one without a zone stays as it is."""
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
