"""A case as a page for its parties and the file: what was asked, what was found on which answers, how to contest it.

The page has personal data: it goes to the file that a person names (`case_page_file`), and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from exchange.cases.case import Case, fold
from exchange.cases.case_type import CaseType
from exchange.cases.events import (
    CaseAmended,
    CaseAnswer,
    CaseDecided,
    CaseEvent,
    CaseFound,
    CaseQuestion,
    Party,
    json_object,
)
from exchange.cases.states import MOVES, EventKind
from exchange.contract.model import Title
from exchange.contract.period import city_day
from exchange.printable import printable
from exchange.workdays import Calendar, Due


@dataclass(frozen=True)
class ReportedQuestion:
    """A question with its person, its department in words, and its answer, if there is one; `facts` as they came."""

    asked: CaseQuestion
    party: Party
    department: str
    answer: CaseAnswer | None
    facts: tuple[tuple[str, str], ...]
    queried_on: date | None
    contradicted: bool


@dataclass(frozen=True)
class Contest:
    """Whether answers and decision can be contested now, and until when; None: no day is set."""

    possible: bool
    until: Due | None


def page(
    history: Sequence[CaseEvent],
    case_type: CaseType | None,
    titles: Mapping[str, Title],
    calendar: Calendar,
    today: date,
) -> str:
    """The page as HTML, of a case that has been opened; `titles` are those of departments, as far as they are known.

    `case_type`: None if the department has the type no more.
    """
    case = fold(history)
    assert case is not None
    return _template().render(
        case=case,
        type_title=case_type.title if case_type else Title(zh=case.type, en=case.type),
        basis=case_type.basis if case_type else "",
        office=_named(case_type.department, titles) if case_type else "",
        questions={each.asked.question_id: each for each in _questions(case, titles)},
        current=set(case.current.values()),
        found_on=city_day(history[case.finding_event - 1].time) if case.finding else None,
        decided_on=city_day(case.decision.time) if case.decision else None,
        contest=_contest(case, history, case_type, calendar),
        events=[(city_day(event.time), event.kind, event.who.role) for event in history],
        today=today,
    )


def _questions(case: Case, titles: Mapping[str, Title]) -> Iterable[ReportedQuestion]:
    parties = {party.number: party for party in case.parties}
    other = {answer.question_id for answer in case.contradictions}
    for asked in case.questions.values():
        answer = case.answers.get(asked.question_id)
        yield ReportedQuestion(
            asked=asked,
            party=parties[asked.party],
            department=_named(asked.to, titles),
            answer=answer,
            facts=_facts(asked, answer) if answer and answer.status == "found" else (),
            queried_on=city_day(answer.queried_at) if answer else None,
            contradicted=asked.question_id in other,
        )


def _facts(asked: CaseQuestion, answer: CaseAnswer) -> tuple[tuple[str, str], ...]:
    """Each value that was answered, with its unit."""
    content = json_object(answer.content) or {}
    units = {name: shape.unit or "" for name, shape in asked.answer.items()}
    return tuple((name, f"{_value(value)} {units.get(name, '')}".strip()) for name, value in content.items())


def _value(value: object) -> str:
    return {True: "是 yes", False: "否 no"}[value] if isinstance(value, bool) else str(value)


def _named(department: str, titles: Mapping[str, Title]) -> str:
    title = titles.get(department)
    return f"{title.zh} {title.en}" if title else department


def _contest(case: Case, history: Sequence[CaseEvent], case_type: CaseType | None, calendar: Calendar) -> Contest:
    """The time runs from the newest finding or decision."""
    told = [city_day(event.time) for event in history if isinstance(event, CaseFound | CaseAmended | CaseDecided)]
    if EventKind.OBJECTED not in MOVES[case.state] or not told:
        return Contest(possible=False, until=None)
    within = case_type.contest_within if case_type else None
    return Contest(possible=True, until=calendar.due(told[-1], within) if within else None)


def _shown(value: object) -> object:
    """What is put into the page; a macro's part of it is shown already."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _template() -> Template:
    """What is put in is escaped, and what would hide something is written out."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    return environment.from_string((files("exchange.cases") / "case_page.html").read_text("utf-8"))
