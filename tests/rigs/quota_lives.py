"""What departments know of an applicant for a car quota, how they answer, and what the rule of a day makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

from exchange.cases.asked import CaseFacts, Conclusion, Fact
from exchange.cases.events import CaseAnswer, MissingAnswer, Party
from exchange.cases.load import sound
from exchange.cases.rules import LoadedType, PythonRule
from tests.rigs.own_tables import CONNECTORS, answered_by, content, filled

FOLDER = CONNECTORS / "transport" / "cases"
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
    """What the departments answer to questions of that day, by their queries; None: nothing is found."""
    with filled(rows_of(life, asked_on)) as database:
        return {
            item.name: content(
                database,
                answered_by(item.asks)["quota", item.name],
                {
                    "party_id": ME,
                    **{name: day and day.isoformat() for name, day in item.about.times(asked_on)._asdict().items()},
                },
            )
            for item in case_type("quota").items
        }


def rows_of(life: Life, asked_on: date) -> dict[str, list[tuple[object, ...]]]:
    """What the registers have of somebody who leads that life."""
    month = asked_on.year * 12 + asked_on.month - 1
    here = [*range(1, life.here_last_year + 1), *range(13, life.here_year_before + 13)]  # so many months ago
    return {
        "residence": [(ME, kind) for kind in ("hukou", "permit") if getattr(life, kind)],
        "soldier": [(ME,)] * life.soldier,
        "identity_document": [(ME, str(life.identity_until))],
        "driving_licence": [(ME, str(life.licence_until))],
        "outsider": [(ME, "Macao")] * life.outsider,
        "stay": [(ME, str(date((month - ago) // 12, (month - ago) % 12 + 1, 1))) for ago in here],
        "owned_car": [(ME, 0, state) for state in life.cars],
        "insured_month": [(ME, city, str(each)) for city, each in life.insured_months],
        "insured_time": [(ME, city, str(first), str(last)) for city, first, last in life.insured_times],
        "talent_card": [(ME, "2030-01-01")] * life.talent,
        "quota": [(ME, "held")] * life.quotas_held,
        "replacement": [(ME,)] * life.replacement,
        "lottery_win": [(ME, f"{asked_on.year - 1}-12-15", 0)] * life.lottery_unused,
    }


def conclude(type_: str, answers: Answers, day: date, missing: tuple[str, ...] = ()) -> Conclusion:
    """What the rule of that day makes of the answers; those of the `missing` items did not come."""
    loaded = case_type(type_)
    facts = CaseFacts(
        day=day,
        region=HERE,
        parties=(Party(number=1, party_id=ME, name="王一", authorisation="A-1"),),
        parameters=loaded.parameters_on(day, HERE),
        facts=tuple(_fact(item, said) for item, said in answers.items() if item not in missing),
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


def _fact(item: str, said: Mapping[str, object] | None) -> Fact:
    answer = CaseAnswer(
        question_id=f"C1/{item}/1/1",
        department="x",
        status="nothing_found" if said is None else "found",
        content="{}",
        reason=None,
        data_as_of=None,
        queried_at=datetime(2018, 7, 10, tzinfo=UTC),
        answered_by="query",
    )
    return Fact(item, 1, answer, said or {})


@cache
def _rule(name: str) -> PythonRule:
    """That function of the rule's file, which is compiled once."""
    return PythonRule(name, (FOLDER / name.partition(":")[0]).read_text("utf-8"))
