"""Converts single values to what an Avro type needs, without loss; `convert` combines them into records."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from exchange.connect.source import Unreadable
from exchange.connect.text import clock_time, moment, number
from exchange.errors import RecordError
from exchange.schema.types import PerScalar

Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_SINGLE_DIGITS = (7, 8, 9, 1, 2, 3, 4, 5, 6)  # the most frequent first; few digits occur only below 1e-37
_TOO_LARGE = 1 << 64
_TOO_FINE = re.compile(r"[.,]\d{6}\d*[1-9]")  # digits that the standard library would cut off
_EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)  # without rounding to 28 digits
_FLOAT_DIGITS = 15  # decimal digits that every double keeps (IEEE 754)


class RowRejectedError(RecordError):
    """A row does not fit the subject's schema."""

    code = "row-rejected"
    remedy = "correct the row in the department's database: it is published when it changes"


def _reject(reason: str) -> RowRejectedError:
    return RowRejectedError(reason)


def _wrong(value: Any, wanted: str) -> RowRejectedError:
    if value is None:
        return _reject("null where a value is due")
    if isinstance(value, Unreadable):
        return _reject(f"{value.what} where {wanted} is due")
    return _reject(f"{type(value).__name__} where {wanted} is due")


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
    """Whole numbers of `bits` bits, also as text."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def convert(value: Any) -> int:
        number = value if type(value) is int else _whole(value)
        if low <= number <= high:
            return number
        raise _reject(f"does not fit {bits} bits")

    return convert


def _whole(value: Any) -> int:
    if type(value) is str and _INTEGER.fullmatch(value) and len(value) < 40:
        return int(value)
    if type(value) is float and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if type(value) is Decimal and value.is_finite() and value == value.to_integral_value():
        return int(value) if value.adjusted() < 20 else _TOO_LARGE  # converting a million digits takes half a minute
    raise _wrong(value, "a whole number")


def _double(value: Any) -> float:
    if type(value) is str and (found := number(value)) is not None:
        value = found
    if type(value) is float:
        result = value
    elif type(value) is Decimal and not value.is_finite():
        raise _reject("not a finite number")
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
    # A database gives a 32-bit float with the fewest decimals that identify it; most often 7 digits are enough.
    if narrow != result and not any(float(f"{narrow:.{digits}g}") == result for digits in _SINGLE_DIGITS):
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


def fixed(size: int) -> Convert:
    """Exactly `size` bytes."""

    def convert(value: Any) -> bytes:
        data = _bytes(value)
        if len(data) != size:
            raise _reject(f"not {size} bytes long")
        return data

    return convert


def symbol(symbols: frozenset[str]) -> Convert:
    """One of these texts."""

    def convert(value: Any) -> str:
        if type(value) is str and value in symbols:
            return value
        raise _reject("not one of the symbols") if type(value) is str else _wrong(value, "a symbol")

    return convert


def items(item: Convert) -> Convert:
    """A list, with each item converted."""

    def convert(value: Any) -> list[Any]:
        if isinstance(value, list | tuple):
            return [item(v) for v in value]
        raise _wrong(value, "a list")

    return convert


def mapping(item: Convert) -> Convert:
    """A mapping of texts, with each value converted."""

    def convert(value: Any) -> dict[str, Any]:
        if isinstance(value, Mapping):
            return {_string(k): item(v) for k, v in value.items()}
        raise _wrong(value, "a mapping")

    return convert


def nested(fields: Mapping[str, Convert], defaults: Mapping[str, Any]) -> Convert:
    """A record within a record; a missing field gets its default."""

    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong(value, "a mapping")
        if not fields.keys() >= value.keys():
            raise _reject("has a field that the schema does not have")
        record = {}
        for name, of in fields.items():
            if name in value:
                record[name] = of(value[name])
            elif name in defaults:
                record[name] = defaults[name]
            else:
                raise _reject(f"{name} is missing")
        return record

    return convert


def decimal(precision: int, scale: int) -> Convert:
    """An exact decimal; a value that would have to be rounded is rejected."""
    limit = Decimal(10) ** (precision - scale)
    exponent = -scale

    def convert(value: Any) -> Decimal:
        number = value if type(value) is Decimal else _exact(value)
        if not number.is_finite():
            raise _reject("not a finite number")
        if int(number.as_tuple().exponent) < exponent:
            number = number.normalize(_EXACT)
            if int(number.as_tuple().exponent) < exponent:
                raise _reject(f"has more than {scale} decimals")
        if not -limit < number < limit:
            raise _reject(f"has more than {precision} digits")
        return number

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
    if type(value) is str and (found := number(value)) is not None:
        return found
    raise _wrong(value, "a decimal")


def _day(value: Any) -> date:
    """A date, also as text such as 2026-03-01."""
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
        if _TOO_FINE.search(value):
            raise _reject("timestamp finer than a microsecond")
        try:
            value = moment(value)
        except ValueError:
            raise _reject("text that is not a timestamp (ISO 8601)") from None
    if type(value) is not datetime:
        raise _wrong(value, "a timestamp")
    if value.microsecond % step_us:
        raise _reject("timestamp finer than a millisecond")
    return value


def _instant(zone: ZoneInfo, step_us: int) -> Convert:
    """A moment; if it has no zone, it is in `zone`. A moment finer than the step is rejected."""

    def convert(value: Any) -> datetime:
        at = _moment(value, step_us)
        try:
            return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
        except OverflowError:
            raise _reject("timestamp out of range") from None

    return convert


def _local_time(step_us: int) -> Convert:
    """A time without a zone; one finer than the step is rejected."""

    def convert(value: Any) -> datetime:
        at = _moment(value, step_us)
        if at.tzinfo is not None:
            raise _reject("timestamp with a zone where a local one is due")
        return at

    return convert


def _time_of_day(step_us: int) -> Convert:
    """A time of day; one finer than the step is rejected."""

    def convert(value: Any) -> time:
        if type(value) is str:
            if _TOO_FINE.search(value):
                raise _reject("time finer than a microsecond")
            try:
                value = clock_time(value)
            except ValueError:
                raise _reject("text that is not a time (HH:MM:SS)") from None
        if type(value) is not time or value.tzinfo is not None:
            raise _wrong(value, "a time of day")
        if value.microsecond % step_us:
            raise _reject("time finer than a millisecond")
        return value

    return convert


def _uuid(value: Any) -> UUID:
    """A UUID, also as text."""
    if type(value) is UUID:
        return value
    if type(value) is str:
        try:
            made = UUID(value)
        except ValueError:
            raise _reject("text that is not a UUID") from None
        if str(made) == value.lower():
            return made
        raise _reject("text that is not a UUID in its usual form")
    raise _wrong(value, "a UUID")


def scalars(zone: ZoneInfo) -> PerScalar:
    """The conversion to each scalar type; a moment without a zone is in `zone`."""
    return {
        "null": _null,
        "boolean": _boolean,
        "int": _integer(32),
        "long": _integer(64),
        "float": _single,
        "double": _double,
        "bytes": _bytes,
        "string": _string,
        "date": _day,
        "time-millis": _time_of_day(1000),
        "time-micros": _time_of_day(1),
        "timestamp-millis": _instant(zone, 1000),
        "timestamp-micros": _instant(zone, 1),
        "local-timestamp-millis": _local_time(1000),
        "local-timestamp-micros": _local_time(1),
        "uuid": _uuid,
    }
