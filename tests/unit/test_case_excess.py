"""A department may answer what is asked or less, never more."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.cases.case_type import Item
from exchange.cases.excess import excess
from exchange.cases.shapes import AnswerShape

VALUE, COUNT, PREDICATE = {"shape": "value", "scale": 2, "unit": "CNY"}, {"shape": "count"}, {"shape": "predicate"}
RANGE = {"shape": "range", "values": ["none", "low", "high"]}


def found(asked: Any, declared: Any, name: str = "total") -> list[str]:
    base = {"name": "wages", "asks": "tax", "about": {"day": "query"}, "within": 5}
    item = Item.model_validate({**base, "answer": {"total": asked}})
    return excess(item, {name: AnswerShape.model_validate(declared)})


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        (PREDICATE, [PREDICATE]),
        (RANGE, [PREDICATE, RANGE]),
        (COUNT, [PREDICATE, RANGE, COUNT]),
        (VALUE, [PREDICATE, RANGE, COUNT, VALUE]),
    ],
)
def test_a_wider_shape_is_an_excess(asked: Any, right: list[Any]) -> None:
    for declared in (PREDICATE, RANGE, COUNT, VALUE):
        if declared in right:
            assert found(asked, declared) == []
        else:
            assert "'total' says more than is asked" in found(asked, declared)[0]


def test_a_name_that_is_not_asked_is_an_excess() -> None:
    assert found(VALUE, VALUE, "totl") == ["'totl' is not asked: did you mean total?"]


def test_more_decimals_are_an_excess() -> None:
    assert found(VALUE, {"shape": "value", "scale": 3}) == [
        "'total' is more exact than is asked: 3 decimals in place of 2"
    ]
    assert found(VALUE, {"shape": "value", "scale": 0}) == []


def test_more_words_of_a_range_are_an_excess() -> None:
    more = {"shape": "range", "values": ["none", "low", "middle", "high"]}
    assert found(RANGE, more) == ["'total' has words that are not asked: middle"]
    assert found(more, RANGE) == []


def test_every_excess_is_told() -> None:
    base = {"name": "wages", "asks": "tax", "about": {"day": "query"}, "within": 5}
    item = Item.model_validate({**base, "answer": {"over_limit": PREDICATE, "months": COUNT}})
    declared = {"over_limit": VALUE, "months": COUNT, "employer": RANGE}
    shapes = {name: AnswerShape.model_validate(shape) for name, shape in declared.items()}
    assert [told.split("'")[1] for told in excess(item, shapes)] == ["over_limit", "employer"]
