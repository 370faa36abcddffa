"""What a department declares to answer beyond what a case type asks; pure."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.cases.case_type import Item
from exchange.cases.shapes import AnswerShape
from exchange.document.nearest import nearest

WIDTH = {"predicate": 0, "range": 1, "count": 2, "value": 3}
"""The shapes in the order of how much they say."""


def excess(item: Item, declared: Mapping[str, AnswerShape]) -> list[str]:
    """In words, each declared value that the item does not ask, or that says more than the item asks."""
    return [fault for name, shape in declared.items() if (fault := _fault(name, shape, item.answer))]


def _fault(name: str, declared: AnswerShape, answer: Mapping[str, AnswerShape]) -> str | None:
    asked = answer.get(name)
    if asked is None:
        return f"'{name}' is not asked: {nearest(name, answer)}"
    if WIDTH[declared.shape] > WIDTH[asked.shape]:
        return f"'{name}' says more than is asked: a {declared.shape} in place of a {asked.shape}"
    if declared.shape != asked.shape:
        return None
    if declared.scale is not None and asked.scale is not None and declared.scale > asked.scale:
        return f"'{name}' is more exact than is asked: {declared.scale} decimals in place of {asked.scale}"
    if more := [value for value in declared.values if value not in asked.values]:
        return f"'{name}' has words that are not asked: {', '.join(more)}"
    return None
