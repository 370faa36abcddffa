"""What departments know of an applicant for a car quota, how they answer, and what the rule of a day makes of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from exchange.cases.asked import CaseFacts, Conclusion, Fact
from exchange.cases.events import CaseAnswer, MissingAnswer, Party
from exchange.cases.load import sound
from exchange.cases.rules import LoadedType, PythonRule
from exchange.document.yaml import read

FOLDER = Path(__file__).parent / "connectors" / "transport" / "cases"
HUMAN_RESOURCES = Path(__file__).parent / "car_quota" / "human-resources.yaml"
HERE, ELSEWHERE, ME = "4401", "4403", "R1"
Answers = Mapping[str, Mapping[str, object] | None]


@dataclass(frozen=True)
class Life:
    """An applicant, as the registers have them; somebody who is eligible by nothing but the register of residents."""

    hukou: bool = True
    soldier: bool = False
    permit: bool = False
    talent: bool = False
    outsider: bool = False
    here_last_year: int = 0
    here_year_before: int = 0
    identity_until: date = date(2030, 1, 1)
    licence_until: date = date(2030, 1, 1)
    cars: tuple[str, ...] = ()  # what became of each: in use, cancelled, scrapped, stolen
    quotas_held: int = 0
    replacement: bool = False
    lottery_unused: int = 0
    insured_months: tuple[tuple[str, date], ...] = ()  # city, month
    insured_times: tuple[tuple[str, date, date], ...] = ()  # city, from, until


@cache
def case_type(name: str) -> LoadedType:
    """The case type `quota` or `quota-unit`, which has no mistakes, with its rules."""
    return LoadedType(sound(FOLDER / f"{name}.yaml", None, date(2018, 7, 1)), FOLDER)


def answers_of(life: Life, asked_on: date) -> dict[str, dict[str, object] | None]:
    """What the departments answer to questions of that day; None: nothing is found."""
    return {
        "residence": {"hukou": life.hukou, "soldier": life.soldier, "permit": life.permit},
        "identity": {"valid": asked_on <= life.identity_until},
        "exit-entry": {
            "outsider": life.outsider,
            "months_last_year": life.here_last_year,
            "months_year_before": life.here_year_before,
        },
        "licence": {"valid": asked_on <= life.licence_until},
        "vehicles": {
            "cars": len(life.cars),
            **{state: life.cars.count(state) for state in ("cancelled", "scrapped", "stolen")},
        }
        if life.cars
        else None,
        "insurance": human_resources("insurance", life, asked_on),
        "insurance-running": human_resources("insurance-running", life, asked_on),
        "talent": {"card": True} if life.talent else None,
        "quotas": {"held": life.quotas_held, "replacement": life.replacement},
        "lottery": {"unused": life.lottery_unused},
    }


def human_resources(item: str, life: Life, asked_on: date) -> dict[str, object]:
    """The answer of human resources, by the query in their file."""
    [item_asked] = [each for each in case_type("quota").items if each.name == item]
    times = item_asked.about.times(asked_on)
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE TABLE insured_month (resident_id TEXT, city TEXT, month TEXT)")
        database.execute("CREATE TABLE insured_time (resident_id TEXT, city TEXT, from_day TEXT, until_day TEXT)")
        months = [(ME, city, month.isoformat()) for city, month in life.insured_months]
        database.executemany("INSERT INTO insured_month VALUES (?, ?, ?)", months)
        spans = [(ME, city, first.isoformat(), last.isoformat()) for city, first, last in life.insured_times]
        database.executemany("INSERT INTO insured_time VALUES (?, ?, ?, ?)", spans)
        days = {name: day and day.isoformat() for name, day in times._asdict().items()}
        found = database.execute(_queries()[item], {"party_id": ME, **days})
        return {column[0]: value for column, value in zip(found.description, found.fetchone(), strict=True)}
    finally:
        database.close()


def conclude(type_: str, answers: Answers, day: date, missing: tuple[str, ...] = ()) -> Conclusion:
    """What the rule of that day makes of the answers; those of the `missing` items did not come."""
    loaded = case_type(type_)
    facts = CaseFacts(
        day=day,
        region=HERE,
        parties=(Party(number=1, party_id=ME, name="王一", authorisation="A-1"),),
        parameters=loaded.parameters_on(day, HERE),
        facts=tuple(_fact(item, content) for item, content in answers.items() if item not in missing),
        missing=tuple(
            MissingAnswer(question_id=f"C1/{item}/1/1", department=asked(type_, item), why="late") for item in missing
        ),
    )
    return _rule(loaded.rule_on(day).name)(facts)


def asked(type_: str, item: str) -> str:
    """The department that is asked of that item."""
    return next(each.asks for each in case_type(type_).items if each.name == item)


def rested_on(conclusion: Conclusion) -> list[set[str]]:
    """The items that each reason rests on."""
    return [{question.split("/")[1] for question in reason.rests_on} for reason in conclusion.reasons]


def failed(conclusion: Conclusion) -> list[str]:
    """The names of the conditions that fail."""
    return conclusion.values["failed"].split()


def _fact(item: str, content: Mapping[str, object] | None) -> Fact:
    answer = CaseAnswer(
        question_id=f"C1/{item}/1/1",
        department="x",
        status="nothing_found" if content is None else "found",
        content="{}",
        reason=None,
        data_as_of=None,
        queried_at=datetime(2018, 7, 10, tzinfo=UTC),
        answered_by="query",
    )
    return Fact(item, 1, answer, content or {})


@cache
def _rule(name: str) -> PythonRule:
    """That function of the rule's file, which is compiled once."""
    return PythonRule(name, (FOLDER / name.partition(":")[0]).read_text("utf-8"))


@cache
def _queries() -> dict[str, str]:
    document: Any = read(HUMAN_RESOURCES.read_bytes()).value
    return {answer["item"]: answer["query"] for answer in document["answers"]}
