"""Departments' tables about planted persons, the queries by which they answer, and cases made of the answers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
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
from exchange.cases.shapes import AnswerShape
from tests.rigs.cases import TODAY, contract

CONNECTORS = Path(__file__).parent / "connectors"
REGION = "4401"
ASKED_AT = datetime(2016, 1, 1, tzinfo=UTC)

# What departments keep; money in fen. `resident` is a person's number.
TABLES = {
    "resident": "resident, state, marriage",
    "vehicle": "resident, adapted, status",
    "wage": "resident, month, fen",
    "yearly_return": "resident, year, fen",
    "employment": "resident, since",
    "contribution": "resident, month, base, floor",
    "pension": "resident, month, fen, for_service",
    "fund_payment": "resident, month",
    "certificate": "certificate, unit, resident, share, shares, area, use",
    "shareholder": "resident, company",
    "deposit": "resident, fen",
    "security": "resident, fen",
    "death_certificate": "resident",
    "prisoner": "resident",
    "judgment": "resident, kind",
    "conscript": "resident",
    "clergy": "resident, apart_years",
    "student": "resident, full_time",
    "school_fee": "resident, month, fen",
    "treatment": "resident, month, own_fen",
    "disability_card": "resident, status",
}
_IN_WINDOW = "resident = :party_id AND month BETWEEN :period_from AND :period_until"
QUERIES = {
    "wages": f"""SELECT SUM(fen) / 100.0 AS total, EXISTS (SELECT 1 FROM employment WHERE resident = :party_id
        AND since >= DATE(:period_until, '+1 day', '-' || :new_job_months || ' months')) AS new_job
        FROM wage WHERE {_IN_WINDOW} HAVING COUNT(*)""",
    "pensions": f"SELECT SUM(fen) / 100.0 AS total FROM pension WHERE {_IN_WINDOW}",
    "deposits": "SELECT SUM(fen) > 100 * :deposit_limit AS over_limit FROM deposit WHERE resident = :party_id",
    "securities": "SELECT SUM(fen) > 100 * :deposit_limit AS over_limit FROM security WHERE resident = :party_id",
    "cars": """SELECT MAX(NOT adapted) AS car, MAX(adapted) AS adapted FROM vehicle
        WHERE resident = :party_id AND status = 'registered'""",
    "homes": """SELECT ROUND(TOTAL(part) FILTER (WHERE use = 'home'), 4) AS shares,
        ROUND(TOTAL(part * area) FILTER (WHERE use = 'home'), 2) AS area,
        CASE COUNT(*) FILTER (WHERE use <> 'home') WHEN 0 THEN 'none' WHEN 1 THEN 'one' ELSE 'more' END AS other_use
        FROM (SELECT unit, MAX(1.0 * share / shares) AS part, MAX(area) AS area, MAX(use) AS use
        FROM certificate WHERE resident = :party_id GROUP BY unit) HAVING COUNT(*)""",
    "companies": "SELECT COUNT(*) > 0 AS holds FROM shareholder WHERE resident = :party_id",
    "insurance": f"SELECT MAX(base > floor) AS above_floor FROM contribution WHERE {_IN_WINDOW}",
    "fund": f"SELECT COUNT(*) > 0 AS paid FROM fund_payment WHERE {_IN_WINDOW}",
    "register": "SELECT state, marriage FROM resident WHERE resident = :party_id",
    "death": "SELECT COUNT(*) > 0 AS certified FROM death_certificate WHERE resident = :party_id",
    "custody": "SELECT COUNT(*) > 0 AS in_custody FROM prisoner WHERE resident = :party_id",
    "divorce": "SELECT COUNT(*) > 0 AS divorced FROM judgment WHERE resident = :party_id AND kind = 'divorce'",
    "service": f"""SELECT EXISTS (SELECT 1 FROM conscript WHERE resident = :party_id) AS serving,
        TOTAL(fen) / 100.0 AS exempt FROM pension WHERE {_IN_WINDOW} AND for_service""",
    "clergy": "SELECT COUNT(*) > 0 AS apart FROM clergy WHERE resident = :party_id AND apart_years >= 1",
    "study": f"""SELECT EXISTS (SELECT 1 FROM student WHERE resident = :party_id AND full_time) AS full_time,
        TOTAL(fen) / 100.0 AS own_cost FROM school_fee WHERE {_IN_WINDOW}""",
    "treatment": f"SELECT SUM(own_fen) / 100.0 AS own_cost FROM treatment WHERE {_IN_WINDOW}",
    "card": "SELECT COUNT(*) > 0 AS valid FROM disability_card WHERE resident = :party_id AND status = 'valid'",
}


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
    with sqlite3.connect(":memory:") as database:
        for table, columns in TABLES.items():
            database.execute(f"CREATE TABLE {table} ({columns})")
            for row in planted.rows.get(table, ()):
                database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        for asked in questions:
            status = instead.get((asked.item, asked.party), "nothing_found")
            if status is not None:
                content = _answered(database, asked) if (asked.item, asked.party) not in instead else None
                events.append(_answer(asked, content, status))
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
    cursor = database.execute(QUERIES[asked.item], {**given, **own})
    row = cursor.fetchone()
    if row is None or all(value is None for value in row):
        return None
    [item] = (each for each in loaded().items if each.name == asked.item)
    found = dict(zip((column[0] for column in cursor.description), row, strict=True))
    assert found.keys() == item.answer.keys()
    return {name: _shaped(shape, found[name]) for name, shape in item.answer.items()}


def _shaped(shape: AnswerShape, value: Any) -> Any:
    match shape.shape:
        case "value":
            return f"{Decimal(repr(value)):.{shape.scale}f}"
        case "predicate":
            assert value in (0, 1)
            return bool(value)
        case "range":
            assert value in shape.values
    return value


def _answer(asked: CaseQuestion, content: Mapping[str, Any] | None, otherwise: Status) -> CaseAnswered:
    answer = CaseAnswer(
        question_id=asked.question_id,
        department=asked.to,
        status=otherwise if content is None else "found",
        content=json.dumps(content or {}),
        reason=None,
        data_as_of=asked.as_of,
        queried_at=ASKED_AT,
        answered_by="query",
    )
    return CaseAnswered(time=ASKED_AT, who=ENGINE, answer=answer)


def months(day: date, count: int = 3, *, before: int = 0) -> Iterable[str]:
    """The first days of that many months before the day's own; `before`: so many months earlier."""
    for back in range(count + before, before, -1):
        month = day.year * 12 + day.month - 1 - back
        yield str(date(month // 12, month % 12 + 1, 1))
