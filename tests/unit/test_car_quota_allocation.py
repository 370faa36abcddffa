"""The month's quotas: the notice of November 2013 with each of its numbers, and that none is lost or made."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.apps.car_quota.allocation import AllocationError, Allotted, allocate, divided
from exchange.apps.car_quota.quota_rules import AllocationPlan, QuotaRules, QuotaRulesError, read_quota_rules

FILE = Path(__file__).parents[1] / "rigs" / "car_quota" / "rules.yaml"
RULES = read_quota_rules(FILE)
GUANGZHOU = "4401"
OCTOBER, NOVEMBER = date(2013, 10, 1), date(2013, 11, 1)
PLAN = RULES.plan(NOVEMBER, GUANGZHOU)


def test_the_notice_of_november_2013_comes_out_with_all_its_parts() -> None:
    found = allocate(PLAN, NOVEMBER, RULES.unused_of(OCTOBER, GUANGZHOU))
    assert found.parts == (
        Allotted("energy-saving", "units", 120, 0),
        Allotted("energy-saving", "persons", 880, 0),
        Allotted("lottery", "units", 600, 112),
        Allotted("lottery", "persons", 4_400, 691),
        Allotted("auction", "units", 480, 94),
        Allotted("auction", "persons", 3_520, 1_045),
    )
    assert [part.total for part in found.parts] == [120, 880, 712, 5_091, 574, 4_565]
    assert found.total == 11_942


def test_what_october_used_explains_what_it_left() -> None:
    october = allocate(PLAN, OCTOBER, {})
    used = {("energy-saving", "units"): 8, ("energy-saving", "persons"): 189, ("lottery", "units"): 600}
    used |= {("lottery", "persons"): 4_400, ("auction", "units"): 386, ("auction", "persons"): 2_475}
    left = {part: count for part, count in october.unused(used).items() if count}
    assert left == RULES.unused_of(OCTOBER, GUANGZHOU)


@pytest.mark.parametrize("used", [{("auction", "units"): 481}, {("auction", "units"): -1}, {("gift", "units"): 1}])
def test_more_than_there_are_cannot_be_used(used: dict[tuple[str, str], int]) -> None:
    with pytest.raises(AllocationError):
        allocate(PLAN, OCTOBER, {}).unused(used)


@pytest.mark.parametrize("unused", [{("gift", "units"): 1}, {("auction", "all"): 1}, {("auction", "units"): -1}])
def test_what_has_no_place_cannot_roll_over(unused: dict[tuple[str, str], int]) -> None:
    with pytest.raises(AllocationError, match="cannot roll over"):
        allocate(PLAN, OCTOBER, unused)


@given(st.data(), st.integers(0, 200_000))
def test_over_two_years_every_quota_is_used_or_left(data: st.DataObject, yearly: int) -> None:
    plan = PLAN.model_copy(update={"yearly": yearly})
    left: dict[tuple[str, str], int] = {}
    used_in_all = 0
    for month in [date(2013 + n // 12, n % 12 + 1, 1) for n in range(24)]:
        allocation = allocate(plan, month, left)
        used = {part[:2]: data.draw(st.integers(0, part.total)) for part in allocation.parts}
        used_in_all += sum(used.values())
        left = allocation.unused(used)
    assert used_in_all + sum(left.values()) == 2 * yearly


@given(st.integers(0, 10**9), st.lists(st.integers(1, 1000), min_size=1, max_size=12))
def test_numbers_are_divided_without_rest_and_fairly(total: int, parts: list[int]) -> None:
    numbers = divided(total, parts)
    assert sum(numbers) == total
    for number, part in zip(numbers, parts, strict=True):
        assert abs(number * sum(parts) - total * part) < sum(parts)


def plan(from_: date, until: date | None) -> AllocationPlan:
    return PLAN.model_copy(update={"from_": from_, "until": until})


def test_the_plan_of_a_month_is_the_one_in_force_on_its_first_day() -> None:
    old, new = plan(date(2012, 7, 1), date(2013, 11, 15)), plan(date(2013, 11, 16), None)
    rules = QuotaRules(allocations=(old, new))
    assert rules.plan(date(2013, 11, 30), GUANGZHOU) is old
    assert rules.plan(date(2013, 12, 1), GUANGZHOU) is new
    with pytest.raises(QuotaRulesError, match="no rule of the kind 'allocation' is in force in 2012-06 in region 4401"):
        rules.plan(date(2012, 6, 30), GUANGZHOU)
    with pytest.raises(QuotaRulesError, match="no rule"):
        rules.plan(NOVEMBER, "4403")
    with pytest.raises(QuotaRulesError, match="more than one rule"):
        QuotaRules(allocations=(old, old)).plan(NOVEMBER, GUANGZHOU)


def test_mistakes_of_the_file_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    text = FILE.read_text("utf-8").replace("rest_to: auction", "rest_to: sale").replace("draw_on: 26", "draw_on: 22", 1)
    path.write_text(text.replace("month: 2013-10-01, kind: auction", "month: 2013-10-02, kind: auction"))
    with pytest.raises(QuotaRulesError) as raised:
        read_quota_rules(path)
    message = raised.value.message
    assert "rules.yaml has 4 mistakes:" in message
    assert "what is left of 'auction' goes to 'sale', which is no kind of this plan" in message
    line = text.splitlines().index("months:") + 2
    assert f"line {line}, months[0]: error: the days are not in their order" in message
    assert message.count("write a month as its first day") == 2


def test_what_a_month_left_is_given_once() -> None:
    rules = QuotaRules(unused=(RULES.unused[0], RULES.unused[0]))
    with pytest.raises(QuotaRulesError, match="left is given twice"):
        rules.unused_of(OCTOBER, GUANGZHOU)
