"""Rows to records: each value becomes what the Avro schema asks for, without loss, or the row is rejected.

A conversion changes the representation only: an ISO text becomes a date, 0 and 1 become a
boolean, a float becomes a decimal where its shortest form has few enough digits. Reasons of a
rejection name the field and what is wrong, never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from exchange.connect import coerce
from exchange.connect.coerce import Convert, RowRejectedError
from exchange.errors import ConfigError

Row = Mapping[str, Any]


class UnsupportedSchemaError(ConfigError):
    """A schema has a type that rows cannot be converted to."""

    code = "unsupported-schema"
    remedy = "use null and one other type"


def converter(
    schema: Mapping[str, Any],
    columns: Mapping[str, str],
    *,
    timezone: str = "UTC",
    null_text: str | None = None,
    before: Mapping[str, Convert] = MappingProxyType({}),
) -> Callable[[Row], dict[str, Any]]:
    """A function that makes a row (by column) a record (by field) of the record `schema`.

    `columns` gives the column of a field where the names differ; other columns are ignored. A
    column that a row lacks takes the field's default, if it is a simple one. Timestamps without a zone
    are in `timezone`. `null_text` is the text that means null in a nullable field. `before` is done to a
    field's value first, see `rounding`.
    The function raises `RowRejectedError`; this one `UnsupportedSchemaError`.
    """
    build = _Builder(ZoneInfo(timezone), null_text)
    fields = [
        (f["name"], columns.get(f["name"], f["name"]), _after(before.get(f["name"]), build.of(f["type"])))
        for f in schema["fields"]
    ]
    defaults = simple_defaults(schema["fields"])

    def convert(row: Row) -> dict[str, Any]:
        record = {}
        name = ""
        try:
            for name, column, of in fields:
                record[name] = of(row[column])
        except RowRejectedError as error:
            raise RowRejectedError(f"{name}: {error.message}") from None
        except KeyError:
            # Some column is not there: apart, so that the loop above may stay bare.
            return _with_defaults(row)
        return record

    def _with_defaults(row: Row) -> dict[str, Any]:
        record = {}
        for name, column, of in fields:
            if column not in row:
                if name not in defaults:
                    raise RowRejectedError(f"{name}: missing")
                record[name] = defaults[name]
                continue
            try:
                record[name] = of(row[column])
            except RowRejectedError as error:
                raise RowRejectedError(f"{name}: {error.message}") from None
        return record

    return convert


def _after(first: Convert | None, then: Convert) -> Convert:
    return then if first is None else lambda value: then(first(value))


def simple_defaults(fields: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The defaults that a record can take as they stand in the schema: null, and plain values of plain types."""
    return {
        f["name"]: f["default"]
        for f in fields
        if "default" in f and (f["default"] is None or f["type"] in ("boolean", "int", "long", "string"))
    }


class _Builder:
    """Compiles Avro types to conversion functions."""

    def __init__(self, zone: ZoneInfo, null_text: str | None) -> None:
        self._zone = zone
        self._null_text = null_text
        self._named: dict[str, Any] = {}

    def of(self, schema: Any) -> Convert:
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            if schema in coerce.PRIMITIVES:
                return coerce.PRIMITIVES[schema]
            if schema in self._named:
                return self.of(self._named[schema])
            raise UnsupportedSchemaError(f"type {schema} is not known", remedy="define the type before it is used")
        self._remember(schema)
        logical = self._logical(schema)
        if logical is not None:
            return logical
        match schema["type"]:
            case "enum":
                return coerce.symbol(frozenset(schema["symbols"]))
            case "fixed":
                return coerce.fixed(schema["size"])
            case "array":
                return coerce.items(self.of(schema["items"]))
            case "map":
                return coerce.mapping(self.of(schema["values"]))
            case "record":
                return coerce.nested(
                    {f["name"]: self.of(f["type"]) for f in schema["fields"]}, simple_defaults(schema["fields"])
                )
            case other:
                return self.of(other)

    def _remember(self, schema: Mapping[str, Any]) -> None:
        if "name" in schema:
            self._named[schema["name"]] = schema
            if "namespace" in schema:
                self._named[f"{schema['namespace']}.{schema['name']}"] = schema

    def _logical(self, schema: Mapping[str, Any]) -> Convert | None:
        match schema.get("logicalType"):
            case "decimal":
                return coerce.decimal(schema["precision"], schema.get("scale", 0))
            case "date":
                return coerce.day
            case "timestamp-millis":
                return coerce.instant(self._zone, 1000)
            case "timestamp-micros":
                return coerce.instant(self._zone, 1)
            case "local-timestamp-millis":
                return coerce.local_time(1000)
            case "local-timestamp-micros":
                return coerce.local_time(1)
            case "time-millis":
                return coerce.time_of_day(1000)
            case "time-micros":
                return coerce.time_of_day(1)
            case "uuid":
                return coerce.uuid
        return None

    def _union(self, branches: list[Any]) -> Convert:
        others = [b for b in branches if b != "null"]
        if len(others) != 1:
            raise UnsupportedSchemaError("a union of several types cannot be filled from rows")
        inner = self.of(others[0])
        if "null" not in branches:
            return inner
        null_text = self._null_text
        if null_text is None:
            return lambda value: None if value is None else inner(value)
        return lambda value: None if value is None or value == null_text else inner(value)
