"""The example's rule of household economic status: every trap beside its counter-example, and laws of all findings."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from exchange.cases.events import ENGINE, INCOMPLETE, CaseFinding, CaseFound, Status
from exchange.cases.finding import again, facts_of, make
from exchange.cases.rules import PythonRule
from tests.rigs.household import (
    ASKED_AT,
    REGION,
    Planted,
    case,
    finding_of,
    found,
    history,
    loaded,
    months,
    texts,
)
from tests.rigs.household_oracle import expected

DAY = date(2016, 6, 15)
LATER = date(2020, 6, 15)


def people(*states: str, day: date = DAY) -> Planted:
    """Persons as the register has them: a state, and a marriage if it is not `single`."""
    rows = [(n, *(f"{state} single".split()[:2])) for n, state in enumerate(states, 1)]
    return Planted(len(states), day).also("civil_status", *rows)


def monthly(planted: Planted, table: str, person: int, fen: int, *more: Any) -> Planted:
    """So much in each month of the window."""
    return planted.also(table, *((person, month, fen, *more) for month in months(planted.day)))


def family(wage: int = 2400_00, day: date = DAY) -> Planted:
    """Parents and a child, who live on one wage."""
    return monthly(people("alive married", "alive married", "alive", day=day), "wage", 1, wage)


def told(finding: CaseFinding) -> tuple[str, str | None, str | None]:
    return finding.outcome, finding.values.get("head"), finding.values.get("aid")


GRANDFATHER = monthly(people("alive married", "alive married", "alive"), "wage", 1, 2400_00)
CAR, ADAPTED, SOLD = (1, 0, "registered"), (1, 1, "registered"), (1, 0, "cancelled")
FLAT = ("C1", "U1", 1, 1, 1, 60, "home")
ELIGIBLE, TO_A_PERSON = ("eligible", "800.00", "120.00"), ("to_a_person", None, None)
EXCLUDED = ("ineligible", "800.00", "0.00")


@pytest.mark.parametrize(
    ("planted", "finding"),
    [
        pytest.param(family(), ELIGIBLE, id="one-wage"),
        pytest.param(family(2520_00), ("ineligible", "840.00", "0.00"), id="at-the-standard"),
        pytest.param(family(2519_99), ("eligible", "840.00", "0.01"), id="a-fen-below"),
        # cars
        pytest.param(family().also("owned_car", CAR), EXCLUDED, id="car"),
        pytest.param(family().also("owned_car", SOLD), ELIGIBLE, id="car-sold"),
        pytest.param(
            family().also("owned_car", ADAPTED).also("card_holder", (1, "valid")), ELIGIBLE, id="adapted-with-card"
        ),
        pytest.param(family().also("owned_car", ADAPTED), EXCLUDED, id="adapted-without-card"),
        pytest.param(
            family().also("owned_car", ADAPTED).also("card_holder", (1, "cancelled")), EXCLUDED, id="card-cancelled"
        ),
        pytest.param(
            family().also("owned_car", ADAPTED).also("card_holder", (3, "valid")), TO_A_PERSON, id="card-of-child"
        ),
        pytest.param(
            family().also("owned_car", CAR, ADAPTED).also("card_holder", (1, "valid")), EXCLUDED, id="aid-and-a-car"
        ),
        # the wage of 2,400 is monthly; a base, and a yearly return, are none
        pytest.param(
            monthly(family(), "insured_base", 1, 5500_00, 5500_00), ELIGIBLE, id="insured-at-the-floor-base-of-5500"
        ),
        pytest.param(monthly(family(), "insured_base", 1, 9000_00, 5500_00), ELIGIBLE, id="insured-above-with-wages"),
        pytest.param(
            monthly(family().without("wage"), "insured_base", 1, 9000_00, 5500_00), TO_A_PERSON, id="insured-above"
        ),
        pytest.param(
            monthly(family().without("wage"), "insured_base", 1, 5500_00, 5500_00),
            ("eligible", "0.00", "2520.00"),
            id="jobless-insured-at-the-floor",
        ),
        pytest.param(
            family().without("wage").also("fund_payment", (1, "2016-05-01")), TO_A_PERSON, id="fund-without-wages"
        ),
        pytest.param(
            family().without("wage").also("yearly_return", (1, 2015, 28800_00)),
            ("eligible", "0.00", "2520.00"),
            id="jobless-in-the-window",
        ),
        pytest.param(
            family().also("yearly_return", (1, 2015, 28800_00)), ELIGIBLE, id="the-same-return-and-still-employed"
        ),
        pytest.param(
            family().without("wage").also("wage", *((1, month, 9600_00) for month in months(DAY, 3, before=3))),
            ("eligible", "0.00", "2520.00"),
            id="wages-before-the-window",
        ),
        pytest.param(
            family().without("wage").also("wage", (1, "2016-05-01", 7200_00)), ELIGIBLE, id="all-in-the-last-month"
        ),
        # new job: what is above three standards counts
        pytest.param(family().also("employment", (1, "2015-12-01")), ("eligible", "0.00", "2520.00"), id="new-job"),
        pytest.param(family().also("employment", (1, "2015-11-30")), ELIGIBLE, id="job-not-new"),
        pytest.param(
            family(4920_00).also("employment", (1, "2016-02-01")), ("eligible", "800.00", "120.00"), id="new-and-better"
        ),
        # who counts
        pytest.param(
            monthly(people("alive married", "alive married", "dead"), "wage", 1, 2400_00),
            ("ineligible", "1200.00", "0.00"),
            id="grandfather-dead",
        ),
        pytest.param(
            monthly(
                monthly(people("alive married", "alive married", "dead"), "wage", 1, 2400_00), "pension_month", 3, 10
            ),
            ("ineligible", "1200.00", "0.00"),
            id="grandfather-dead-pension-paid",
        ),
        pytest.param(monthly(GRANDFATHER, "pension_month", 3, 60_00), ("eligible", "820.00", "60.00"), id="and-alive"),
        pytest.param(
            monthly(monthly(GRANDFATHER, "pension_month", 3, 600_00), "service_pension", 3, 600_00),
            ELIGIBLE,
            id="pension-for-service",
        ),
        pytest.param(family().also("death_certificate", (3,)), TO_A_PERSON, id="dead-but-not-in-the-register"),
        pytest.param(family().also("prisoner", (3,)), ("ineligible", "1200.00", "0.00"), id="prisoner"),
        pytest.param(family().also("conscript", (3,)), ("ineligible", "1200.00", "0.00"), id="conscript"),
        pytest.param(family().also("conscript", (2,)), ELIGIBLE, id="conscript-married"),
        pytest.param(family().also("clergy", (3, 1)), ("ineligible", "1200.00", "0.00"), id="clergy-apart"),
        pytest.param(family().also("clergy", (3, 0)), ELIGIBLE, id="clergy-not-yet-a-year"),
        pytest.param(
            monthly(people("alive married", "alive married", "moved_out"), "wage", 1, 2400_00),
            TO_A_PERSON,
            id="moved-out",
        ),
        pytest.param(
            monthly(people("alive married", "alive married", "moved_out"), "wage", 1, 2400_00).also("student", (3, 1)),
            ELIGIBLE,
            id="moved-out-to-study",
        ),
        pytest.param(family().also("judgment", (1, "divorce")), TO_A_PERSON, id="divorce-not-in-register"),
        pytest.param(
            monthly(people("alive divorced", "alive"), "wage", 1, 1600_00).also("judgment", (1, "divorce")),
            ("eligible", "800.00", "80.00"),
            id="divorce-in-register",
        ),
        pytest.param(people("alive married", "alive"), TO_A_PERSON, id="the-other-side-is-not-in-the-case"),
        pytest.param(Planted(1, DAY), TO_A_PERSON, id="not-in-the-register"),
        pytest.param(people("dead"), TO_A_PERSON, id="nobody-left"),
        # homes: 66 m² a head of three is the mean of 22
        pytest.param(family().also("certificate", FLAT), ELIGIBLE, id="one-flat"),
        pytest.param(
            family().also("certificate", FLAT, ("C2", "U1", 1, 1, 1, 60, "home")), ELIGIBLE, id="one-flat-twice"
        ),
        pytest.param(family().also("certificate", FLAT, ("C2", "U2", 1, 1, 1, 60, "home")), EXCLUDED, id="two-flats"),
        pytest.param(
            family().also("certificate", FLAT, ("C2", "U2", 1, 1, 3, 60, "home")), ELIGIBLE, id="a-third-of-a-flat"
        ),
        pytest.param(
            family().also("certificate", FLAT, *((f"C{n}", "U2", n, 1, 3, 60, "home") for n in (1, 2, 3))),
            EXCLUDED,
            id="a-flat-and-three-thirds",
        ),
        pytest.param(
            family().also("certificate", FLAT, ("C2", "U2", 2, 1, 1, 3, "home")), ELIGIBLE, id="two-that-are-small"
        ),
        pytest.param(
            family().also("certificate", FLAT, ("C2", "U2", 2, 1, 1, 6, "home")), EXCLUDED, id="two-at-the-mean"
        ),
        pytest.param(
            family().also("certificate", FLAT, ("C2", "U2", 1, 1, 1, 9, "shop")), EXCLUDED, id="flat-and-shop"
        ),
        pytest.param(family().also("certificate", ("C2", "U2", 1, 1, 1, 9, "shop")), ELIGIBLE, id="lives-in-the-shop"),
        pytest.param(
            family().also("certificate", *((f"C{n}", f"U{n}", 1, 1, 1, 9, "shop") for n in (1, 2))),
            EXCLUDED,
            id="two-shops",
        ),
        pytest.param(
            family().also("certificate", *((f"C{n}", "U2", n, 1, 2, 9, "shop") for n in (1, 2))),
            TO_A_PERSON,
            id="shop-of-two",
        ),
        # financial assets, at and above 24 times 840
        pytest.param(people("alive").also("deposit", (1, 20160_00)), ("eligible", "0.00", "840.00"), id="at-limit"),
        pytest.param(people("alive").also("deposit", (1, 20160_01)), ("ineligible", "0.00", "0.00"), id="above-limit"),
        pytest.param(people("alive").also("security", (1, 20160_01)), ("ineligible", "0.00", "0.00"), id="shares"),
        pytest.param(family().also("deposit", (1, 60000_00)), TO_A_PERSON, id="one-of-three-above"),
        pytest.param(family().also("shareholder", (2, "X")), TO_A_PERSON, id="company"),
    ],
)
def test_what_is_planted_and_its_counter_example(planted: Planted, finding: tuple[str, str | None, str | None]) -> None:
    made = found(planted)
    assert told(made) == finding, texts(made)
    outcome, _, aid = expected(planted)
    assert (outcome, aid) == (finding[0], finding[2])


def test_from_2020_going_to_work_costs_a_tenth_of_the_wage() -> None:
    """3,600 count as 3,240, which is the standard of three."""
    assert told(found(family(3599_00, LATER))) == ("eligible", "1079.70", "0.90")
    assert told(found(family(3600_00, LATER))) == ("edge", "1080.00", "0.00")


def pensioner(fen: int) -> Planted:
    return monthly(people("alive", day=LATER), "pension_month", 1, fen)


@pytest.mark.parametrize(
    ("planted", "outcome"),
    [
        (pensioner(1079_99), "eligible"),
        (pensioner(1080_00), "edge"),
        (pensioner(1620_00), "edge"),
        (pensioner(1620_01), "ineligible"),
        (monthly(pensioner(2000_00), "treatment", 1, 920_00), "ineligible"),
        (monthly(pensioner(2000_00), "treatment", 1, 920_01), "hardship"),
        (monthly(pensioner(2000_00), "school_fee", 1, 920_01), "hardship"),
        (monthly(pensioner(2000_00), "treatment", 1, 920_01).also("owned_car", CAR), "ineligible"),
        (pensioner(1200_00).also("owned_car", CAR), "ineligible"),
    ],
)
def test_edge_and_hardship_of_2020(planted: Planted, outcome: str) -> None:
    assert found(planted).outcome == outcome == expected(planted).outcome


@pytest.mark.parametrize(
    ("day", "finding"),
    [
        (date(2020, 3, 31), ("eligible", "0.00", "1080.00")),
        (date(2020, 4, 1), ("eligible", "400.00", "680.00")),
        (date(2020, 6, 1), ("edge", "1200.00", "0.00")),
    ],
)
def test_the_window_is_that_of_the_day(day: date, finding: tuple[str, str, str]) -> None:
    """A pension of 1,200 from March 2020 on."""
    assert told(found(replace(pensioner(1200_00), day=day))) == finding


@pytest.mark.parametrize(
    ("day", "head", "before", "after"),
    [
        (date(2018, 1, 1), 840_00, "ineligible", ("eligible", "840.00", "110.00")),
        (date(2020, 1, 1), 960_00, "ineligible", ("eligible", "960.00", "120.00")),
        (date(2020, 1, 1), 1200_00, "ineligible", ("edge", "1200.00", "0.00")),
    ],
)
def test_rules_and_values_change_at_midnight(day: date, head: int, before: str, after: tuple[str, str, str]) -> None:
    eve = day.replace(year=day.year - 1, month=12, day=31)
    paid = tuple((1, month, head) for month in (*months(eve), *months(day)))
    planted = people("alive", day=day).also("pension_month", *dict.fromkeys(paid))
    assert told(found(planted)) == after
    old = found(replace(planted, day=eve))
    assert old.outcome == before


def test_an_old_case_keeps_the_old_rule_and_standard_to_the_byte() -> None:
    """Its finding is made again from the history, in which the values of then are written."""
    planted = family()
    rule, then, now = (loaded().rule_on(DAY), *(loaded().parameters_on(day, REGION) for day in (DAY, LATER)))
    event = CaseFound(
        time=ASKED_AT,
        who=ENGINE,
        rule=rule.name,
        version=rule.version,
        parameters=then,
        finding=make(case(planted), rule, then),
    )
    again_same, again_with_today = (
        again([*history(planted), each], lambda name, version: PythonRule(name, rule.source))[0]
        for each in (event, event.model_copy(update={"parameters": now}))
    )
    assert again_same.same
    values = json.loads(again_same.again)["values"]
    assert values == {"members": "3", "income": "7200.00", "head": "800.00", "aid": "120.00"}
    assert not again_with_today.same


@pytest.mark.parametrize("why", [None, "refused", "not_identified", "not_authorised"])
@pytest.mark.parametrize("item", [item.name for item in loaded().items])
def test_without_an_answer_it_is_never_eligible(item: str, why: Status | None) -> None:
    finding = found(family(), {(item, 2): why})
    assert (finding.outcome, finding.values) == ("incomplete", {})
    assert [missing.question_id for missing in finding.missing] == [f"C1/{item}/2/1"]


# The rule reads these only if something else makes them matter.
SOMETIMES = {"insurance", "fund", "study", "treatment", "card"}


@pytest.mark.parametrize("item", sorted({item.name for item in loaded().items} - SOMETIMES))
def test_the_rule_itself_takes_no_absent_answer_for_nothing(item: str) -> None:
    facts = facts_of(case(family()), loaded().parameters_on(DAY, REGION))
    fewer = replace(facts, facts=tuple(fact for fact in facts.facts if (fact.item, fact.party) != (item, 1)))
    with pytest.raises(KeyError):
        loaded().rule_on(DAY)(fewer)


@pytest.mark.parametrize(
    ("item", "content"),
    [
        ("wages", {"new_job": False}),
        ("wages", {"total": True, "new_job": False}),
        ("wages", {"total": None, "new_job": False}),
        ("wages", {"total": "7200.00", "new_job": "no"}),
        ("register", {"state": "lost", "marriage": "married"}),
        ("homes", {"shares": "1.0000", "area": "60.00", "other_use": False}),
    ],
)
def test_an_answer_that_is_not_what_was_asked_is_missing_and_no_zero(item: str, content: dict[str, Any]) -> None:
    made = case(family())
    answers = dict(made.answers)
    asked = f"C1/{item}/1/1"
    answers[asked] = answers[asked].model_copy(update={"status": "found", "content": json.dumps(content)})
    finding = finding_of(replace(made, answers=answers))
    assert finding.outcome == INCOMPLETE
    assert [(missing.question_id, missing.why) for missing in finding.missing] == [(asked, "unreadable")]


def test_the_questions_are_as_small_as_the_rule_allows() -> None:
    """Sums are asked where the rule adds; whoever has deposits, shares, a company or a base does not tell how much."""
    values = {item.name for item in loaded().items for shape in item.answer.values() if shape.shape == "value"}
    assert values == {"wages", "pensions", "homes", "service", "study", "treatment"}
    assert not any(shape.shape == "count" for item in loaded().items for shape in item.answer.values())
    assert len({item.asks for item in loaded().items}) >= 12


def test_no_answer_is_one_that_the_rule_could_do_without() -> None:
    assert not any(item.optional for item in loaded().items)


@pytest.mark.parametrize("day", [date(2016, 1, 1), date(2018, 1, 1), date(2020, 1, 1), date(2026, 6, 1)])
def test_what_the_type_says_twice_is_the_same(day: date) -> None:
    values = loaded().parameters_on(day, REGION)
    assert Decimal(values["deposit_limit"]) == 24 * Decimal(values["standard"])
    assert {item.about.period for item in loaded().items} == {None, f"{values['window']} months"}
