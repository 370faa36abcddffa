"""The connectors' encoder gives the very bytes that the reference encoder gives."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.connect.coerce import RowRejectedError
from exchange.connect.encode import encoder
from exchange.schema import avro

LONG = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-5000, 5000)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MOMENT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
MILLI_MOMENT = MOMENT.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))


def logical(base: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **more}


KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(1 << 31), (1 << 31) - 1)),
    ("long", LONG),
    ("float", st.floats(width=32)),
    ("double", st.floats()),
    ("bytes", st.binary()),
    ("string", TEXT),
    (logical("bytes", "decimal", precision=20, scale=3), st.decimals(-(10**15), 10**15, places=3)),
    (logical("bytes", "decimal", precision=20, scale=3), st.integers(-300, 300).map(lambda n: Decimal(n).scaleb(2))),
    (
        {"type": "fixed", "name": "Money", "size": 9, "logicalType": "decimal", "precision": 20, "scale": 2},
        st.decimals(-(10**15), 10**15, places=2),
    ),
    (logical("int", "date"), st.dates(date(1, 1, 1), date(9999, 12, 31))),
    (logical("long", "timestamp-millis"), MILLI_MOMENT.map(lambda at: at.replace(tzinfo=UTC))),
    (logical("long", "timestamp-micros"), MOMENT.map(lambda at: at.replace(tzinfo=UTC))),
    (logical("long", "local-timestamp-millis"), MILLI_MOMENT),
    (logical("long", "local-timestamp-micros"), MOMENT),
    (logical("int", "time-millis"), st.times().map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))),
    (logical("long", "time-micros"), st.times()),
    (logical("string", "uuid"), st.uuids()),
    ({"type": "enum", "name": "Enum", "symbols": ["A", "B", "C"]}, st.sampled_from("ABC")),
    ({"type": "fixed", "name": "Fixed", "size": 3}, st.binary(min_size=3, max_size=3)),
    (["null", "long"], st.none() | LONG),
    (["string", "null"], st.none() | TEXT),
    (["null", logical("int", "date")], st.none() | st.just(date(2025, 1, 1))),
    ({"type": "array", "items": ["null", "string"]}, st.lists(st.none() | TEXT, max_size=4)),
    ({"type": "map", "values": "long"}, st.dictionaries(TEXT, LONG, max_size=4)),
    (
        {"type": "record", "name": "Inner", "fields": [{"name": "a", "type": "long"}, {"name": "e", "type": "Enum"}]},
        st.fixed_dictionaries({"a": LONG, "e": st.sampled_from("ABC")}),
    ),
    ({"type": "array", "items": "Inner"}, st.just([{"a": 1, "e": "B"}])),
]
SCHEMA = avro.parse(
    json.dumps(
        {
            "type": "record",
            "name": "All",
            "namespace": "test",
            "fields": [{"name": f"f{i}", "type": kind} for i, (kind, _) in enumerate(KINDS)],
        }
    )
)
RECORD = st.fixed_dictionaries({f"f{i}": values for i, (_, values) in enumerate(KINDS)})
ENCODE = encoder(SCHEMA)


@given(RECORD)
def test_the_bytes_are_those_of_the_reference(record: dict[str, Any]) -> None:
    assert ENCODE(record) == avro.encode(SCHEMA, record)


def test_text_that_is_not_unicode_is_rejected_by_field() -> None:
    schema = avro.parse('{"type": "record", "name": "R", "fields": [{"name": "f", "type": "string"}]}')
    with pytest.raises(RowRejectedError, match=r"^f: text that is not valid Unicode"):
        encoder(schema)({"f": "\udcff"})
