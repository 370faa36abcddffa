"""What SQLite, PostgreSQL and MariaDB give back is what was delivered, value by value, or the record was rejected."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.records.reference import on_base
from exchange.schema import avro
from exchange.schema.avro import DecodeError, Schema
from exchange.schema.types import Field
from tests.rigs.examples import schemas
from tests.rigs.sinks import KINDS, Reader, schema, url_of

FEW = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _time(value: Any) -> time:
    if isinstance(value, timedelta):  # as PyMySQL gives MariaDB's
        return (datetime.min + value).time()
    return time.fromisoformat(str(value))


REVIVED: dict[str, Callable[[Any], Any]] = {
    "decimal": lambda v: Decimal(str(v)),
    "date": lambda v: date.fromisoformat(str(v)),
    "time-millis": _time,
    "time-micros": _time,
    "timestamp-millis": lambda v: _moment(v).replace(tzinfo=UTC),
    "timestamp-micros": lambda v: _moment(v).replace(tzinfo=UTC),
    "local-timestamp-millis": _moment,
    "local-timestamp-micros": _moment,
    "uuid": lambda v: UUID(str(v)),
    "boolean": bool,
    "bytes": bytes,
    "fixed": bytes,
}


def revived(field: Field, value: Any) -> Any:
    """The value of a column as a reader takes it, by docs/connectors.md."""
    if value is None:
        return None
    if field.solid.means in ("array", "map", "record", "union"):
        return json.loads(value)
    return REVIVED.get(field.solid.means, lambda v: v)(value)


def as_json(value: Any) -> Any:
    """What JSON has of a nested value: text for what it has no form for."""
    match value:
        case dict():
            return {name: as_json(part) for name, part in value.items()}
        case list():
            return [as_json(part) for part in value]
        case bytes():
            return value.hex()
        case Decimal():
            return f"{value:f}"
        case date() | time() | UUID():
            return str(value)
    return value


def expected(field: Field, value: Any) -> Any:
    return as_json(value) if field.solid.means in ("array", "map", "record", "union") else value


def same(one: Any, other: Any) -> bool:
    """Equal, and of one type where that shows: 1 is not True."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return (math.isnan(one) and math.isnan(other)) or one == other
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def holds(value: Any, is_hard: Callable[[Any], bool]) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return is_hard(value) or any(holds(part, is_hard) for part in parts)


def not_for(database: Reader, field: Field, value: Any) -> bool:
    """Whether the database has no room for the value, by docs/connectors.md."""
    if field.solid.means in ("array", "map", "record", "union"):
        return holds(value, lambda part: isinstance(part, float) and not math.isfinite(part))
    if database.is_sqlite:
        return isinstance(value, float) and math.isnan(value)
    if database.is_mysql:
        return isinstance(value, float) and not math.isfinite(value)
    return isinstance(value, str) and "\0" in value


def store(database: Reader, shape: Schema, record: dict[str, Any]) -> None:
    """Put the record into a new table; what comes out is the same, or it was to be rejected."""
    database.sql("DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS exchange_offsets")
    with closing(database.table([])) as table:
        table.fit(shape)
        aside = database.write(table, record, schema=shape)
    impossible = [name for name, field in shape.fields.items() if not_for(database, field, record[name])]
    if impossible:
        [(_, reason)] = aside
        assert reason.split(":")[0] in impossible
        return
    assert aside == []
    names = ", ".join(map(database.quoted, shape.fields))
    with database.user.connect() as connection:
        [row] = connection.exec_driver_sql(f"SELECT {names} FROM t")
    for (name, field), value in zip(shape.fields.items(), row, strict=True):
        assert same(expected(field, record[name]), revived(field, value)), (field, record[name], value)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    return Reader(url_of(request, tmp_path), tmp_path)


@FEW
@given(data=st.data())
def test_what_was_delivered_is_what_is_read(database: Reader, data: st.DataObject) -> None:
    shape, records = data.draw(schemas())
    body = avro.encode(on_base(shape), data.draw(records))
    try:
        record = avro.decode(shape, body)
    except DecodeError:  # a decimal of more digits than its type's: rejected before it comes to the table
        return
    store(database, shape, record)


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def logical(base: str, name: str) -> dict[str, str]:
    return {"type": base, "logicalType": name}


VALUES: list[tuple[Any, list[Any]]] = [
    (decimal(16, 2), ["99999999999999.99", "-0.01", "10.00"]),
    (decimal(18, 2), ["1234567890123456.78", "1234567890123456.00", "0.00"]),
    (decimal(15, 2), ["9999999999999.99", "-9999999999999.99", "1234567890.10", "0.30"]),
    (decimal(15, 15), ["0.000000000000001", "0.123456789012345"]),
    (decimal(38, 0), ["99999999999999999999999999999999999999", "0", "100"]),
    (decimal(40, 38), ["1E-38"]),
    ("long", [2**63 - 1, -(2**63), 2**53 + 1]),
    ("double", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e16, 2.0**63]),
    ("float", [math.nan, math.inf, 3.4028234663852886e38, 1.401298464324817e-45, 0.10000000149011612]),
    ("boolean", [True, False]),
    ("string", ["", " ", "a ", "007", "1e3", "NaN", "a\0b", "\ufffe\U0010ffff", "漢" * 70_000, "null", "\\", "'"]),
    ("bytes", [b"", b"\0", bytes(range(256)), b"text"]),
    (logical("int", "date"), [date.min, date.max, date(1582, 10, 10)]),
    (logical("int", "time-millis"), [time.min, time(23, 59, 59, 999_000)]),
    (logical("long", "time-micros"), [time.min, time.max]),
    (logical("long", "timestamp-micros"), [m.replace(tzinfo=UTC) for m in (datetime.min, datetime.max)]),
    (logical("long", "local-timestamp-micros"), [datetime.min, datetime.max, datetime(2025, 3, 30, 2, 30)]),
    (logical("string", "uuid"), [UUID(int=0), UUID(int=2**128 - 1)]),
    ({"type": "enum", "name": "E", "symbols": ["A", "NULL"]}, ["A", "NULL"]),
    ({"type": "fixed", "name": "F", "size": 2}, [b"\0\xff"]),
    (["null", "string", "long", "double"], [None, "5", 5, 5.5, math.nan, 2**63 - 1]),
    ({"type": "array", "items": "double"}, [[], [0.1], [math.inf], [1, math.nan]]),
    ({"type": "map", "values": "long"}, [{}, {"\0": 2**63 - 1, "": -(2**63)}]),
    ({"type": "map", "values": "bytes"}, [{"a": b"\0\xff"}]),
    ({"type": "array", "items": decimal(40, 38)}, [["1E-38", "0.5"]]),
    ({"type": "array", "items": logical("long", "timestamp-micros")}, [[datetime(1, 1, 1, tzinfo=UTC)]]),
]


@pytest.mark.parametrize(
    ("kind", "values"), VALUES, ids=lambda part: json.dumps(part) if isinstance(part, dict) else ""
)
def test_the_ends_of_each_type(database: Reader, kind: Any, values: list[Any]) -> None:
    shape = schema(v=kind)
    for value in values:
        record = {"v": _decimals(value) if "decimal" in json.dumps(kind) else value}
        store(database, shape, avro.decode(shape, avro.encode(shape, record)))


def _decimals(value: Any) -> Any:
    return [_decimals(part) for part in value] if isinstance(value, list) else Decimal(value)
