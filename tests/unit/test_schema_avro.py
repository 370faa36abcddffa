"""Schemas are taken within limits, and only what fits exactly is encoded."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange.schema.avro import DecodeError, EncodeError, Schema, SchemaError, decode, encode, load, parse


def _schema(**fields: Any) -> Schema:
    return parse(
        json.dumps({"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in fields.items()]})
    )


def _nested(depth: int) -> Any:
    node: Any = "string"
    for _ in range(depth):
        node = {"type": "array", "items": node}
    return node


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
AMOUNT = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("null", None),
        ("boolean", True),
        ("int", -(1 << 31)),
        ("long", (1 << 63) - 1),
        ("float", 1.5),
        ("double", 1e300),
        ("bytes", b"\x00"),
        ("string", "穗城"),
        (["null", "string"], None),
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, "b"),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab"),
        ({"type": "array", "items": "int"}, [1, 2]),
        ({"type": "map", "values": "int"}, {"a": 1}),
        ({"type": "record", "name": "N", "fields": [{"name": "x", "type": "int"}]}, {"x": 1}),
        (AMOUNT, Decimal("-123.45")),
        ({"type": "int", "logicalType": "date"}, date(2024, 2, 29)),
        (MILLIS, datetime(2024, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)),
        ({"type": "long", "logicalType": "timestamp-micros"}, datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, datetime(2024, 1, 1)),
        ({"type": "int", "logicalType": "time-millis"}, time(1, 2, 3)),
        ({"type": "string", "logicalType": "uuid"}, uuid.UUID(int=7)),
        ({"type": "long", "logicalType": "date"}, 5),
    ],
)
def test_what_fits_comes_back_the_same(kind: Any, value: Any) -> None:
    schema = _schema(f=kind)
    assert decode(schema, encode(schema, {"f": value})) == {"f": value}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", 1),
        ("int", 1 << 31),
        ("int", True),
        ("long", 1 << 63),
        ("long", 1.0),
        ("long", "5"),
        ("float", 1e300),
        ("double", (1 << 53) + 1),
        ("double", "1.5"),
        ("bytes", "text"),
        ("string", b"bytes"),
        ("string", "\ud800"),
        ("string", None),
        (["null", "int"], 1 << 31),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, "b"),
        ({"type": "fixed", "name": "F", "size": 2}, b"abc"),
        ({"type": "array", "items": "int"}, [1, "2"]),
        ({"type": "map", "values": "int"}, {1: 1}),
        ({"type": "record", "name": "N", "fields": [{"name": "x", "type": "int"}]}, {"x": 1, "y": 2}),
        (AMOUNT, Decimal("1.234")),
        (AMOUNT, Decimal("1234.56")),
        (AMOUNT, Decimal("NaN")),
        (AMOUNT, 1.5),
        ({"type": "int", "logicalType": "date"}, datetime(2024, 1, 1)),
        ({"type": "int", "logicalType": "date"}, "2024-01-01"),
        (MILLIS, datetime(2024, 1, 1)),
        (MILLIS, datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        (MILLIS, 5),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, datetime(2024, 1, 1, tzinfo=UTC)),
        ({"type": "string", "logicalType": "uuid"}, "7"),
    ],
)
def test_what_would_be_changed_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(EncodeError) as refused:
        encode(_schema(f=kind), {"f": value})
    assert refused.value.message.startswith("f: ")


def test_missing_and_unknown_fields_are_refused() -> None:
    schema = _schema(a="string", b="string")
    with pytest.raises(EncodeError, match="b: is missing"):
        encode(schema, {"a": "x"})
    with pytest.raises(EncodeError, match="a: is missing"):
        encode(parse('{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":1}]}'), {})
    with pytest.raises(EncodeError, match="1 fields that the schema does not have"):
        encode(schema, {"a": "x", "b": "y", "c": "z"})


def test_no_message_holds_a_value() -> None:
    canary = "440101199001011234"
    schema = _schema(a="int", b={"type": "enum", "name": "E", "symbols": ["x"]}, c={"type": "map", "values": "int"})
    good: dict[str, Any] = {"a": 1, "b": "x", "c": {}}
    for wrong in ({"a": canary}, {"b": canary}, {"c": {canary: "x"}}, {canary: 1}):
        with pytest.raises(EncodeError) as refused:
            encode(schema, good | wrong)
        assert canary not in str(refused.value)


def test_bytes_that_are_not_one_record_are_refused() -> None:
    schema = _schema(a="string", b="int")
    body = encode(schema, {"a": "abc", "b": 5})
    for wrong in (body[:-1], body + b"\x00", b"", b"\x01", b"\xff" * 20, b"\x06\xff\xff\xff\x0a"):
        with pytest.raises(DecodeError):
            decode(schema, wrong)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, (12_345).to_bytes(2, "big")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, (-10_000).to_bytes(2, "big", signed=True)),
        ({"type": "fixed", "name": "D", "size": 2, "logicalType": "decimal", "precision": 4}, b"\x7f\xff"),
        ({"type": "int", "logicalType": "time-millis"}, -1),
        ({"type": "int", "logicalType": "time-millis"}, 86_400_000),
        ({"type": "long", "logicalType": "time-micros"}, -1_000_000),
        ({"type": "long", "logicalType": "time-micros"}, 86_400_000_000),
        ({"type": "int", "logicalType": "date"}, 2_932_897),
        ({"type": "int", "logicalType": "date"}, -719_163),
        ({"type": "long", "logicalType": "timestamp-millis"}, 253_402_300_800_000),
        ({"type": "long", "logicalType": "timestamp-micros"}, -(1 << 63)),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, (1 << 63) - 1),
    ],
)
def test_a_body_whose_value_would_be_changed_is_refused(kind: dict[str, Any], value: Any) -> None:
    plain = {name: part for name, part in kind.items() if name in ("type", "name", "size")}
    with pytest.raises(DecodeError, match="not a record of its schema"):
        decode(_schema(a=kind), encode(_schema(a=plain if "name" in plain else plain["type"]), {"a": value}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: is not JSON"),
        ('"string"', "is not a record schema"),
        ('{"type": "record", "name": "R", "name": "S", "fields": []}', "given twice"),
        ('{"type": "record", "name": "1R", "fields": [{"name": "a", "type": "int"}]}', "not an Avro name"),
        ('{"type": "record", "name": "R"}', "no list of fields"),
        ('{"type": "record", "name": "R", "fields": [{"name": "a-b", "type": "int"}]}', "fields[0]: has no Avro name"),
        ('{"type": "record", "name": "R", "fields": [{"name": "a"}]}', "fields[0].type: has no type"),
        (json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2}), "given twice"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "int", "logicalType": {}}}]}',
            "fields[0].type: the logicalType is not a text",
        ),
    ],
)
def test_broken_schemas_say_where(text: str, message: str) -> None:
    with pytest.raises(SchemaError) as refused:
        parse(text)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("Missing", "not defined before its use"),
        (["null", "R"], "contains itself"),
        (_nested(17), "nested too deep"),
        (["int", {"type": "int", "logicalType": "date"}], "has a type twice"),
        ([["null"]], "a union in a union"),
        ({"type": "enum", "name": "E", "symbols": []}, "no symbols"),
        ({"type": "enum", "name": "E", "symbols": ["a", "a"]}, "not valid Avro"),
        ({"type": "fixed", "name": "F", "size": -1}, "no size"),
        ({"type": "bytes", "logicalType": "decimal"}, "precision"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}, "scale"),
        ({"type": "enum", "name": "E", "symbols": ["s" * 65_536]}, "64 KiB"),
    ],
)
def test_what_we_do_not_carry(kind: Any, message: str) -> None:
    text = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": %s}]}'
    with pytest.raises(SchemaError) as refused:
        parse(text % json.dumps(kind))
    assert message in refused.value.message


def test_text_nested_without_end_is_refused() -> None:
    with pytest.raises(SchemaError):
        parse('{"type": "record", "name": "R", "fields": ' + "[" * 60_000)


def test_sixteen_deep_is_carried() -> None:
    schema = _schema(a=_nested(15))
    assert list(schema.fields) == ["a"]


def test_names_are_resolved_in_their_namespace() -> None:
    unit = {"type": "enum", "name": "Unit", "symbols": ["kg"]}
    fields = [{"name": "a", "type": unit}, {"name": "b", "type": ["null", "Unit"]}, {"name": "c", "type": "city.Unit"}]
    schema = parse(json.dumps({"type": "record", "name": "R", "namespace": "city", "fields": fields}))
    assert schema.name == "city.R"
    assert [f.solid.kind for f in schema.fields.values()] == ["enum"] * 3
    assert [f.solid.symbols for f in schema.fields.values()] == [("kg",)] * 3
    assert [f.nullable for f in schema.fields.values()] == [False, True, False]


def test_schemas_are_equal_as_json() -> None:
    text = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}'
    other = '{ "name": "R", "type": "record", "fields": [ {"type": "int", "name": "a"} ] }'
    assert parse(text) == parse(other)
    assert len({parse(text), parse(other)}) == 1


def test_loading_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"absent\.avsc: cannot be read"):
        load(tmp_path / "absent.avsc")
    (tmp_path / "latin.avsc").write_bytes(b"\xe9")
    with pytest.raises(SchemaError, match=r"latin\.avsc: is not UTF-8"):
        load(tmp_path / "latin.avsc")
