"""What an Avro type is in a Parquet file: the Arrow type with the same meaning, and each value for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exchange.connect.extras import extra
from exchange.errors import ConfigError
from exchange.schema.types import Type

Adapt = Callable[[Any], Any]


class ParquetTypeError(ConfigError):
    """A field has a type that no column of a Parquet file can hold, or another type than the drop has had."""

    code = "parquet-type"
    remedy = "take the subject into a table, or ask for a grant without the field"


def arrow_type(of: Type, name: str) -> Any:
    """The Arrow type of the field's values; raises ParquetTypeError for a union of several types."""
    arrow = extra("pyarrow", "parquet")
    match of.means:
        case "union":
            return arrow_type(_only(of, name), name)
        case "decimal":
            return arrow.decimal128(of.precision, of.scale) if of.precision <= 38 else arrow.decimal256(
                of.precision, of.scale
            )  # fmt: skip
        case "fixed":
            return arrow.binary(of.size)
        case "array":
            return arrow.list_(arrow_type(of.parts[0], name))
        case "map":
            return arrow.map_(arrow.string(), arrow_type(of.parts[0], name))
        case "record":
            return arrow.struct([(field.name, arrow_type(field.type, name)) for field in of.fields])
        case scalar:
            return {
                "null": arrow.null(),
                "boolean": arrow.bool_(),
                "int": arrow.int32(),
                "long": arrow.int64(),
                "float": arrow.float32(),
                "double": arrow.float64(),
                "bytes": arrow.binary(),
                "string": arrow.string(),
                "enum": arrow.string(),
                "uuid": arrow.string(),
                "date": arrow.date32(),
                "time-millis": arrow.time32("ms"),
                "time-micros": arrow.time64("us"),
                "timestamp-millis": arrow.timestamp("ms", "UTC"),
                "timestamp-micros": arrow.timestamp("us", "UTC"),
                "local-timestamp-millis": arrow.timestamp("ms"),
                "local-timestamp-micros": arrow.timestamp("us"),
            }[scalar]


def adapter(of: Type) -> Adapt:
    """What makes a value of that type into one that Arrow takes; null stays null."""
    match of.means:
        case "union":
            return adapter(_only(of, ""))
        case "uuid":
            return lambda value: None if value is None else str(value)
        case "array":
            item = adapter(of.parts[0])
            return lambda value: None if value is None else [item(each) for each in value]
        case "map":
            item = adapter(of.parts[0])
            return lambda value: None if value is None else [(key, item(each)) for key, each in value.items()]
        case "record":
            fields = {field.name: adapter(field.type) for field in of.fields}
            return lambda value: None if value is None else {name: to(value[name]) for name, to in fields.items()}
        case _:
            return lambda value: value


def _only(union: Type, name: str) -> Type:
    branches = [branch for branch in union.parts if branch.means != "null"]
    if len(branches) > 1:
        raise ParquetTypeError(f"{name} is a union of several types")
    return branches[0] if branches else union.parts[0]
