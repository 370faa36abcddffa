"""Views over several writers' schemas: fields that moved, came later or changed their type."""

from __future__ import annotations

import json
from typing import Any

from exchange.contract.masks import masked_type
from exchange.contract.terms import Condition, Mask
from exchange.records.reference import Reference
from exchange.records.view import Evaluated, Kernels, compile_view
from exchange.schema import wire
from exchange.schema.avro import Schema, decode, encode, parse
from exchange.schema.project import project
from tests.rigs.views import evaluate

OLD, NEW, VIEW = 3, 5, 9


def schema(**fields: Any) -> Schema:
    """A record schema; a field is its type, or a dict with `type` and `default`."""
    made = [{"name": n, **(f if isinstance(f, dict) and "default" in f else {"type": f})} for n, f in fields.items()]
    return parse(json.dumps({"type": "record", "name": "R", "fields": made}))


def delivered(result: Evaluated, view: Schema) -> list[dict[str, Any] | None]:
    made: list[dict[str, Any] | None] = []
    for value in result.values.tolist():
        if value is None:
            made.append(None)
            continue
        schema_id, body = wire.unpack(value)
        assert schema_id == VIEW
        made.append(decode(view, bytes(body)))
    return made


def test_writers_of_several_versions_flow_through_one_view() -> None:
    old = schema(name="string", year="int")
    new = schema(year="int", district={"type": ["null", "string"], "default": None}, name="string")
    view = schema(name="string", district={"type": ["null", "string"], "default": None})
    ready = compile_view({OLD: old, NEW: new}, (VIEW, view), {"year": Condition(ge=2024)})
    assert all(isinstance(way, Kernels) for way in ready.ways.values())
    records = [
        (OLD, old, {"name": "a", "year": 2024}),
        (NEW, new, {"name": "b", "year": 2025, "district": "4401"}),
        (OLD, old, {"name": "c", "year": 2023}),
        (NEW, new, {"name": "d", "year": 2026, "district": None}),
    ]
    result = evaluate(ready, {OLD: old, NEW: new}, [wire.pack(i, encode(s, r)) for i, s, r in records])
    assert result.keep.tolist() == [True, True, False, True]
    assert delivered(result, view) == [
        {"name": "a", "district": None},
        {"name": "b", "district": "4401"},
        None,
        {"name": "d", "district": None},
    ]


def test_a_masked_field_that_came_later() -> None:
    nullable = {"type": ["null", "string"], "default": None}
    old, new = schema(name="string"), schema(name="string", phone=nullable, place={"type": "string", "default": "x"})
    records = [wire.pack(OLD, encode(old, {"name": "a"}))]
    records.append(wire.pack(NEW, encode(new, {"name": "b", "phone": "13800138000", "place": "y"})))
    for field, given, unevaluable in (("phone", [None, "138********"], 0), ("place", ["*"], 1)):
        mask = Mask(kind="partial", first=3)
        view = project(new, ["name", field], {field: masked_type(mask, new.fields[field])})
        ready = compile_view({OLD: old, NEW: new}, (VIEW, view), {}, {field: mask})
        result = evaluate(ready, {OLD: old, NEW: new}, records)
        assert [made[field] for made in delivered(result, view) if made is not None] == given
        assert result.unevaluable.sum() == unevaluable


def test_a_field_that_changed_its_type_is_converted_by_the_library() -> None:
    old, new = schema(amount="int", name="string"), schema(amount="double", name="string")
    view = schema(amount="double")
    ready = compile_view({OLD: old, NEW: new}, (VIEW, view), {"name": Condition(ne="x")})
    assert isinstance(ready.ways[OLD], Reference)
    values = [encode(old, {"amount": 7, "name": "a"}), encode(old, {"amount": 8, "name": "x"})]
    packed = [wire.pack(OLD, v) for v in values] + [wire.pack(NEW, encode(new, {"amount": 0.5, "name": ""}))]
    result = evaluate(ready, {OLD: old, NEW: new}, packed)
    assert delivered(result, view) == [{"amount": 7.0}, None, {"amount": 0.5}]
    assert result.keep.tolist() == [True, False, True]
    assert not result.unevaluable.any()


def test_records_whose_writer_lacks_what_the_view_needs_are_unevaluable() -> None:
    old, new = schema(name="string"), schema(name="string", year="int")
    for view, where in [(schema(year="int"), {}), (schema(name="string"), {"year": Condition(ge=1)})]:
        result = evaluate(
            compile_view({OLD: old, NEW: new}, (VIEW, view), where),
            {OLD: old, NEW: new},
            [wire.pack(OLD, encode(old, {"name": "a"})), wire.pack(NEW, encode(new, {"name": "b", "year": 2}))],
        )
        assert (result.keep.tolist(), result.unevaluable.tolist()) == ([False, True], [True, False])
        assert result.values.tolist()[0] is None


def test_only_the_rows_named_are_evaluated() -> None:
    old = schema(name="string")
    values = [wire.pack(OLD, encode(old, {"name": name})) for name in "abc"]
    result = evaluate(compile_view({OLD: old}, (VIEW, old), {}), {OLD: old}, values, [0, 2])
    assert delivered(result, old) == [{"name": "a"}, None, {"name": "c"}]
    assert not result.unevaluable.any()


def test_a_whole_record_view_delivers_the_source_bytes() -> None:
    old = schema(name="string")
    values = [wire.pack(OLD, encode(old, {"name": name})) for name in "abc"]
    result = evaluate(compile_view({OLD: old}, None, {"name": Condition(ne="b")}), {OLD: old}, values)
    assert result.keep.tolist() == [True, False, True]
    assert result.values.tolist() == [values[0], None, values[2]]


def test_no_rows_make_no_values() -> None:
    old = schema(name="string", year="int")
    view = compile_view({OLD: old}, (VIEW, schema(year="int")), {"name": Condition(prefix="a")})
    result = evaluate(view, {OLD: old}, [])
    assert len(result.keep) == result.values.rows == 0
