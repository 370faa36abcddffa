"""How Debezium writes values into JSON: each is converted exactly, or the row is rejected.

A message's schema says how each column is written; if messages have none, connector.yaml says it, in the same words.
Sources: Debezium's "Data type mappings" and Kafka Connect's JsonConverter.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import md5
from typing import Any
from uuid import UUID

from exchange.connect.coerce import RowRejectedError

Convert = Callable[[Any], Any]

DECLARED = r"^(Date|Time|MicroTime|NanoTime|Timestamp|MicroTimestamp|NanoTimestamp|Bytes|Text|Decimal\([0-9]{1,3}\))$"
_LOGICAL = "org.apache.kafka.connect.data."
_TIMES = "io.debezium.time."
_EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
_DAY_NS = 86_400 * 10**9
_MAX_BYTES, _MAX_SCALE = 400, 1_000  # of a decimal, which no database exceeds by far


def declared(how: str) -> Convert:
    """The conversion of a column whose kind connector.yaml names, such as MicroTimestamp or Decimal(2)."""
    if how.startswith("Decimal("):
        return _or_null(_decimal(int(how[8:-1])))
    return _or_null(_NAMED[how])


def described(schema: Mapping[str, Any]) -> Convert:
    """The conversion of values of a schema of Kafka Connect's, as JSON; KeyError, TypeError if it is not one."""
    name = str(schema.get("name") or "")
    if name == _LOGICAL + "Decimal":
        return _or_null(_decimal(int(schema["parameters"]["scale"])))
    if name == "io.debezium.data.VariableScaleDecimal":
        return _or_null(_variable_decimal)
    short = name.removeprefix(_TIMES).removeprefix(_LOGICAL)
    if short != name and short in _NAMED:
        return _or_null(_NAMED[short])
    match schema["type"]:
        case "struct":
            return _or_null(_struct({part["field"]: described(part) for part in schema["fields"]}))
        case "array":
            return _or_null(_items(described(schema["items"])))
        case "map":
            return _or_null(_entries(described(schema["values"])))
        case "bytes":
            return _or_null(_bytes)
    return lambda value: value


def unavailable(placeholder: str) -> Callable[[Any], bool]:
    """Whether a value, as it is in JSON, stands for one that the database's log did not have.

    Debezium writes the placeholder in the column's type: text, bytes, or a list or map with nothing else in it.
    """
    raw = placeholder.encode()
    named = bytearray(md5(raw, usedforsecurity=False).digest())
    named[6], named[8] = named[6] & 0x0F | 0x30, named[8] & 0x3F | 0x80  # RFC 4122, version 3, without a name space
    texts = {placeholder, base64.b64encode(raw).decode(), str(UUID(bytes=bytes(named)))}
    lists = [list(raw)]

    def check(value: Any) -> bool:
        if isinstance(value, str):
            return value in texts
        if isinstance(value, Mapping):
            return bool(value) and all(check(each) for each in value.values())
        return isinstance(value, list) and (value in lists or (bool(value) and all(map(check, value))))

    return check


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise RowRejectedError("not a whole number, as Debezium writes this type")
    return value


def _days(value: Any) -> date:
    try:
        return date(1970, 1, 1) + timedelta(days=_whole(value))
    except OverflowError:
        raise RowRejectedError("date out of range") from None


def _micros(value: Any, unit_ns: int) -> int:
    micros, finer = divmod(_whole(value) * unit_ns, 1000)
    if finer:
        raise RowRejectedError("finer than a microsecond")
    return micros


def _moment(unit_ns: int) -> Convert:
    """A timestamp without a zone, which Debezium counts from 1970 as if it were in UTC."""

    def convert(value: Any) -> datetime:
        try:
            return _EPOCH + timedelta(microseconds=_micros(value, unit_ns))
        except OverflowError:
            raise RowRejectedError("timestamp out of range") from None

    return convert


def _clock(unit_ns: int) -> Convert:
    def convert(value: Any) -> time:
        if not 0 <= _whole(value) * unit_ns < _DAY_NS:
            raise RowRejectedError("not a time of day")
        return (_EPOCH + timedelta(microseconds=_micros(value, unit_ns))).time()

    return convert


def _text(value: Any) -> str:
    if type(value) is not str:
        raise RowRejectedError("not text, as Debezium writes this type")
    return value


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError):
        raise RowRejectedError("not base64, as Debezium writes this type") from None


def _decimal(scale: int) -> Convert:
    """A big-endian integer in base64, so many digits of which are decimals; or a number (`decimal.format=NUMERIC`)."""

    def convert(value: Any) -> Decimal:
        if type(value) in (int, Decimal):
            return Decimal(value)
        data = _bytes(value)
        if not data or len(data) > _MAX_BYTES or abs(scale) > _MAX_SCALE:
            raise RowRejectedError("not a decimal, as Debezium writes it")
        return Decimal(f"{int.from_bytes(data, 'big', signed=True)}E{-scale}")

    return convert


def _variable_decimal(value: Any) -> Decimal:
    if not isinstance(value, Mapping) or value.keys() != {"scale", "value"}:
        raise RowRejectedError("not a decimal, as Debezium writes it")
    made: Decimal = _decimal(_whole(value["scale"]))(value["value"])
    return made


def _struct(fields: Mapping[str, Convert]) -> Convert:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise RowRejectedError("not a struct, as its schema says")
        return {name: fields[name](each) if name in fields else each for name, each in value.items()}

    return convert


def _items(item: Convert) -> Convert:
    def convert(value: Any) -> list[Any]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise RowRejectedError("not a list, as its schema says")
        return [item(each) for each in value]

    return convert


def _entries(item: Convert) -> Convert:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise RowRejectedError("not a map of texts, as its schema says")
        return {name: item(each) for name, each in value.items()}

    return convert


_NAMED: Mapping[str, Convert] = {
    "Date": _days,
    "Time": _clock(10**6),
    "MicroTime": _clock(10**3),
    "NanoTime": _clock(1),
    "Timestamp": _moment(10**6),
    "MicroTimestamp": _moment(10**3),
    "NanoTimestamp": _moment(1),
    "Bytes": _bytes,
    "Text": _text,
}
