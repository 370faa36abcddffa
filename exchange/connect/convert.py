"""Rows to records: each value becomes what the Avro schema asks for, without loss, or the row is rejected.

A conversion changes the representation only: an ISO text becomes a date, 0 and 1 become a
boolean, a float becomes a decimal where its shortest form has few enough digits. Reasons of a
rejection name the field and what is wrong, never the value.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from exchange.errors import ConfigError, RecordError

Row = Mapping[str, Any]
Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FLOAT_DIGITS = 15  # decimal digits that every double keeps (IEEE 754)


class RowRejectedError(RecordError):
    """A row does not fit the subject's schema."""

    code = "row-rejected"


class UnsupportedSchemaError(ConfigError):
    """A schema has a type that rows cannot be converted to."""

    code = "unsupported-schema"


def converter(
    schema: Mapping[str, Any],
    columns: Mapping[str, str],
    *,
    timezone: str = "UTC",
    null_text: str | None = None,
) -> Callable[[Row], dict[str, Any]]:
    """A function that makes a row (by column) a record (by field) of the record `schema`.

    `columns` gives the column of a field where the names differ; other columns are ignored. A
    column that a row lacks takes the field's default, if it has one. Timestamps without a zone
    are in `timezone`. `null_text` is the text that means null in a nullable field.
    The function raises `RowRejectedError`; this one `UnsupportedSchemaError`.
    """
    build = _Builder(ZoneInfo(timezone), null_text)
    fields = [(f["name"], columns.get(f["name"], f["name"]), build.of(f["type"])) for f in schema["fields"]]
    defaults = {f["name"] for f in schema["fields"] if "default" in f}

    def convert(row: Row) -> dict[str, Any]:
        record = {}
        name = ""
        try:
            for name, column, of in fields:
                record[name] = of(row[column])
        except RowRejectedError as error:
            raise RowRejectedError(f"{name}: {error.message}") from None
        except KeyError:
            # Rare, so that the loop above may stay bare: fields are left to the schema's defaults.
            return _with_defaults(row)
        return record

    def _with_defaults(row: Row) -> dict[str, Any]:
        record = {}
        for name, column, of in fields:
            if column not in row:
                if name not in defaults:
                    raise RowRejectedError(f"{name}: missing")
                continue
            try:
                record[name] = of(row[column])
            except RowRejectedError as error:
                raise RowRejectedError(f"{name}: {error.message}") from None
        return record

    return convert


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
            if schema in _PRIMITIVES:
                return _PRIMITIVES[schema]
            if schema in self._named:
                return self.of(self._named[schema])
            raise UnsupportedSchemaError(f"type {schema} is not known", remedy="define the type before it is used")
        self._remember(schema)
        logical = self._logical(schema)
        if logical is not None:
            return logical
        match schema["type"]:
            case "enum":
                return _enum(frozenset(schema["symbols"]))
            case "fixed":
                return _fixed(schema["size"])
            case "array":
                return _array(self.of(schema["items"]))
            case "map":
                return _map(self.of(schema["values"]))
            case "record":
                return _nested([(f["name"], self.of(f["type"]), "default" in f) for f in schema["fields"]])
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
                return _decimal(schema["precision"], schema.get("scale", 0))
            case "date":
                return _date
            case "timestamp-millis":
                return _instant(self._zone, 1000)
            case "timestamp-micros":
                return _instant(self._zone, 1)
            case "local-timestamp-millis":
                return _local(1000)
            case "local-timestamp-micros":
                return _local(1)
            case "time-millis":
                return _time(1000)
            case "time-micros":
                return _time(1)
            case "uuid":
                return _uuid
        return None

    def _union(self, branches: list[Any]) -> Convert:
        others = [b for b in branches if b != "null"]
        if len(others) != 1:
            raise UnsupportedSchemaError(
                "a union of several types cannot be filled from rows", remedy="use null and one other type"
            )
        inner = self.of(others[0])
        if "null" not in branches:
            return inner
        null_text = self._null_text
        if null_text is None:
            return lambda value: None if value is None else inner(value)
        return lambda value: None if value is None or value == null_text else inner(value)


def _reject(reason: str) -> RowRejectedError:
    return RowRejectedError(reason)


def _wrong(value: Any, wanted: str) -> RowRejectedError:
    return _reject("null where a value is due" if value is None else f"{type(value).__name__} where {wanted} is due")


def _null(value: Any) -> None:
    if value is not None:
        raise _wrong(value, "null")


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is int and value in (0, 1):
        return value == 1
    if type(value) is str and (text := value.lower()) in ("true", "false", "1", "0"):
        return text in ("true", "1")
    raise _wrong(value, "a boolean")


def _integer(bits: int) -> Convert:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def convert(value: Any) -> int:
        if type(value) is not int:
            value = _whole(value)
        if low <= value <= high:
            return value
        raise _reject(f"does not fit {bits} bits")

    return convert


def _whole(value: Any) -> int:
    if type(value) is str and _INTEGER.fullmatch(value) and len(value) < 40:
        return int(value)
    if type(value) is float and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if type(value) is Decimal and value.is_finite() and value == value.to_integral_value():
        return int(value)
    raise _wrong(value, "a whole number")


