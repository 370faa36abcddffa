"""Laws of all findings on households, and the slow computation from the planted tables with which they agree."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.cases.events import Status
from exchange.cases.finding import facts_of
from tests.rigs.household import REGION, Planted, case, finding_of, found, loaded, months, texts
from tests.rigs.household_oracle import expected
from tests.rigs.household_town import household

OUTCOMES = {"eligible", "edge", "hardship", "ineligible", "to_a_person"}
HOUSEHOLDS = st.randoms(use_true_random=False).map(household)


def test_the_town_has_households_of_every_outcome() -> None:
    outcomes = Counter(expected(household(random.Random(seed))).outcome for seed in range(400))
    assert outcomes.keys() == OUTCOMES
    assert min(outcomes.values()) >= 5


@pytest.mark.parametrize("seed", range(0, 1000, 100))
def test_findings_are_those_of_a_slow_computation_from_the_tables(seed: int) -> None:
    for each in range(seed, seed + 100):
        agrees(household(random.Random(each)))


@given(HOUSEHOLDS)
def test_findings_are_those_of_the_slow_computation_wherever_one_looks(planted: Planted) -> None:
    agrees(planted)


def agrees(planted: Planted) -> None:
    finding, right = found(planted), expected(planted)
    members = finding.values.get("members")
    assert (finding.outcome, members and int(members), finding.values.get("aid")) == right, (planted, texts(finding))
    numbers = {f"C1/{item.name}/{n}/1" for item in loaded().items for n in range(1, planted.persons + 1)}
    for reason in finding.reasons:
        assert {each.question_id for each in reason.rests_on} <= numbers
        assert len({each.question_id for each in reason.rests_on}) == len(reason.rests_on)
        assert reason.text.endswith(".")
        assert "某" not in reason.text
        assert not any(f"R{n}" in reason.text for n in range(1, planted.persons + 1))


@given(HOUSEHOLDS, st.data())
def test_more_income_never_makes_more_aid(planted: Planted, data: st.DataObject) -> None:
    person = data.draw(st.integers(1, planted.persons))
    month = data.draw(st.sampled_from([*months(planted.day)]))
    table = data.draw(st.sampled_from(["wage", "pension_month"]))
    richer = planted.also(table, (person, month, data.draw(st.integers(1, 5000_00))))
    before, after = found(planted), found(richer)
    if before.outcome == "to_a_person":
        return
    assert after.outcome != "to_a_person"
    assert Decimal(after.values["aid"]) <= Decimal(before.values["aid"])
    assert (after.outcome == "eligible") <= (before.outcome == "eligible")


@given(HOUSEHOLDS, st.data())
def test_whatever_is_missing_it_is_incomplete(planted: Planted, data: st.DataObject) -> None:
    asked = [(item.name, n) for item in loaded().items for n in range(1, planted.persons + 1)]
    why: st.SearchStrategy[Status | None] = st.sampled_from([None, "refused", "not_identified", "not_authorised"])
    missing: dict[tuple[str, int], Status | None] = data.draw(st.dictionaries(st.sampled_from(asked), why, min_size=1))
    finding = found(planted, missing)
    assert finding.outcome == "incomplete"


@given(HOUSEHOLDS, st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter_and_twice_is_the_same(planted: Planted, rng: random.Random) -> None:
    made = case(planted)
    facts = facts_of(made, loaded().parameters_on(planted.day, REGION))
    shuffled = replace(
        facts,
        facts=tuple(rng.sample(facts.facts, len(facts.facts))),
        parties=tuple(rng.sample(facts.parties, len(facts.parties))),
        parameters=dict(rng.sample(sorted(facts.parameters.items()), len(facts.parameters))),
    )
    rule = loaded().rule_on(planted.day)
    assert rule(shuffled) == rule(facts)
    assert finding_of(made).model_dump_json() == finding_of(case(planted)).model_dump_json()
