"""Values are converted without loss or rejected, and no reason ever quotes one."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from exchange.connect.coerce import RowRejectedError
from exchange.connect.convert import UnsupportedSchemaError, converter
from exchange.errors import RecordError
from exchange.schema import avro

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
DATE = {"type": "int", "logicalType": "date"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-millis"}
TIME = {"type": "int", "logicalType": "time-millis"}
UUID_ = {"type": "string", "logicalType": "uuid"}
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
FIXED = {"type": "fixed", "name": "F", "size": 2}
NESTED = {
    "type": "record",
    "name": "N",
    "fields": [{"name": "n", "type": "int"}, {"name": "o", "type": "int", "default": 0}],
}


def record_of(*fields: Any) -> avro.Schema:
    return avro.parse(json.dumps({"type": "record", "name": "R", "fields": fields}))


def convert(kind: Any, value: Any, **options: Any) -> Any:
    schema = record_of({"name": "f", "type": kind})
    record = converter(schema, {}, **options)({"f": value})
    # What conversion lets through, the encoder must take as well.
    avro.encode(schema, record)
    return record["f"]


SHANGHAI_NOON = datetime(2025, 3, 1, 4, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("boolean", True, True),
        ("boolean", 1, True),
        ("boolean", "False", False),
        ("int", 7, 7),
        ("int", "-7", -7),
        ("int", 7.0, 7),
        ("int", Decimal("7.00"), 7),
        ("int", 2**31 - 1, 2**31 - 1),
        ("long", -(2**63), -(2**63)),
        ("double", 0.1, 0.1),
        ("double", "0.1", 0.1),
        ("double", Decimal("0.1"), 0.1),
        ("double", 3, 3.0),
        # What PostgreSQL's `real` gives: the shortest decimals that tell its 32 bits, nine digits at most.
        ("float", 3.4028235e38, 3.4028235e38),
        ("float", 1.17549435e-38, 1.17549435e-38),
        ("float", 0.12345679, 0.12345679),
        ("float", 1e-45, 1e-45),
        ("float", 0.5, 0.5),
        ("float", 0.1, 0.1),
        ("string", "穗", "穗"),
        ("string", "", ""),
        ("bytes", bytearray(b"x"), b"x"),
        (FIXED, memoryview(b"xy"), b"xy"),
        (ENUM, "A", "A"),
        (DECIMAL, Decimal("1.5"), Decimal("1.5")),
        (DECIMAL, Decimal("1.5000"), Decimal("1.5")),
        (DECIMAL, 1234.56, Decimal("1234.56")),
        (DECIMAL, "9999.99", Decimal("9999.99")),
        (DECIMAL, -3, Decimal(-3)),
        (DECIMAL, "1E+3", Decimal(1000)),
        (DATE, "2025-02-28", date(2025, 2, 28)),
        (DATE, date(2025, 2, 28), date(2025, 2, 28)),
        (DATE, datetime(2025, 2, 28), date(2025, 2, 28)),
        (MILLIS, "2025-03-01 12:00:00", SHANGHAI_NOON),
        (MILLIS, "2025-03-01T04:00:00.120Z", SHANGHAI_NOON + timedelta(milliseconds=120)),
        (MILLIS, datetime(2025, 3, 1, 12), SHANGHAI_NOON),
        (MILLIS, datetime(2025, 3, 1, 5, tzinfo=timezone(timedelta(hours=1))), SHANGHAI_NOON),
        (MICROS, "2025-03-01 12:00:00.000001", SHANGHAI_NOON + timedelta(microseconds=1)),
        (LOCAL, "2025-03-01 12:00:00", datetime(2025, 3, 1, 12)),
        (TIME, "12:30", time(12, 30)),
        (UUID_, "12345678-1234-5678-1234-567812345678", UUID("12345678123456781234567812345678")),
        (["null", "int"], None, None),
        (["null", "int"], "4", 4),
        ({"type": "array", "items": DECIMAL}, [1, 2.5], [Decimal(1), Decimal("2.5")]),
        ({"type": "map", "values": "int"}, {"a": "1"}, {"a": 1}),
        (NESTED, {"n": "1"}, {"n": 1, "o": 0}),
    ],
)
def test_the_same_value_in_another_form(kind: Any, value: Any, expected: Any) -> None:
    found = convert(kind, value, timezone="Asia/Shanghai")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", 2),
        ("boolean", "yes"),
        ("int", True),
        ("int", "007"),
        ("int", "１２"),
        ("int", " 5"),
        ("int", "1_000"),
        ("int", 1.5),
        ("int", 2**31),
        ("long", 2.0**60),
        ("long", "9" * 5000),
        ("double", 2**53 + 1),
        ("double", Decimal("0.1000000000000000055")),
        ("double", math.nan),
        ("double", math.inf),
        ("double", "1e999"),
        ("float", 0.123456789),
        ("float", 1e300),
        ("string", 5),
        ("string", b"x"),
        ("string", "\udc80"),
        (FIXED, b"xyz"),
        (ENUM, "C"),
        (ENUM, 0),
        (DECIMAL, 0.1 + 0.2),
        (DECIMAL, "1.005"),
        (DECIMAL, "10000.00"),
        (DECIMAL, Decimal("NaN")),
        (DECIMAL, "１"),
        (DECIMAL, True),
        (DECIMAL, f"1e-{10**20}"),
        ("double", f"1e{10**20}"),
        ("float", f"1e-{10**20}"),
        ("double", Decimal("sNaN")),
        ("float", 16777217.0),
        ("long", Decimal("1E+999999")),
        (DATE, "2025-02-30"),
        (DATE, "28.02.2025"),
        (DATE, datetime(2025, 2, 28, 1)),
        (DATE, 20250228),
        (MILLIS, "2025-03-01"),
        (MILLIS, "2025-03-01 12:00:00.0001"),
        (MICROS, "2025-03-01 12:00:00.0000001"),
        (MILLIS, "2025-03-01+08:00"),  # a day with its zone, not eight o'clock
        (LOCAL, "2025-03-01-05:00"),
        (MILLIS, "2025-03-01\ud80008:00"),
        (MILLIS, 1_740_000_000),
        (MILLIS, date(2025, 3, 1)),
        (LOCAL, "2025-03-01T04:00:00Z"),
        (TIME, "24:30"),
        (TIME, "1030"),
        (UUID_, "12345678123456781234567812345678"),
        ("int", None),
        ({"type": "array", "items": "int"}, "12"),
        (NESTED, {"n": 1, "x": 2}),
        (NESTED, {}),
    ],
)
def test_what_would_change_is_rejected_without_quoting_it(kind: Any, value: Any) -> None:
    with pytest.raises(RecordError) as refused:
        convert(kind, value, timezone="Asia/Shanghai")
    assert refused.value.message.startswith("f: ")
    if isinstance(value, str) and len(value) > 2:
        assert value not in refused.value.message


def test_null_text_is_null_in_nullable_fields_only() -> None:
    assert convert(["null", "string"], "", null_text="") is None
    assert convert("string", "", null_text="") == ""
    assert convert(["null", "string"], "-", null_text="") == "-"


def test_columns_defaults_and_what_is_missing() -> None:
    schema = record_of({"name": "a", "type": "int"}, {"name": "b", "type": ["null", "int"], "default": None})
    make = converter(schema, {"a": "A"})
    assert make({"A": 1, "b": 2, "other": "x"}) == {"a": 1, "b": 2}
    assert make({"A": 1}) == {"a": 1, "b": None}
    with pytest.raises(RowRejectedError, match="a: missing"):
        make({"b": 1})


def test_a_union_of_several_types_is_refused_at_once() -> None:
    with pytest.raises(UnsupportedSchemaError):
        converter(record_of({"name": "f", "type": ["int", "string"]}), {})