def _double(value: Any) -> float:
    if type(value) is str and _NUMBER.fullmatch(value):
        value = Decimal(value)
    if type(value) is float:
        result = value
    elif type(value) in (int, Decimal):
        try:
            result = float(value)
        except OverflowError:
            raise _reject("does not fit a double") from None
        if not math.isfinite(result) or Decimal(repr(result)) != value:
            raise _reject("does not fit a double exactly")
    else:
        raise _wrong(value, "a number")
    if not math.isfinite(result):
        raise _reject("not a finite number")
    return result


def _single(value: Any) -> float:
    result = _double(value)
    try:
        (narrow,) = struct.unpack("<f", struct.pack("<f", result))
    except OverflowError:
        raise _reject("does not fit a float") from None
    # 7 digits: a real column of a database gives the shortest decimal form of its 32 bits.
    if narrow != result and float(f"{narrow:.7g}") != result:
        raise _reject("does not fit a float exactly")
    return result


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is UUID:
        return str(value)
    raise _wrong(value, "text")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise _wrong(value, "bytes")


def _fixed(size: int) -> Convert:
    def convert(value: Any) -> bytes:
        data = _bytes(value)
        if len(data) != size:
            raise _reject(f"not {size} bytes long")
        return data

    return convert


def _enum(symbols: frozenset[str]) -> Convert:
    def convert(value: Any) -> str:
        if type(value) is str and value in symbols:
            return value
        raise _reject("not one of the symbols") if type(value) is str else _wrong(value, "a symbol")

    return convert


def _array(item: Convert) -> Convert:
    def convert(value: Any) -> list[Any]:
        if isinstance(value, list | tuple):
            return [item(v) for v in value]
        raise _wrong(value, "a list")

    return convert


def _map(item: Convert) -> Convert:
    def convert(value: Any) -> dict[str, Any]:
        if isinstance(value, Mapping):
            return {_string(k): item(v) for k, v in value.items()}
        raise _wrong(value, "a mapping")

    return convert


def _nested(fields: list[tuple[str, Convert, bool]]) -> Convert:
    known = {name for name, _, _ in fields}

    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong(value, "a mapping")
        if not known.issuperset(value):
            raise _reject("has a field that the schema does not have")
        missing = [name for name, _, default in fields if name not in value and not default]
        if missing:
            raise _reject(f"{missing[0]} is missing")
        return {name: of(value[name]) for name, of, _ in fields if name in value}

    return convert


def _decimal(precision: int, scale: int) -> Convert:
    limit = Decimal(10) ** (precision - scale)
    exponent = -scale

    def convert(value: Any) -> Decimal:
        if type(value) is not Decimal:
            value = _exact(value)
        if not value.is_finite():
            raise _reject("not a finite number")
        if value.as_tuple().exponent < exponent and value.normalize().as_tuple().exponent < exponent:
            raise _reject(f"has more than {scale} decimals")
        if not -limit < value < limit:
            raise _reject(f"has more than {precision} digits")
        return value

    return convert


def _exact(value: Any) -> Decimal:
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        if not math.isfinite(value):
            raise _reject("not a finite number")
        exact = Decimal(repr(value))
        if len(exact.normalize().as_tuple().digits) > _FLOAT_DIGITS:
            raise _reject("float that is not an exact decimal")
        return exact
    if type(value) is str and _NUMBER.fullmatch(value):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise _wrong(value, "a decimal")


def _date(value: Any) -> date:
    if type(value) is date:
        return value
    if type(value) is str and len(value) == 10:
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise _reject("text that is not a date (YYYY-MM-DD)") from None
    if type(value) is datetime and value.tzinfo is None and value.time() == time():
        return value.date()
    raise _wrong(value, "a date")


def _moment(value: Any, step_us: int) -> datetime:
    if type(value) is str:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _reject("text that is not a timestamp (ISO 8601)") from None
    if type(value) is not datetime:
        raise _wrong(value, "a timestamp")
    if value.microsecond % step_us:
        raise _reject("timestamp finer than a millisecond")
    return value


def _instant(zone: ZoneInfo, step_us: int) -> Convert:
    def convert(value: Any) -> datetime:
        moment = _moment(value, step_us)
        try:
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
        except OverflowError:
            raise _reject("timestamp out of range") from None

    return convert


def _local(step_us: int) -> Convert:
    def convert(value: Any) -> datetime:
        moment = _moment(value, step_us)
        if moment.tzinfo is not None:
            raise _reject("timestamp with a zone where a local one is due")
        return moment

    return convert


def _time(step_us: int) -> Convert:
    def convert(value: Any) -> time:
        if type(value) is str:
            try:
                value = time.fromisoformat(value)
            except ValueError:
                raise _reject("text that is not a time (HH:MM:SS)") from None
        if type(value) is not time or value.tzinfo is not None:
            raise _wrong(value, "a time of day")
        if value.microsecond % step_us:
            raise _reject("time finer than a millisecond")
        return value

    return convert


def _uuid(value: Any) -> str:
    if type(value) is UUID:
        return str(value)
    if type(value) is str:
        try:
            if str(UUID(value)) == value.lower():
                return value
        except ValueError:
            pass
        raise _reject("text that is not a UUID")
    raise _wrong(value, "a UUID")


_PRIMITIVES: dict[str, Convert] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer(32),
    "long": _integer(64),
    "float": _single,
    "double": _double,
    "string": _string,
    "bytes": _bytes,
}
