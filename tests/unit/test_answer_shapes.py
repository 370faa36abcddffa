"""Values of answers: the JSON value of each shape, or an error that does not quote what was given."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exchange.cases.shapes import AnswerShape, WrongShapeError, json_value, typed


def shape(kind: str, **more: Any) -> AnswerShape:
    return AnswerShape.model_validate({"shape": kind, **more})


@pytest.mark.parametrize(
    ("of", "raw", "value"),
    [
        (shape("value", scale=2), Decimal("20160.1"), "20160.10"),
        (shape("value", scale=2), 20160, "20160.00"),
        (shape("value", scale=2), 0.1 + 0.2, "0.30"),
        (shape("value", scale=2), "-12.500", "-12.50"),
        (shape("value", scale=2), Decimal("-0.00"), "0.00"),
        (shape("value", scale=0), Decimal("1E+3"), "1000"),
        (shape("count"), 12, 12),
        (shape("count"), Decimal("3"), 3),
        (shape("predicate"), 1, True),
        (shape("predicate"), False, False),
        (shape("range", values=["none", "low"]), "low", "low"),
    ],
)
def test_what_a_database_gives_becomes_a_json_value(of: AnswerShape, raw: Any, value: Any) -> None:
    found = json_value(of, raw)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("of", "raw"),
    [
        (shape("value", scale=2), Decimal("1.234")),
        (shape("value", scale=2), 12345678901234.5),  # as a float it may be 12345678901234.501 just as well
        (shape("value", scale=2), float("nan")),
        (shape("value", scale=2), Decimal("Infinity")),
        (shape("value", scale=2), True),
        (shape("value", scale=2), None),
        (shape("value", scale=2), "canary-7f3a"),
        (shape("value", scale=2), "١٢"),
        (shape("count"), -1),
        (shape("count"), 1.5),
        (shape("count"), True),
        (shape("count"), "12"),
        (shape("predicate"), 2),
        (shape("predicate"), "true"),
        (shape("predicate"), None),
        (shape("range", values=["none", "low"]), "canary-7f3a"),
        (shape("range", values=["none", "low"]), None),
    ],
)
def test_another_shape_is_refused_without_quoting_it(of: AnswerShape, raw: Any) -> None:
    with pytest.raises(WrongShapeError) as caught:
        json_value(of, raw)
    assert "canary" not in str(caught.value)
    assert str(raw) not in str(caught.value) or raw in (None, True, -1, 2) or raw == "true"


@given(st.integers(-(10**14), 10**14), st.integers(0, 6))
def test_a_decimal_is_kept_exactly_and_a_float_of_15_digits_is_its_decimal(units: int, scale: int) -> None:
    number = Decimal(units).scaleb(-scale)
    of = shape("value", scale=scale)
    found = json_value(of, number)
    assert isinstance(found, str)
    assert Decimal(found) == number
    assert len(found.partition(".")[2]) == scale
    assert json_value(of, float(number)) == found
    assert json_value(of, found) == found


@pytest.mark.parametrize(
    ("of", "text", "value"),
    [
        (shape("value", scale=2), "20160", "20160.00"),
        (shape("count"), "12", 12),
        (shape("predicate"), "false", False),
        (shape("range", values=["none", "low"]), "none", "none"),
    ],
)
def test_what_a_person_types(of: AnswerShape, text: str, value: Any) -> None:
    assert typed(of, text) == value


@pytest.mark.parametrize("text", ["yes", "1", ""])
def test_a_person_types_true_or_false(text: str) -> None:
    with pytest.raises(WrongShapeError):
        typed(shape("predicate"), text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": "value"},
        {"shape": "value", "scale": -1},
        {"shape": "value", "scale": 2, "values": ["low", "high"]},
        {"shape": "count", "unit": "CNY"},
        {"shape": "predicate", "values": ["yes", "no"]},
        {"shape": "range"},
        {"shape": "range", "values": ["a"]},
        {"shape": "range", "values": ["a", "a"]},
        {"shape": "total"},
        {"shape": "count", "scale": 2},
    ],
)
def test_shapes_of_no_kind(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AnswerShape.model_validate(wrong)
