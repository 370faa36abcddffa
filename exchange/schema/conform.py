"""Whether a Python record fits an Avro schema exactly: a value that the encoder would silently change is refused."""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from exchange.schema.types import PerScalar, Type

Check = Callable[[Any], str | None]
"""Takes a value; returns None if it fits, else the place and the reason, without the value."""


def compile_check(of: Type) -> Check:
    """Compile the check of one type.

    It is stricter than the encoder, which would change some values: it refuses integers out of range, booleans and
    floats in place of integers, times that are naive or too fine, decimals of another scale, and surrogates in
    strings. Every field must be given, even one with a default.
    """
    match of.means:
        case "union":
            return _union([compile_check(branch) for branch in of.parts])
        case "record":
            return _record({field.name: compile_check(field.type) for field in of.fields})
        case "array":
            return _array(compile_check(of.parts[0]))
        case "map":
            return _map(compile_check(of.parts[0]))
        case "decimal":
            return _decimal(of.precision, of.scale)
        case "enum":
            return _symbol(of.symbols)
        case "fixed":
            return _fixed(of.size)
        case scalar:
            return _SCALARS[scalar]


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
    # An integer is accepted if a double holds it exactly.
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


_SCALARS: PerScalar = {
    "null": lambda v: None if v is None else "is not null",
    "boolean": lambda v: None if type(v) is bool else "is not a boolean",
    "int": _integer(1 << 31),
    "long": _integer(1 << 63),
    "float": _float,
    "double": _double,
    "bytes": lambda v: None if isinstance(v, bytes) else "is not bytes",
    "string": _string,
    "date": _date,
    "time-millis": _time(True),
    "time-micros": _time(False),
    "timestamp-millis": _timestamp(True, False),
    "timestamp-micros": _timestamp(False, False),
    "local-timestamp-millis": _timestamp(True, True),
    "local-timestamp-micros": _timestamp(False, True),
    "uuid": lambda v: None if isinstance(v, uuid.UUID) else "is not a UUID",
}
