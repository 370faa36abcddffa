"""Each operator on each kind of field equals the reference, with every operand at, between and beyond the values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from exchange.contract.conditions import EQUAL, ORDER
from exchange.contract.terms import Condition
from exchange.records.reference import Reference, on_base
from exchange.records.values import Values
from exchange.records.view import Kernels, View, compile_view
from exchange.schema import wire
from exchange.schema.avro import Schema, encode, parse
from tests.rigs.views import evaluate

SMALL = [-3, -1, 0, 1, 2]
EDGES = [n + d for n in (127, 128, 255, 256, -128, -256, 32768, -32768, 2**53, 2**63) for d in (-1, 0, 1)]
FLOATS = [0.0, -0.0, 0.1, 0.5, 1.0, 2.0**53, float("inf"), float("-inf"), float("nan"), 1e300]


def padded(n: int) -> list[bytes]:
    """`n` in two's complement, in as few bytes as it takes, and with bytes that only repeat the sign."""
    return [n.to_bytes(n.bit_length() // 8 + 1 + more, "big", signed=True) for more in (0, 1, 9)]


# Type, values on the base, operands, operators.
KINDS: dict[str, tuple[Any, list[Any], list[Any], frozenset[str]]] = {
    "int": ("int", SMALL, [*SMALL, -0.5, 0.5, 1.5, 2**40, float("inf")], EQUAL | ORDER),
    "long": (
        "long",
        [*SMALL, -(2**63), *(n for n in EDGES if n < 2**63)],
        [*SMALL, 0.5, -(2**63), -(2**63) - 1, *EDGES, float("-inf"), 1e300],
        EQUAL | ORDER,
    ),
    "double": ("double", FLOATS, [*FLOATS[:-2], 1, 2**53 + 1, 2**53 - 1, 10**400, -(10**400), 1e300], EQUAL | ORDER),
    "float": ("float", [0.0, 0.5, 1.5, 0.10000000149011612], [0.1, 0.5, 1, 2], EQUAL | ORDER),
    "string": (
        "string",
        ["", "a", "ab", "b", "é", "漢", "😀", "\uffee", "ab漢字"],
        ["", "a", "ab", "abc", "é", "漢", "😀", "ab漢"],
        EQUAL | ORDER | {"prefix"},
    ),
    "boolean": ("boolean", [False, True], [False, True], EQUAL),
    "enum": ({"type": "enum", "name": "E", "symbols": ["a", "b", "c"]}, ["a", "b", "c"], ["a", "c", "d"], EQUAL),
    "date": (
        {"type": "int", "logicalType": "date"},
        [-1, 0, 1, 19_000, 19_001],
        ["1970-01-01", "1969-12-31", "2022-01-08", "2023-01-01"],
        EQUAL | ORDER,
    ),
    "timestamp": (
        {"type": "long", "logicalType": "timestamp-millis"},
        [1_700_000_000_000 + d for d in (-1, 0, 1, 2)] + [1_699_977_600_000],
        ["2023-11-14T22:13:20+00:00", "2023-11-15T06:13:20.001", "2023-11-15T06:13:20.0005", "2023-11-15"],
        EQUAL | ORDER,
    ),
    "decimal": (
        {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2},
        [b"", *(b for n in (*SMALL, *EDGES, -(2**70)) for b in padded(n))],
        ["0", "0.01", "-0.01", "0.005", "-0.005", 0.02, 1.28, -1.28, -1.29, "92233720368547758.07", 327.67, 10**30],
        EQUAL | ORDER,
    ),
    "fixed decimal": (
        {"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal", "precision": 4, "scale": 1},
        [n.to_bytes(2, "big", signed=True) for n in (-300, -1, 0, 1, 255, 256)],
        ["0", 25.5, "25.55", -30, -0.1],
        EQUAL | ORDER,
    ),
}
SHAPES = {"plain": lambda n: n, "null first": lambda n: ["null", n], "null last": lambda n: [n, "null"]}


def schema_of(node: Any) -> Schema:
    before = {"name": "before", "type": ["null", "string"]}
    return parse(json.dumps({"type": "record", "name": "R", "fields": [before, {"name": "x", "type": node}]}))


def bodies_of(schema: Schema, values: list[Any]) -> list[bytes]:
    base = on_base(schema)
    return [encode(base, {"before": "pad" if i % 2 else None, "x": value}) for i, value in enumerate(values)]


def kept(view: View, schema: Schema, bodies: list[bytes]) -> list[bool]:
    result = evaluate(view, {3: schema}, [wire.pack(3, body) for body in bodies])
    assert len(result.keep) == len(bodies)
    assert not result.unevaluable.any()
    return result.keep.tolist()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_conditions_equal_the_reference(kind: str, shape: str) -> None:
    node, values, operands, operators = KINDS[kind]
    nulls = [None] if shape != "plain" else []
    schema = schema_of(SHAPES[shape](node))
    bodies = bodies_of(schema, values + nulls)
    asked = [{"is_null": True}, {"is_null": False}, {"in": operands}, {"in": [operands[0], operands[-1], *nulls]}]
    asked += [{op: x} for op in sorted(operators - {"in"}) for x in operands]
    asked += [{op: None} for op in ("eq", "ne") if nulls]
    asked += [{"ne": operands[0], "in": operands}]
    seen = set()
    for made in asked:
        condition = Condition.model_validate(made)
        reference = Reference(schema, None, {"x": condition})
        view = compile_view({3: schema}, None, {"x": condition})
        assert isinstance(view.ways[3], Kernels)
        keeps = [reference.keeps(body) for body in bodies]
        assert kept(view, schema, bodies) == keeps, made
        seen |= set(keeps)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("node", "made"),
    [
        ("int", {"eq": "1"}),
        ("int", {"prefix": "1"}),
        ("int", {"eq": True}),
        ("string", {"ge": 1}),
        ("boolean", {"eq": 1}),
        ("bytes", {"eq": "a"}),
        (["int", "string"], {"eq": 1}),
        ({"type": "int", "logicalType": "date"}, {"ge": "yesterday"}),
        ({"type": "array", "items": "int"}, {"eq": 1}),
    ],
)
def test_a_condition_that_means_nothing_withholds_every_record(node: Any, made: dict[str, Any]) -> None:
    schema = schema_of(node)
    view = compile_view({3: schema}, None, {"x": Condition.model_validate(made)})
    result = view.evaluate(Values.of([b"\0\0\0\0\3\0\0"]), np.array([3]), np.array([0]), {})
    assert (result.keep.tolist(), result.unevaluable.tolist(), result.values.tolist()) == ([False], [True], [None])
