"""Every mask on every kind of value equals the reference, and gives what the contract says it gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exchange.contract.masks import faults, masked_type
from exchange.contract.terms import Condition, Mask
from exchange.records.reference import Reference, on_base
from exchange.records.view import Kernels, compile_view
from exchange.schema import wire
from exchange.schema.avro import Schema, decode, encode, parse
from tests.rigs.views import evaluate

KEY = bytes(range(32))
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
DATE = {"type": "int", "logicalType": "date"}
TEXTS = ["", "a", "ab", "13800138000", "张", "张三丰", "é漢😀z", "x" * 300]
DAYS = [-719_162, -1, 0, 19_000, 19_416, 2_932_896]

# Mask, the field's type, values on the base, what the mask gives of them.
CASES: dict[str, tuple[Mask, Any, list[Any], list[Any]]] = {
    "null": (Mask(kind="null"), "string", ["a"], [None]),
    "null record": (
        Mask(kind="null"),
        {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "int"}]},
        [{"n": 1}],
        [None],
    ),
    "redact": (Mask(kind="redact"), "string", ["a", ""], ["***", "***"]),
    "partial": (
        Mask(kind="partial", first=1, last=2),
        "string",
        TEXTS,
        ["", "*", "**", "1********00", "*", "***", "é*😀z", "x" + "*" * 297 + "xx"],
    ),
    "partial first": (Mask(kind="partial", first=3), "string", ["13800138000", "138"], ["138********", "***"]),
    "partial nothing": (Mask(kind="partial"), "string", ["ab"], ["**"]),
    "year": (Mask(kind="year"), DATE, DAYS, [1, 1969, 1970, 2022, 2023, 9999]),
    "month": (Mask(kind="month"), DATE, DAYS, ["0001-01", "1969-12", "1970-01", "2022-01", "2023-02", "9999-12"]),
    "range": (
        Mask(kind="range", bounds=(0, 1000)),
        "long",
        [-1, 0, 999, 1000, 2**62],
        ["<0", "0..1000", "0..1000", ">=1000", ">=1000"],
    ),
    "range of reals": (
        Mask(kind="range", bounds=(0.5,)),
        "double",
        [0.4999, 0.5, float("inf"), float("nan")],
        ["<0.5", ">=0.5", ">=0.5", "unknown"],
    ),
    "range of decimals": (
        Mask(kind="range", bounds=(0.01, 100)),
        DECIMAL,
        [b"\x00", b"\x01", b"\x27\x0f", b"\x27\x10", b"\xff"],
        ["<0.01", "0.01..100", "0.01..100", ">=100", "<0.01"],
    ),
    "pseudonym": (Mask(kind="pseudonym"), "string", TEXTS, []),
}
SHAPES = {"plain": lambda n: n, "null first": lambda n: ["null", n], "null last": lambda n: [n, "null"]}


def schemas(node: Any, mask: Mask) -> tuple[Schema, Schema]:
    around = [{"name": "before", "type": "string"}, {"name": "after", "type": "long"}]
    fields = [around[0], {"name": "x", "type": node}, around[1]]
    writer = parse(json.dumps({"type": "record", "name": "R", "fields": fields}))
    fields[1] = {"name": "x", "type": masked_type(mask, writer.fields["x"])}
    return writer, parse(json.dumps({"type": "record", "name": "V", "fields": fields}))


def deliver(writer: Schema, view: Schema, mask: Mask, values: list[Any], key: bytes = KEY) -> list[Any]:
    """The masked field of each value, by the kernels, which must equal the reference."""
    bodies = [encode(on_base(writer), {"before": "b" * (i % 3), "x": v, "after": i}) for i, v in enumerate(values)]
    framed = [wire.pack(3, body) for body in bodies]
    ready = compile_view({3: writer}, (9, view), {"after": Condition(ge=0)}, {"x": mask}, key)
    assert isinstance(ready.ways[3], Kernels)
    result = evaluate(ready, {3: writer}, framed)
    reference = Reference(writer, view, {}, {"x": mask}, key)
    given = []
    for body, delivered in zip(bodies, result.values.tolist(), strict=True):
        assert delivered is not None
        assert delivered == wire.pack(9, reference.project(body))
        given.append(decode(view, delivered[5:])["x"])
    return given


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_masks_equal_the_reference(case: str, shape: str) -> None:
    mask, node, values, expected = CASES[case]
    writer, view = schemas(SHAPES[shape](node), mask)
    assert not list(faults(mask, writer.fields["x"]))
    given = deliver(writer, view, mask, values * 3)
    if expected:
        assert given == expected * 3
    if shape != "plain":
        assert deliver(writer, view, mask, [None, *values, None])[0] == ("***" if mask.kind == "redact" else None)


def test_a_pseudonym_is_of_the_value_and_the_reader() -> None:
    mask = Mask(kind="pseudonym")
    writer, view = schemas("string", mask)
    ours = deliver(writer, view, mask, ["440101199001011234", "a", "440101199001011234"])
    theirs = deliver(writer, view, mask, ["440101199001011234"], bytes(32))
    nullable = deliver(*schemas(["null", "string"], mask), mask, ["440101199001011234"])
    assert ours[0] == ours[2] == nullable[0]
    assert len({ours[0], ours[1], theirs[0]}) == 3
    assert len(ours[0]) == 32


@pytest.mark.parametrize(
    ("mask", "node"),
    [
        (Mask(kind="partial", first=1), "int"),
        (Mask(kind="year"), "int"),
        (Mask(kind="year"), "string"),
        (Mask(kind="range", bounds=(1,)), "string"),
        (Mask(kind="range"), "int"),
        (Mask(kind="range", bounds=(2, 1)), "int"),
        (Mask(kind="redact", first=1), "string"),
        (Mask(kind="pseudonym", bounds=(1,)), "string"),
    ],
)
def test_a_mask_that_does_not_fit_its_field_is_a_fault(mask: Mask, node: Any) -> None:
    writer = parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "x", "type": node}]}))
    assert list(faults(mask, writer.fields["x"]))
