"""Planted households, and cases made of what the departments' queries answer about them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from exchange.cases.case import Case, fold
from exchange.cases.case_type import Item
from exchange.cases.events import (
    ENGINE,
    CaseAnswer,
    CaseAnswered,
    CaseAsked,
    CaseEvent,
    CaseFinding,
    CaseOpened,
    CaseQuestion,
    Party,
    Status,
    Who,
)
from exchange.cases.finding import make
from exchange.cases.load import load
from exchange.cases.rules import LoadedType
from exchange.demo.city.planted import months_before
from tests.rigs.cases import TODAY, contract
from tests.rigs.own_tables import CONNECTORS, answered_by, content, filled

REGION = "4401"
ASKED_AT = datetime(2016, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Planted:
    """A household: its persons, numbered from 1, the rows about them, and the day of the case."""

    persons: int
    day: date
    rows: Mapping[str, tuple[tuple[Any, ...], ...]] = field(default_factory=dict)

    def also(self, table: str, *rows: tuple[Any, ...]) -> Planted:
        return replace(self, rows={**self.rows, table: (*self.rows.get(table, ()), *rows)})

    def without(self, table: str) -> Planted:
        return replace(self, rows={name: rows for name, rows in self.rows.items() if name != table})


@cache
def loaded() -> LoadedType:
    case_type = load(CONNECTORS, "civil-affairs", "household", contract(), TODAY)
    return LoadedType(case_type, CONNECTORS / "civil-affairs" / "cases")


def history(planted: Planted, unanswered: Mapping[tuple[str, int], Status | None] | None = None) -> list[CaseEvent]:
    """The events of a case that asks everything and takes the answers.

    `unanswered`: by item and person, a status in place of the answer; None if it does not come at all.
    """
    parties = tuple(
        Party(number=n, party_id=f"R{n}", name="某", authorisation=f"A-{n}") for n in range(1, planted.persons + 1)
    )
    opened = CaseOpened(
        time=ASKED_AT,
        who=Who(person="li", role="clerk"),
        case_no="C1",
        type="household",
        region=REGION,
        day=planted.day,
        parties=parties,
    )
    questions = tuple(_question(item, party, planted.day) for item in loaded().items for party in parties)
    events: list[CaseEvent] = [opened, CaseAsked(time=ASKED_AT, who=ENGINE, round=1, questions=questions)]
    instead = unanswered or {}
    with filled(planted.rows) as database:
        for asked in questions:
            status = instead.get((asked.item, asked.party), "nothing_found")
            if status is not None:
                said = _answered(database, asked) if (asked.item, asked.party) not in instead else None
                events.append(_answer(asked, said, status))
    return events


def case(planted: Planted, unanswered: Mapping[tuple[str, int], Status | None] | None = None) -> Case:
    made = fold(history(planted, unanswered))
    assert made is not None
    return made


def found(planted: Planted, unanswered: dict[tuple[str, int], Status | None] | None = None) -> CaseFinding:
    return finding_of(case(planted, unanswered))


def finding_of(made: Case) -> CaseFinding:
    return make(made, loaded().rule_on(made.day), loaded().parameters_on(made.day, made.region))


def texts(finding: CaseFinding) -> str:
    return " ".join(reason.text for reason in finding.reasons)


def _question(item: Item, party: Party, day: date) -> CaseQuestion:
    values = loaded().parameters_on(day, REGION)
    times = item.about.times(day)
    return CaseQuestion(
        question_id=f"C1/{item.name}/{party.number}/1",
        to=item.asks,
        item=item.name,
        party=party.number,
        period_from=times.period_from,
        period_until=times.period_until,
        as_of=times.as_of,
        parameters={name: values[name] for name in item.parameters},
        answer=dict(item.answer),
        authorisation=party.authorisation,
        remind_on=None,
        due_on=day,
        optional=False,
        outside=item.outside,
    )


def _answered(database: sqlite3.Connection, asked: CaseQuestion) -> dict[str, Any] | None:
    """The content of the department's answer; None if it finds nothing."""
    own = {name: float(value) if "." in value else int(value) for name, value in asked.parameters.items()}
    given = {"party_id": asked.party, "period_from": str(asked.period_from), "period_until": str(asked.period_until)}
    return content(database, answered_by(asked.to)["household", asked.item], {**given, **own})


def _answer(asked: CaseQuestion, said: Mapping[str, Any] | None, otherwise: Status) -> CaseAnswered:
    answer = CaseAnswer(
        question_id=asked.question_id,
        department=asked.to,
        status=otherwise if said is None else "found",
        content=json.dumps(said or {}),
        reason=None,
        data_as_of=asked.as_of,
        queried_at=ASKED_AT,
        answered_by="query",
    )
    return CaseAnswered(time=ASKED_AT, who=ENGINE, answer=answer)


def months(day: date, count: int = 3, *, before: int = 0) -> Iterable[str]:
    """The first days of that many months before the day's own; `before`: so many months earlier."""
    return map(str, months_before(day, count, before))
