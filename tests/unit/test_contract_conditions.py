"""Which operators and values a condition can have is decided by the field's type."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from exchange.contract.conditions import faults, kind_of
from exchange.contract.terms import Condition
from exchange.schema.avro import parse

FIELDS: dict[str, Any] = {
    "text": "string",
    "count": "int",
    "ratio": "double",
    "amount": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "flag": "boolean",
    "state": {"type": "enum", "name": "State", "symbols": ["open", "shut"]},
    "day": {"type": "int", "logicalType": "date"},
    "moment": {"type": "long", "logicalType": "timestamp-millis"},
    "raw": "bytes",
    "items": {"type": "array", "items": "string"},
    "maybe": ["null", "int"],
    "odd": {"type": "long", "logicalType": "date"},
}
SCHEMA = parse(
    json.dumps({"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in FIELDS.items()]})
)


def _faults(field: str, **operators: Any) -> list[str]:
    operators = {("in" if k == "in_" else k): v for k, v in operators.items()}
    return [message for _, message, _ in faults(Condition.model_validate(operators), SCHEMA.fields[field])]


@pytest.mark.parametrize(
    ("field", "operators"),
    [
        ("text", {"eq": "x", "ne": "y", "in_": ["a"], "prefix": "44", "ge": "a"}),
        ("count", {"eq": 1, "ge": 1.5, "in_": [1, 2]}),
        ("ratio", {"eq": 1, "lt": 2.5}),
        ("amount", {"ge": "12.50", "lt": 100, "eq": 0.1}),
        ("flag", {"eq": True, "in_": [True]}),
        ("state", {"eq": "open", "in_": ["open", "shut"]}),
        ("day", {"ge": date(2024, 1, 1), "lt": "2025-01-01"}),
        ("moment", {"ge": "2024-01-01T00:00:00+08:00", "lt": date(2025, 1, 1)}),
        ("maybe", {"eq": None, "is_null": False, "in_": [None, 1]}),
        ("odd", {"eq": 5}),
    ],
)
def test_what_applies(field: str, operators: dict[str, Any]) -> None:
    assert _faults(field, **operators) == []


@pytest.mark.parametrize(
    ("field", "operators"),
    [
        ("text", {"eq": 1}),
        ("text", {"eq": None}),
        ("text", {"is_null": True}),
        ("count", {"prefix": "1"}),
        ("count", {"eq": 1.5}),
        ("count", {"eq": "1"}),
        ("count", {"eq": True}),
        ("ratio", {"ge": float("nan")}),
        ("ratio", {"ge": float("inf")}),
        ("amount", {"ge": "twelve"}),
        ("amount", {"ge": "NaN"}),
        ("flag", {"ge": True}),
        ("flag", {"eq": 1}),
        ("state", {"eq": "ajar"}),
        ("state", {"prefix": "o"}),
        ("day", {"ge": "2024-02-30"}),
        ("day", {"ge": 19_000}),
        ("moment", {"ge": "noon"}),
        ("raw", {"eq": "x"}),
        ("items", {"in_": ["x"]}),
        ("maybe", {"ge": None}),
        ("text", {}),
    ],
)
def test_what_does_not_apply(field: str, operators: dict[str, Any]) -> None:
    assert len(_faults(field, **operators)) == 1


def test_a_logical_type_on_a_wrong_base_is_ignored_as_avro_does() -> None:
    assert kind_of(SCHEMA.fields["odd"]) == "long"


@pytest.mark.parametrize("operators", [{"eq": None}, {"in": [1, "a"], "ne": False}, {"ge": date(2024, 1, 1)}, {}])
def test_a_condition_survives_json(operators: dict[str, Any]) -> None:
    condition = Condition.model_validate(operators)
    again = Condition.model_validate_json(condition.model_dump_json(by_alias=True))
    assert again == condition
    assert again.operators() == condition.operators()
