"""The month's days around holidays and a change of rules, and codes that end."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.apps.car_quota.application_code import ApplicationCode, ApplicationCodeError, issue, months_after, renew
from exchange.apps.car_quota.quota_month import QuotaMonth, days_of, month_of_application, month_of_draw
from exchange.apps.car_quota.quota_rules import QuotaRulesError, read_quota_rules
from exchange.cases.clocks import Stop
from exchange.workdays import Calendar, Due

RULES = read_quota_rules(Path(__file__).parents[1] / "rigs" / "car_quota" / "rules.yaml")
GUANGZHOU = "4401"
CALENDAR = Calendar()
DAY = timedelta(days=1)


def month(year: int, number: int) -> QuotaMonth:
    return days_of(RULES, date(year, number, 1), GUANGZHOU, CALENDAR)


def test_the_days_of_november_2013() -> None:
    found = month(2013, 11)
    assert (found.apply_from, found.apply_until) == (date(2013, 10, 9), date(2013, 11, 8))
    assert found.asked_on == date(2013, 11, 9)
    assert found.answers_due == Due(date(2013, 11, 20), provisional=False)  # a Saturday, then eight working days
    assert found.withdraw_until == date(2013, 11, 19)
    assert found.result_on == date(2013, 11, 23)
    assert found.recheck_until == Due(date(2013, 11, 29), provisional=False)
    assert (found.sealed_on, found.draw_on) == (date(2013, 11, 25), date(2013, 11, 26))


def test_holidays_move_what_is_in_working_days_and_nothing_else() -> None:
    """Spring Festival 2018: 15 to 21 February off, Sunday 11 and Saturday 24 worked."""
    found = month(2018, 2)
    assert found.asked_on == date(2018, 2, 9)
    assert found.answers_due.day == date(2018, 2, 26)
    assert found.result_on == date(2018, 2, 23)
    assert found.recheck_until.day == date(2018, 3, 1)


def test_an_answer_after_the_result_is_waited_for() -> None:
    found = month(2018, 2)
    assert found.result_for(date(2018, 2, 14)) == date(2018, 2, 23)
    assert found.result_for(date(2018, 2, 26)) == date(2018, 2, 26)
    assert month_of_draw(RULES, found.result_for(date(2018, 2, 26)), GUANGZHOU) == date(2018, 3, 1)


def test_a_unit_outside_of_the_city_stops_the_clock() -> None:
    found = month(2013, 11)
    stop = Stop(date(2013, 11, 11), date(2013, 11, 14))  # three working days after its first
    today = date(2013, 11, 18)
    assert found.answers_due_with([], today, CALENDAR) == found.answers_due
    assert found.answers_due_with([stop], today, CALENDAR).day == date(2013, 11, 25)
    awaited = Stop(date(2013, 11, 11), None)
    assert found.answers_due_with([awaited], today, CALENDAR).day == date(2013, 11, 27)


def test_the_last_day_to_apply_changes_at_midnight_before_the_month() -> None:
    assert (month(2018, 6).apply_until, month(2018, 7).apply_until) == (date(2018, 6, 8), date(2018, 7, 12))
    assert month(2018, 7).apply_from == date(2018, 6, 9)
    assert month_of_application(RULES, date(2018, 6, 9), GUANGZHOU) == date(2018, 7, 1)
    assert month_of_application(RULES, date(2018, 7, 12), GUANGZHOU) == date(2018, 7, 1)
    assert month_of_application(RULES, date(2018, 7, 13), GUANGZHOU) == date(2018, 8, 1)


@given(st.dates(date(2012, 7, 1), date(2025, 11, 30)))
def test_each_day_belongs_to_one_month_of_applications(day: date) -> None:
    first = month_of_application(RULES, day, GUANGZHOU)
    found = days_of(RULES, first, GUANGZHOU, CALENDAR)
    assert found.apply_from <= day <= found.apply_until
    following = days_of(RULES, first + 31 * DAY, GUANGZHOU, CALENDAR)
    assert following.apply_from == found.apply_until + DAY


def test_before_the_first_rules_there_is_no_month() -> None:
    assert month(2012, 7).apply_from == date(2012, 7, 1)
    with pytest.raises(QuotaRulesError, match="in force in 2012-06"):
        month(2012, 6)


@pytest.mark.parametrize(
    ("passed_on", "first"),
    [
        (date(2013, 11, 23), date(2013, 11, 1)),  # the result's day
        (date(2013, 11, 24), date(2013, 12, 1)),  # a re-check that is upheld before the list is sealed
        (date(2013, 12, 2), date(2013, 12, 1)),
        (date(2013, 12, 27), date(2014, 1, 1)),
    ],
)
def test_who_passes_after_the_result_is_in_the_next_draw(passed_on: date, first: date) -> None:
    assert month_of_draw(RULES, passed_on, GUANGZHOU) == first


CODE = ApplicationCode("0000000000017", "holder-1", date(2013, 8, 23), date(2013, 11, 23))


def test_a_code_is_valid_for_three_months() -> None:
    assert issue([], CODE.code, CODE.holder, CODE.from_, 3) == CODE
    assert [CODE.valid_on(CODE.from_ + days * DAY) for days in (-1, 0, 92, 93)] == [False, True, True, False]


def test_a_holder_has_one_code_at_a_time() -> None:
    with pytest.raises(ApplicationCodeError, match="has code 0000000000017 until 2013-11-23") as raised:
        issue([CODE], "0000000000024", CODE.holder, CODE.until, 3)
    assert CODE.holder not in str(raised.value)
    assert issue([CODE], "0000000000024", CODE.holder, CODE.until + DAY, 3).from_ == CODE.until + DAY
    assert issue([CODE], "0000000000024", "holder-2", CODE.until, 3).holder == "holder-2"


def test_a_code_is_given_once_for_ever() -> None:
    with pytest.raises(ApplicationCodeError, match="was given before"):
        issue([CODE], CODE.code, "holder-2", date(2020, 1, 1), 3)


def test_passing_again_renews_a_code_that_is_valid() -> None:
    assert renew(CODE, CODE.until, 3).until == date(2014, 2, 23)
    assert renew(CODE, CODE.from_, 3) == CODE
    assert renew(CODE, CODE.from_ + DAY, 1).until == CODE.until  # never shorter than it was
    for day in (CODE.until + DAY, CODE.from_ - DAY):
        with pytest.raises(ApplicationCodeError, match=f"is not valid on {day}"):
            renew(CODE, day, 3)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 120))
def test_months_end_on_the_same_day_or_on_the_last(day: date, months: int) -> None:
    end = months_after(day, months)
    assert (end.year * 12 + end.month) - (day.year * 12 + day.month) == months
    assert end.day == day.day or (end.day < day.day and (end + DAY).day == 1)
