"""What one value of an answer can look like, and the JSON value that is made of what a database or a person gives.

As a case type and connector.yaml write them:

total: {shape: value, scale: 2, unit: CNY}          # a number with exactly so many decimals: "20160.00"
months: {shape: count}                              # a whole number of at least 0: 12
over_limit: {shape: predicate}                      # true or false
bracket: {shape: range, values: [none, low, high]}  # one of these words
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from exchange.contract.base import Model
from exchange.errors import ConfigError

EXACT_DIGITS = 15  # decimal digits that every double keeps (IEEE 754)
_NUMBER = re.compile(r"-?[0-9]{1,60}(\.[0-9]{1,60})?", re.ASCII)
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
"""The name of a parameter, or of a value in an answer: also a column's."""


class WrongShapeError(ConfigError):
    """A query or a person gave something else than the shape that is declared for it."""

    code = "answer-shape"
    remedy = "correct the query, or what was typed, so that it gives the shape that `answer` declares"


class AnswerShape(Model):
    """How much one named value of an answer says.

    value: a decimal number. count: a whole number from 0. predicate: true or false. range: one of a few words.
    """

    shape: Literal["value", "count", "predicate", "range"]
    scale: int | None = Field(default=None, ge=0, le=18, strict=True, description="Decimals of a value.")
    unit: str | None = Field(default=None, min_length=1, description="Unit of a value, such as CNY.")
    values: tuple[str, ...] = Field(default=(), description="The words of a range, in their order.")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> AnswerShape:
        if (self.scale is not None) != (self.shape == "value"):
            raise ValueError("`scale`, the number of decimals, goes with `shape: value`, and with nothing else")
        if self.unit is not None and self.shape != "value":
            raise ValueError("`unit` goes with `shape: value`, and with nothing else")
        if bool(self.values) != (self.shape == "range"):
            raise ValueError("`values`, a list of words, goes with `shape: range`, and with nothing else")
        if self.values and (len(self.values) < 2 or len(set(self.values)) < len(self.values)):
            raise ValueError("a range has at least two words, each of them once")
        return self


def json_value(shape: AnswerShape, given: Any) -> str | int | bool:
    """What a database gave, as the JSON value of that shape; raises WrongShapeError, which does not quote it.

    Nothing is rounded: a number with more decimals than the shape is refused. A float counts as the decimal of 15
    digits next to it, so that a sum of SQLite's numbers is what it would be in decimals.
    """
    match shape.shape:
        case "value":
            return _value(given, shape.scale or 0)
        case "count":
            return _count(given)
        case "predicate":
            if isinstance(given, bool | int) and given in (0, 1):
                return bool(given)
            raise WrongShapeError(f"a predicate is true or false, or 1 or 0, and not {_kind(given)}")
        case "range":
            if isinstance(given, str) and given in shape.values:
                return given
            raise WrongShapeError(f"a range is one of {', '.join(shape.values)}, and not {_kind(given)}")


def fits(shapes: Mapping[str, AnswerShape], content: Mapping[str, Any]) -> bool:
    """Whether the content of an answer has the values that were asked, each in its shape, and no others.

    >>> cars = {"cars": AnswerShape(shape="count")}
    >>> fits(cars, {"cars": 1}), fits(cars, {"cars": True}), fits(cars, {}), fits(cars, {"cars": 1, "plate": "A1"})
    (True, False, False, False)
    """
    return content.keys() == shapes.keys() and all(_fits(shapes[name], value) for name, value in content.items())


def _fits(shape: AnswerShape, value: Any) -> bool:
    if type(value) is not {"count": int, "predicate": bool}.get(shape.shape, str):
        return False
    try:
        json_value(shape, value)
    except WrongShapeError:
        return False
    return True


def typed(shape: AnswerShape, text: str) -> str | int | bool:
    """What a person typed, as the JSON value of that shape; raises WrongShapeError.

    >>> typed(AnswerShape(shape="value", scale=2), "20160"), typed(AnswerShape(shape="predicate"), "true")
    ('20160.00', True)
    """
    words: Mapping[str, bool] = {"true": True, "false": False}
    if shape.shape == "predicate":
        return json_value(shape, words.get(text, text))
    if shape.shape == "count":
        return json_value(shape, _decimal(text) if _NUMBER.fullmatch(text) else text)
    return json_value(shape, text)


def _value(given: Any, scale: int) -> str:
    if isinstance(given, float) and abs(given) >= 10.0 ** (EXACT_DIGITS - scale):
        raise WrongShapeError(f"a floating-point number keeps {EXACT_DIGITS} digits, and this one needs more")
    number = _decimal(given)
    if number is None:
        raise WrongShapeError(f"a value is a number, and not {_kind(given)}")
    shown = f"{number:.{scale}f}"
    if Decimal(shown) != number:
        raise WrongShapeError(f"the number has more than {scale} decimals: round it as the law says, in the query")
    return shown.removeprefix("-") if not number else shown


def _count(given: Any) -> int:
    number = _decimal(given) if not isinstance(given, str) else None
    if number is None or number < 0 or number != int(number):
        raise WrongShapeError(f"a count is a whole number of at least 0, and not {_kind(given)}")
    return int(number)


def _decimal(given: Any) -> Decimal | None:
    """The number that was given, if it is one."""
    if isinstance(given, bool):
        return None
    if isinstance(given, int):
        return Decimal(given)
    if isinstance(given, Decimal):
        return given if given.is_finite() else None
    if isinstance(given, float):
        return Decimal(f"{given:.{EXACT_DIGITS}g}") if math.isfinite(given) else None
    return Decimal(given) if isinstance(given, str) and _NUMBER.fullmatch(given) else None


def _kind(given: Any) -> str:
    """What was given, in a word that says nothing of its content."""
    if given is None:
        return "NULL"
    if isinstance(given, str):
        return "this text"
    if isinstance(given, int | float | Decimal) and not isinstance(given, bool):
        return "this number"
    return f"something of type {type(given).__name__}"
