"""What happened to a case, in words: for each event, what its history keeps of it beside time and person."""

from __future__ import annotations

from exchange.cases.events import (
    CaseAmended,
    CaseAnswer,
    CaseAnswered,
    CaseAsked,
    CaseCarried,
    CaseClosed,
    CaseContradicted,
    CaseDecided,
    CaseEvent,
    CaseFound,
    CaseLate,
    CaseObjected,
    CaseOpened,
    CaseReminded,
    json_object,
)
from exchange.cli.say import counted


def words(event: CaseEvent) -> str:
    """The event in one line, without its finding, which has lines of its own; nothing if there is nothing to add."""
    match event:
        case CaseOpened():
            return f"{counted(len(event.parties), 'person')}, day {event.day}, region {event.region}"
        case CaseAsked():
            asked = dict.fromkeys(question.to for question in event.questions)
            return f"round {event.round}, {counted(len(event.questions), 'question')} to {', '.join(asked)}"
        case CaseAnswered() | CaseContradicted():
            return _answer(event.answer)
        case CaseReminded() | CaseLate():
            return ", ".join(event.questions)
        case CaseFound() | CaseAmended() | CaseClosed():
            return event.reason
        case CaseDecided():
            return f"{event.outcome}: {' '.join(event.reasons)}"
        case CaseObjected():
            return f"{', '.join(event.items)}: {event.reason}"
        case CaseCarried():
            return f"into {event.year}"


def _answer(answer: CaseAnswer) -> str:
    content = json_object(answer.content)
    facts = ["not readable"] if content is None else [f"{name} {_fact(value)}" for name, value in content.items()]
    by = ["by a person"] if answer.answered_by == "person" else []
    why = [answer.reason] if answer.reason else []
    said = ", ".join([answer.status.replace("_", " "), *facts, *why, *by])
    return f"{answer.question_id} of {answer.department}: {said}"


def _fact(value: object) -> str:
    """A predicate as people say it; everything else as it came.

    >>> _fact(True), _fact("7200.00")
    ('yes', '7200.00')
    """
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
