"""A small case type and its world: who is asked what, a rule, and sinks' tables with answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa

from exchange.cases import tables
from exchange.cases.acts import CaseActs
from exchange.cases.asked import Because, CaseFacts, Conclusion
from exchange.cases.case import Case
from exchange.cases.engine import CaseEngine
from exchange.cases.events import Party, Who
from exchange.cases.shapes import AnswerShape
from exchange.cases.store import CaseStore
from exchange.connect.config import SinkConfig
from exchange.errors import ConfigError
from exchange.workdays import Calendar

OFFICE = "civil-affairs"
ASKED = ("tax", "police")
NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # a Monday in the city
DAY = timedelta(days=1)
CLERK = Who(person="li", role="clerk")
STREET = Who(person="chen", role="street-office")
PARTIES = (
    Party(number=1, party_id="R1", name="王一", authorisation="A-1"),
    Party(number=2, party_id="R2", name="王二", authorisation="A-2"),
)


class NoValueError(ConfigError):
    """As a case type raises it."""


class Times(NamedTuple):
    period_from: date | None
    period_until: date | None
    as_of: date | None


@dataclass(frozen=True)
class About:
    months: bool = False

    def times(self, day: date) -> Times:
        return (
            Times(date(day.year - 1, day.month, 1), day.replace(day=1), None) if self.months else Times(None, None, day)
        )


@dataclass(frozen=True)
class Item:
    name: str
    asks: str
    about: About = About()
    within: int = 5
    remind: int | None = 3
    outside: bool = False
    optional: bool = False
    parameters: tuple[str, ...] = ()
    answer: Mapping[str, AnswerShape] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """`instead`: what it concludes instead of what is right."""

    name: str = "household.py:finding"
    version: str = "1"
    source: str = "def finding(facts): …"
    instead: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, facts: CaseFacts) -> Conclusion:
        """Eligible if the wages of all are below the standard and nobody has a car."""
        wages = [fact for fact in facts.facts if fact.item == "wages"]
        total = sum((Decimal(str(fact.content.get("total", "0"))) for fact in wages), Decimal(0))
        if total < 0:
            raise ValueError(f"wages of {total}")
        cars = [fact for fact in facts.facts if fact.item == "cars" and fact.content.get("cars", 0)]
        reasons = [Because("They own a car.", [car.answer.question_id]) for car in cars]
        if wages:
            reasons.append(Because("These are the wages.", [wage.answer.question_id for wage in wages]))
        poor = total < Decimal(facts.parameters["standard"]) * len(facts.parties)
        outcome = "eligible" if poor and not cars else "excluded"
        return Conclusion(outcome, reasons, {"total": str(total)})._replace(**self.instead)


SHAPES = {
    "wages": {"total": AnswerShape(shape="value", scale=2)},
    "cars": {"cars": AnswerShape(shape="count")},
}
ITEMS = (
    Item("wages", "tax", About(months=True), parameters=("standard",), answer=SHAPES["wages"]),
    Item("cars", "police", answer=SHAPES["cars"]),
)


@dataclass(frozen=True)
class Type:
    type: str = "household"
    decided_by: str = "street-office"
    authorised: bool = True
    items: Sequence[Item] = ITEMS
    values: Mapping[str, str] = field(default_factory=lambda: {"standard": "950.00"})
    rule: Rule = Rule()

    def parameters_on(self, day: date, region: str) -> Mapping[str, str]:
        if region != "4401" or day.year < 2020:
            raise NoValueError(f"there is no value of 'standard' in {region} on {day}")
        return self.values

    def rule_on(self, day: date) -> Rule:
        return self.rule

    def rule_again(self, name: str, version: str) -> Rule:
        if (name, version) != (self.rule.name, self.rule.version):
            raise NoValueError(f"{name} {version} is not there any more")
        return self.rule


class World:
    """A department with its database, its sinks' tables, and one case type."""

    def __init__(self, url: str, *types: Type, answers: Mapping[str, str] | None = None) -> None:
        self.store = CaseStore(url)
        self.types = {type_.type: type_ for type_ in types or (Type(),)}
        self.engine = CaseEngine(
            OFFICE, self.store, self.types, Calendar(), answers or {each: table_of(each) for each in ASKED}
        )
        self.acts = CaseActs(self.store, self.types)
        for department in ASKED:
            sink(department).create(self.store.engine, checkfirst=True)

    def close(self) -> None:
        self.store.close()

    def open(self, case_no: str = "C1", parties: Sequence[Party] = PARTIES, day: date = date(2026, 3, 1)) -> Case:
        return self.acts.open(case_no, "household", "4401", day, parties, CLERK, NOW)

    def answer(self, question_id: str, **changes: Any) -> None:
        """The sink of the asked department puts an answer into its table, or changes the one that is there."""
        _, item, party, _ = question_id.rsplit("/", 3)
        department = changes.pop("department", {"wages": "tax", "cars": "police"}.get(item, "tax"))
        table = sink(department)
        row = {
            "question_id": question_id,
            "to": OFFICE,
            "party_id": f"R{party}",
            "status": "nothing_found",
            "content": "{}",
            "data_as_of": date(2026, 3, 1),
            "queried_at": NOW + DAY,
            "answered_by": "query",
            **changes,
        }
        if isinstance(row["content"], dict):
            row["content"] = json.dumps(row["content"])
        key = (table.c.question_id == question_id) & (table.c.party_id == row["party_id"])
        with self.store.engine.begin() as connection:
            connection.execute(sa.delete(table).where(key))
            connection.execute(sa.insert(table).values(row))

    def withdraw(self, question_id: str) -> None:
        """The rows of that question are gone from the sinks' tables."""
        with self.store.engine.begin() as connection:
            for department in ("tax", "police"):
                table = sink(department)
                connection.execute(sa.delete(table).where(table.c.question_id == question_id))

    def answer_all(self, case_no: str = "C1", round_: int = 1, parties: int = 2) -> None:
        for party in range(1, parties + 1):
            self.answer(f"{case_no}/wages/{party}/{round_}", status="found", content={"total": "400.00"})
            self.answer(f"{case_no}/cars/{party}/{round_}")

    def kinds(self, case_no: str = "C1") -> list[str]:
        return [str(event.kind) for event in self.store.history(case_no)]

    def bodies(self, case_no: str = "C1") -> list[dict[str, Any]]:
        """The history without times."""
        return [event.model_dump(mode="json", exclude={"time"}) for event in self.store.history(case_no)]

    def questions(self) -> list[str]:
        with self.store.engine.connect() as connection:
            return sorted(connection.scalars(sa.select(tables.questions.c.question_id)))

    def fates(self) -> dict[str, str]:
        t = tables.arrivals
        with self.store.engine.connect() as connection:
            return {row.question_id: row.fate for row in connection.execute(sa.select(t).order_by(t.c.question_id))}


def with_optional_cars(**changes: Any) -> Type:
    """The type, whose finding can be made without a late answer about cars."""
    return Type(items=(ITEMS[0], replace(ITEMS[1], optional=True)), **changes)


def table_of(department: str) -> str:
    """The table into which a sink takes the answers of that department, if connector.yaml names no other."""
    return SinkConfig(subject=f"{department}.answer").table_name


def sink(department: str) -> sa.Table:
    """The table that a sink makes for the answers of that department."""
    return sa.Table(
        table_of(department),
        sa.MetaData(),
        sa.Column("question_id", sa.Text, primary_key=True),
        sa.Column("to", sa.Text),
        sa.Column("party_id", sa.Text, primary_key=True),
        sa.Column("status", sa.Text),
        sa.Column("content", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("data_as_of", sa.Date),
        sa.Column("queried_at", sa.DateTime(timezone=True)),
        sa.Column("answered_by", sa.Text),
    )
