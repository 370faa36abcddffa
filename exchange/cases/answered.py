"""Whether the departments that are asked say, in their connector.yaml, how they answer: no less and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exchange.cases.answering.items import AnsweredItem, answered_items
from exchange.cases.case_type import CaseType
from exchange.cases.check import Mistake
from exchange.cases.excess import excess
from exchange.connect.load import FILE, load
from exchange.errors import ConfigError


def too_much(connectors: Path, case_type: CaseType) -> Iterator[Mistake]:
    """What departments of this folder would answer beyond what is asked."""
    for i, item in enumerate(case_type.items):
        declared = _declared(connectors, case_type, item.name, item.asks)
        for fault in excess(item, declared.answer) if declared else ():
            message = f"{item.asks}/{FILE} answers more than the item: {fault}"
            yield Mistake(("items", i, "answer"), message, "let it answer what is asked, and no more")


def too_little(connectors: Path, case_type: CaseType) -> Iterator[Mistake]:
    """What departments of this folder do not answer; those that are not in it may do so elsewhere."""
    for i, item in enumerate(case_type.items):
        if not (connectors / item.asks / FILE).is_file():
            continue
        declared = _declared(connectors, case_type, item.name, item.asks)
        given = {name: shape.shape for name, shape in declared.answer.items()} if declared else {}
        lacking = [f"{name} ({asked.shape})" for name, asked in item.answer.items() if given.get(name) != asked.shape]
        if lacking:
            message = f"{item.asks}/{FILE} does not answer {', '.join(lacking)} of item '{item.name}'"
            yield Mistake(("items", i, "asks"), message, "add it to `answers` there, see docs/connectors.md")


def _declared(connectors: Path, case_type: CaseType, item: str, asked: str) -> AnsweredItem | None:
    """How the department says that it answers the item; None if it does not, or its file has mistakes."""
    try:
        entries = answered_items(load(connectors, asked))
    except ConfigError:  # `exchange connector check` shows them
        return None
    wanted = (f"{case_type.department}.question", case_type.type, item)
    return next((one for one in entries if (one.question, one.type, one.item) == wanted), None)
