"""Whether a Python record fits an Avro schema exactly: what the encoder would silently change is refused."""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

Check = Callable[[Any], str | None]
"""Takes a value; returns None where it fits, else the place and reason, without the value."""

RANGES = {"int": 1 << 31, "long": 1 << 63}


def compile_check(definition: Any, names: Mapping[str, dict[str, Any]]) -> Check:
    """The check of one type; `definition` and `names` are those of a `Schema`.

    Stricter than the encoder where that would change the value: integers out of range, booleans and
    floats as integers, naive or too fine times, decimals of another scale, surrogates in strings;
    and every field has to be given, also one with a default.
    """
    if isinstance(definition, list):
        return _union([compile_check(branch, names) for branch in definition])
    if isinstance(definition, str):
        definition = names.get(definition, {"type": definition})
    kind = definition["type"]
    if definition.get("logicalType") == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(definition["precision"], definition.get("scale", 0))
    if kind == "record":
        return _record({f["name"]: compile_check(f["type"], names) for f in definition["fields"]})
    if kind in ("array", "map"):
        nested = compile_check(definition["items" if kind == "array" else "values"], names)
        return _array(nested) if kind == "array" else _map(nested)
    if kind in ("enum", "fixed"):
        return _symbol(definition["symbols"]) if kind == "enum" else _fixed(definition["size"])
    return LOGICAL.get((kind, definition.get("logicalType")), BASE[kind])


def _record(fields: Mapping[str, Check]) -> Check:
    items = list(fields.items())

    def check_record(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return "is not a record"
        for name, check in items:
            if name not in value:
                return f"{name}: is missing"
            problem = check(value[name])
            if problem:
                return f"{name}: {problem}"
        if len(value) > len(items):
            return f"has {len(value) - len(items)} fields that the schema does not have"
        return None

    return check_record


def _union(branches: Sequence[Check]) -> Check:
    def check_union(value: Any) -> str | None:
        problem = None
        for check in branches:
            reason = check(value)
            if reason is None:
                return None
            problem = reason
        return problem

    return check_union


def _array(item: Check) -> Check:
    def check_array(value: Any) -> str | None:
        if not isinstance(value, (list, tuple)):
            return "is not a list"
        return next((f"[{i}]: {problem}" for i, v in enumerate(value) if (problem := item(v))), None)

    return check_array


def _map(item: Check) -> Check:
    def check_map(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return "is not a map"
        for key, part in value.items():
            problem = _string(key) or item(part)
            if problem:
                return f"map entry: {problem}"
        return None

    return check_map


def _symbol(symbols: Sequence[str]) -> Check:
    known = frozenset(symbols)
    return lambda v: None if isinstance(v, str) and v in known else "is not a symbol of the enum"


def _fixed(size: int) -> Check:
    return lambda v: None if isinstance(v, bytes) and len(v) == size else f"is not {size} bytes"


def _integer(bound: int) -> Check:
    def check_integer(value: Any) -> str | None:
        if type(value) is not int:
            return "is not an integer"
        return None if -bound <= value < bound else f"is outside of {bound.bit_length()} bits"

    return check_integer


def _float(value: Any) -> str | None:
    if type(value) is not float:
        return "is not a float"
    if math.isfinite(value):
        try:
            struct.pack("<f", value)
        except OverflowError:
            return "is outside of a float's range"
    return None


def _double(value: Any) -> str | None:
    # An integer is taken where the double holds it exactly.
    if type(value) is float or (type(value) is int and abs(value) <= 1 << 53):
        return None
    return "is not a number that a double holds"


def _string(value: Any) -> str | None:
    if not isinstance(value, str):
        return "is not a string"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "is not valid Unicode"
    return None


def _decimal(precision: int, scale: int) -> Check:
    def check_decimal(value: Any) -> str | None:
        if not isinstance(value, Decimal) or not value.is_finite():
            return "is not a decimal"
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        if -exponent > scale:
            return f"has more than {scale} decimal places"
        return None if len(digits) + exponent + scale <= precision else f"has more than {precision} digits"

    return check_decimal


def _date(value: Any) -> str | None:
    return None if isinstance(value, date) and not isinstance(value, datetime) else "is not a date"


def _timestamp(millis: bool, local: bool) -> Check:
    def check_timestamp(value: Any) -> str | None:
        if not isinstance(value, datetime):
            return "is not a timestamp"
        if (value.tzinfo is None) is not local:
            return "has a time zone" if local else "has no time zone"
        return "is finer than milliseconds" if millis and value.microsecond % 1000 else None

    return check_timestamp


def _time(millis: bool) -> Check:
    def check_time(value: Any) -> str | None:
        if not isinstance(value, time) or value.tzinfo is not None:
            return "is not a time of day without zone"
        return "is finer than milliseconds" if millis and value.microsecond % 1000 else None

    return check_time


BASE: dict[str, Check] = {
    "null": lambda v: None if v is None else "is not null",
    "boolean": lambda v: None if type(v) is bool else "is not a boolean",
    "int": _integer(RANGES["int"]),
    "long": _integer(RANGES["long"]),
    "float": _float,
    "double": _double,
    "bytes": lambda v: None if isinstance(v, bytes) else "is not bytes",
    "string": _string,
}

LOGICAL: dict[tuple[str, str | None], Check] = {
    ("int", "date"): _date,
    ("long", "timestamp-millis"): _timestamp(True, False),
    ("long", "timestamp-micros"): _timestamp(False, False),
    ("long", "local-timestamp-millis"): _timestamp(True, True),
    ("long", "local-timestamp-micros"): _timestamp(False, True),
    ("int", "time-millis"): _time(True),
    ("long", "time-micros"): _time(False),
    ("string", "uuid"): lambda v: None if isinstance(v, uuid.UUID) else "is not a UUID",
}
