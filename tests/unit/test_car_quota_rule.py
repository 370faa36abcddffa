"""Who may take part: each condition with its counter-example, all reasons at once, rules that change at midnight."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from exchange.cases.case_type import NothingInForceError
from tests.rigs.quota_lives import ELSEWHERE, HERE, Life, answers_of, case_type, conclude, failed, rested_on

# The rules change between these two days.
OLD, NEW = date(2018, 6, 30), date(2018, 7, 1)
ASKED = date(2018, 7, 13)
FIRST_OF_WINDOW, LAST_OF_WINDOW = date(2015, 7, 1), date(2018, 6, 1)
DAY = timedelta(days=1)


def person(life: Life, day: date = NEW, asked_on: date = ASKED, missing: tuple[str, ...] = ()) -> Any:
    return conclude("quota", answers_of(life, asked_on), day, missing)


def months(count: int, last: date = LAST_OF_WINDOW, city: str = HERE) -> tuple[tuple[str, date], ...]:
    """So many months, the last one first."""
    numbers = [last.year * 12 + last.month - 1 - n for n in range(count)]
    return tuple((city, date(n // 12, n % 12 + 1, 1)) for n in numbers)


NEWCOMER = Life(hukou=False)


def test_who_fulfils_everything_is_eligible_and_told_by_what() -> None:
    found = person(Life())
    assert (found.outcome, failed(found)) == ("eligible", [])
    assert found.reasons[0].text == "lives here: is registered here"
    assert rested_on(found)[0] == {"residence"}
    assert len(found.reasons) == 7


@pytest.mark.parametrize(
    ("changes", "condition", "item"),
    [
        ({"identity_until": ASKED - DAY}, "identity", "identity"),
        ({"licence_until": ASKED - DAY}, "licence", "licence"),
        ({"cars": ("in use",)}, "cars", "vehicles"),
        ({"cars": ("cancelled", "in use", "stolen")}, "cars", "vehicles"),
        ({"quotas_held": 1}, "quotas", "quotas"),
        ({"replacement": True}, "replacement", "quotas"),
        ({"lottery_unused": 1}, "unused", "lottery"),
    ],
)
@pytest.mark.parametrize("day", [OLD, NEW])
def test_each_condition_alone_excludes(changes: dict[str, Any], condition: str, item: str, day: date) -> None:
    found = person(replace(Life(), **changes), day)
    assert (found.outcome, failed(found)) == ("excluded", [condition])
    assert rested_on(found) == [{item}]


@pytest.mark.parametrize(
    "changes",
    [
        {"identity_until": ASKED, "licence_until": ASKED},
        {"cars": ("cancelled",)},
        {"cars": ("scrapped", "stolen", "cancelled")},
    ],
)
def test_what_is_just_right_does_not_exclude(changes: dict[str, Any]) -> None:
    assert person(replace(Life(), **changes)).outcome == "eligible"


def test_every_reason_is_told_at_once() -> None:
    found = person(
        Life(
            hukou=False,
            identity_until=ASKED - DAY,
            licence_until=ASKED - DAY,
            cars=("in use", "scrapped"),
            quotas_held=2,
            replacement=True,
            lottery_unused=1,
            insured_months=months(23),
        )
    )
    assert failed(found) == ["lives", "identity", "licence", "cars", "quotas", "replacement", "unused"]
    texts = [reason.text for reason in found.reasons]
    assert "insured here for 23 months in 3 years, not 24" in texts[0]
    assert texts[3:5] == [
        "1 of 2 cars registered here are not cancelled, scrapped or stolen",
        "holds 2 quotas already",
    ]
    assert rested_on(found)[0] == {"residence", "soldier", "insurance", "talent", "exit-entry"}


@pytest.mark.parametrize(
    ("changes", "lives"),
    [
        ({}, False),
        ({"hukou": True}, True),
        ({"soldier": True}, True),
        ({"talent": True}, True),
        ({"permit": True}, False),
        ({"outsider": True, "here_last_year": 9, "here_year_before": 9}, True),
        ({"outsider": True, "here_last_year": 9, "here_year_before": 8}, False),
        ({"outsider": True, "here_last_year": 8, "here_year_before": 12}, False),
        ({"outsider": False, "here_last_year": 12, "here_year_before": 12}, False),
    ],
)
@pytest.mark.parametrize("day", [OLD, NEW])
def test_each_way_of_living_here_is_enough(changes: dict[str, Any], lives: bool, day: date) -> None:
    assert failed(person(replace(NEWCOMER, **changes), day)) == ([] if lives else ["lives"])


@pytest.mark.parametrize(
    ("insured", "lives"),
    [
        (months(24), True),
        (months(23), False),
        (months(12) + months(12, last=date(2016, 6, 1)), True),  # a gap does not matter
        (months(24, last=date(2017, 6, 1)), True),  # the first two of three years
        (months(24, last=date(2017, 5, 1)), False),  # one of them before the three years
        (months(24, last=date(2018, 7, 1)), False),  # the month of the result does not count
        (months(23) + months(1, city=ELSEWHERE), False),
        (months(24, city=ELSEWHERE), False),
        (months(23) + months(1), False),  # a month that was paid twice
        (months(24) + months(36), True),
    ],
)
def test_insurance_counts_by_its_months(insured: tuple[tuple[str, date], ...], lives: bool) -> None:
    assert failed(person(replace(NEWCOMER, insured_months=insured))) == ([] if lives else ["lives"])


START = date(2016, 7, 14)  # two years up to the day of the question


@pytest.mark.parametrize(
    ("permit", "insured", "lives"),
    [
        (True, [(HERE, START, ASKED)], True),
        (True, [(HERE, START + DAY, ASKED)], False),
        (False, [(HERE, START, ASKED)], False),
        (True, [(HERE, START, ASKED - DAY)], False),  # it ended yesterday
        (True, [(HERE, START, date(2017, 3, 31)), (HERE, date(2017, 4, 1), ASKED + DAY)], True),  # two employers
        (True, [(HERE, START, date(2017, 3, 31)), (HERE, date(2017, 4, 2), ASKED)], False),  # a day without
        (True, [(HERE, START, date(2017, 3, 31)), (ELSEWHERE, date(2017, 4, 1), ASKED)], False),
        (True, [(ELSEWHERE, START, ASKED)], False),
        (True, [], False),
    ],
)
def test_earlier_insurance_had_to_run_for_two_years_by_the_day(
    permit: bool, insured: list[tuple[str, date, date]], lives: bool
) -> None:
    life = replace(NEWCOMER, permit=permit, insured_times=tuple(insured))
    assert failed(person(life, OLD)) == ([] if lives else ["lives"])


@pytest.mark.parametrize(
    ("start", "asked_on", "lives"),
    [
        (date(2016, 2, 29), date(2018, 2, 27), False),
        (date(2016, 2, 29), date(2018, 2, 28), True),
        (date(2014, 3, 1), date(2016, 2, 28), False),
        (date(2014, 3, 1), date(2016, 2, 29), True),
        (date(2014, 2, 28), date(2016, 2, 27), True),
    ],
)
def test_two_years_around_leap_days(start: date, asked_on: date, lives: bool) -> None:
    life = replace(NEWCOMER, permit=True, insured_times=((HERE, start, asked_on),))
    assert failed(person(life, asked_on, asked_on)) == ([] if lives else ["lives"])


def test_the_rule_changes_at_midnight_and_old_cases_keep_the_old_one() -> None:
    gap = replace(NEWCOMER, permit=True, insured_months=months(30))  # without two years that run
    runs = replace(NEWCOMER, permit=True, insured_times=((HERE, START, ASKED),))  # without months on record
    assert [person(gap, day).outcome for day in (OLD, NEW)] == ["excluded", "eligible"]
    assert [person(runs, day).outcome for day in (OLD, NEW)] == ["eligible", "excluded"]
    with pytest.raises(NothingInForceError):
        person(Life(), date(2012, 6, 30))


def test_a_missing_answer_never_decides() -> None:
    found = person(Life(), missing=("vehicles",))
    assert (found.outcome, failed(found)) == ("incomplete", [])
    assert not any("vehicles" in items for items in rested_on(found))
    excluded = person(replace(Life(), quotas_held=1), missing=("vehicles",))
    assert failed(excluded) == ["quotas"]
    newcomer = person(replace(NEWCOMER, talent=True), missing=("insurance",))
    assert failed(newcomer) == []
    assert failed(person(NEWCOMER, missing=("insurance",))) == []  # the answer may be that they live here


def test_more_cars_gone_than_there_were_are_for_a_person() -> None:
    answers = answers_of(Life(), ASKED) | {"vehicles": {"cars": 1, "cancelled": 1, "scrapped": 1, "stolen": 0}}
    assert conclude("quota", answers, NEW).outcome == "incomplete"


def unit(day: date, tax: str = "0", missing: tuple[str, ...] = (), **changes: bool) -> Any:
    said = {"valid": True, "institution": False, "large": False, **changes}
    answers = {
        "registration": {"valid": said["valid"], "institution": said["institution"]},
        "investment": {"large": said["large"]},
        "tax": {"paid": tax} if tax != "0" else None,
    }
    return conclude("quota-unit", answers, day, missing)


DRAFT, LATER = date(2013, 6, 30), date(2013, 7, 1)


@pytest.mark.parametrize(
    ("tax", "codes"),
    [
        ("0", 0),
        ("49999.99", 0),
        ("50000.00", 1),
        ("549999.99", 1),
        ("550000.00", 2),
        ("3549999.99", 7),
        ("3550000.00", 8),
        ("4050000.00", 8),
    ],
)
def test_a_unit_had_codes_by_its_tax(tax: str, codes: int) -> None:
    found = unit(DRAFT, tax)
    assert found.values["codes"] == str(codes)
    assert (found.outcome, failed(found)) == (("eligible", []) if codes else ("excluded", ["tax"]))


def test_an_institution_needs_no_tax_but_a_valid_registration() -> None:
    for day in (DRAFT, LATER):
        assert unit(day, institution=True).outcome == "eligible"
        found = unit(day, valid=False)
        assert failed(found) == ["registration", "tax"]
        assert failed(unit(day, institution=True, valid=False)) == ["registration"]
    assert unit(DRAFT, "550000.00", institution=True).values["codes"] == "2"
    assert unit(DRAFT, institution=True).values["codes"] == "1"


def test_tax_of_10000_or_a_large_investment_is_enough_from_the_next_day_on() -> None:
    assert [unit(day, "10000.00").outcome for day in (DRAFT, LATER)] == ["excluded", "eligible"]
    assert failed(unit(LATER, "9999.99")) == ["tax"]
    assert [unit(day, large=True).outcome for day in (DRAFT, LATER)] == ["excluded", "eligible"]
    assert unit(LATER, large=True).reasons[-1].text == "made a large investment"


def test_without_the_tax_no_number_of_codes_is_told() -> None:
    found = unit(DRAFT, "600000.00", missing=("tax",))
    assert (found.outcome, found.values) == ("incomplete", {"failed": ""})


def test_seven_departments_are_asked_for_eight_working_days_each() -> None:
    items = [item for name in ("quota", "quota-unit") for item in case_type(name).items]
    assert {item.asks for item in items} == {
        "transport-agency",
        "development-reform",
        "police",
        "social-security",
        "market",
        "veterans",
        "tax",
    }
    assert {item.within for item in items} == {8}
