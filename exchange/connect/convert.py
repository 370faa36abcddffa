"""Turns rows into records: each value becomes what the Avro schema needs, without loss, or the row is rejected.

A conversion changes only the representation: ISO text becomes a date, 0 and 1 become booleans, a float becomes a
decimal if its shortest form has few enough digits. The reason of a rejection names the field and what is wrong, but
never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from exchange.connect import coerce
from exchange.connect.coerce import Convert, RowRejectedError
from exchange.errors import ConfigError
from exchange.schema.avro import Schema
from exchange.schema.types import Type

Row = Mapping[str, Any]


class UnsupportedSchemaError(ConfigError):
    """A schema has a type to which rows cannot be converted."""

    code = "unsupported-schema"
    remedy = "use null and one other type"


def converter(
    schema: Schema,
    columns: Mapping[str, str],
    *,
    timezone: str = "UTC",
    null_text: str | None = None,
    before: Mapping[str, Convert] = MappingProxyType({}),
) -> Callable[[Row], dict[str, Any]]:
    """A function that turns a row (by column) into a record (by field) of the schema.

    `columns` gives a field's column if its name differs; other columns are ignored. If a row lacks a column, the field
    gets its default, if that is a simple one. Timestamps without a zone are in `timezone`. `null_text` is the text
    that means null in a nullable field. `before` is applied to a field's value first, see `rounding`. The returned
    function raises `RowRejectedError`; this one raises `UnsupportedSchemaError`.
    """
    build = _Builder(ZoneInfo(timezone), null_text)
    fields = [
        (name, columns.get(name, name), _after(before.get(name), build.of(field.type)))
        for name, field in schema.fields.items()
    ]
    defaults = simple_defaults(schema.type)

    def convert(row: Row) -> dict[str, Any]:
        record = {}
        name = ""
        try:
            for name, column, of in fields:
                record[name] = of(row[column])
        except RowRejectedError as error:
            raise RowRejectedError(f"{name}: {error.message}") from None
        except KeyError:
            # A column is missing. This case has a loop of its own, so that the loop above stays fast.
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


def simple_defaults(record: Type) -> dict[str, Any]:
    """Defaults that can be used as the schema writes them: null, and plain values of plain types."""
    return {
        field.name: field.definition["default"]
        for field in record.fields
        if "default" in field.definition
        and (field.definition["default"] is None or field.type.means in ("boolean", "int", "long", "string"))
    }


class _Builder:
    """Compiles Avro types to conversion functions."""

    def __init__(self, zone: ZoneInfo, null_text: str | None) -> None:
        self._scalars = coerce.scalars(zone)
        self._null_text = null_text

    def of(self, of: Type) -> Convert:
        match of.means:
            case "union":
                return self._union(of)
            case "record":
                return coerce.nested({f.name: self.of(f.type) for f in of.fields}, simple_defaults(of))
            case "array":
                return coerce.items(self.of(of.parts[0]))
            case "map":
                return coerce.mapping(self.of(of.parts[0]))
            case "decimal":
                return coerce.decimal(of.precision, of.scale)
            case "enum":
                return coerce.symbol(frozenset(of.symbols))
            case "fixed":
                return coerce.fixed(of.size)
            case scalar:
                return self._scalars[scalar]

    def _union(self, union: Type) -> Convert:
        others = [branch for branch in union.parts if branch.means != "null"]
        if len(others) != 1:
            raise UnsupportedSchemaError("a union of several types cannot be filled from rows")
        inner = self.of(others[0])
        if len(others) == len(union.parts):
            return inner
        null_text = self._null_text
        if null_text is None:
            return lambda value: None if value is None else inner(value)
        return lambda value: None if value is None or value == null_text else inner(value)
