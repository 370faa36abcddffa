"""Until when answers and cases are due: Spring Festival, make-up days, and clocks that stand still."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.cases.case_type import CaseType, Item
from exchange.cases.clocks import Stop, answer_due, case_due, reminder_due
from exchange.workdays import Calendar, Due

CALENDAR = Calendar()
# Spring Festival 2026: 15 to 23 February off, Saturdays 14 and 28 February worked.
FRIDAY, BEFORE = date(2026, 2, 13), date(2026, 2, 10)


def item(within: int, remind: int | None = None) -> Item:
    answer = {"total": {"shape": "count"}}
    said = {"name": "wages", "asks": "tax", "about": {"day": "query"}, "within": within, "remind": remind}
    return Item.model_validate({**said, "answer": answer})


def case_type(within: int) -> CaseType:
    rule = {"from": date(2016, 1, 1), "python": "a.py:b", "basis": "Law"}
    said = {"department": "civil-affairs", "type": "household", "title": {"zh": "低保", "en": "Aid"}, "basis": "Law"}
    more = {"within": within, "decided_by": "street-office", "authorised": True, "items": [item(5)], "rules": [rule]}
    return CaseType.model_validate({**said, **more})


def due(within: int, opened_on: date, *stops: Stop, today: date = date(2026, 2, 1)) -> Due:
    return case_due(case_type(within), opened_on, stops, today, CALENDAR)


@pytest.mark.parametrize(
    ("asked_on", "within", "remind", "answer", "reminder"),
    [
        (date(2026, 6, 1), 5, 3, date(2026, 6, 8), date(2026, 6, 4)),
        (FRIDAY, 2, 1, date(2026, 2, 24), date(2026, 2, 14)),  # the Saturday before the festival is worked
        (date(2026, 2, 14), 5, 1, date(2026, 2, 28), date(2026, 2, 24)),  # and so is the one after
        (date(2026, 2, 18), 1, None, date(2026, 2, 24), None),  # asked on the festival itself
    ],
)
def test_an_answer_and_its_reminder(
    asked_on: date, within: int, remind: int | None, answer: date, reminder: date | None
) -> None:
    asked = item(within, remind)
    assert answer_due(asked, asked_on, CALENDAR) == Due(answer, provisional=False)
    reminded = reminder_due(asked, asked_on, CALENDAR)
    assert (reminded and reminded.day) == reminder


def test_a_case_without_stops_is_due_as_its_working_days_say() -> None:
    assert due(18, date(2026, 2, 2)) == CALENDAR.due(date(2026, 2, 2), 18) == Due(date(2026, 3, 4), provisional=False)


def test_the_clock_stands_still_while_a_unit_outside_is_awaited() -> None:
    # Of the days of the stop, 11 to 14 and 24 February are worked: five days later than Thursday 12 February.
    assert due(2, BEFORE).day == date(2026, 2, 12)
    assert due(2, BEFORE, Stop(BEFORE, date(2026, 2, 24))).day == date(2026, 2, 26)


def test_a_stop_on_days_that_are_not_worked_moves_nothing() -> None:
    festival = Stop(date(2026, 2, 14), date(2026, 2, 23))
    assert due(7, BEFORE, festival) == due(7, BEFORE)


def test_stops_at_the_same_time_count_once() -> None:
    first, second = Stop(BEFORE, date(2026, 2, 12)), Stop(date(2026, 2, 11), date(2026, 2, 13))
    assert due(5, BEFORE, first, second) == due(5, BEFORE, Stop(BEFORE, date(2026, 2, 13)))


def test_what_is_still_awaited_stops_the_clock_until_today() -> None:
    stop = Stop(BEFORE, None)
    assert due(2, BEFORE, stop, today=BEFORE) == due(2, BEFORE)
    assert due(2, BEFORE, stop, today=FRIDAY) == due(2, BEFORE, Stop(BEFORE, FRIDAY))


def test_a_stop_after_the_last_day_comes_too_late() -> None:
    last = due(5, BEFORE).day
    assert due(5, BEFORE, Stop(last, last + timedelta(days=30))).day == last


def test_holidays_that_are_not_known_make_it_provisional() -> None:
    last = CALENDAR.known_until
    assert not due(1, last - timedelta(days=10)).provisional
    assert due(18, last - timedelta(days=10)).provisional
    assert due(1, last - timedelta(days=10), Stop(last - timedelta(days=10), last)).provisional


DAYS = st.dates(date(2010, 1, 1), date(2025, 6, 1))
WITHIN = st.integers(1, 40)


@given(DAYS, WITHIN, st.integers(0, 60), st.data())
def test_a_stop_of_n_working_days_moves_the_last_day_by_n(
    opened_on: date, within: int, n: int, data: st.DataObject
) -> None:
    begins = CALENDAR.due(opened_on, data.draw(st.integers(0, within - 1))).day
    stop = Stop(begins, CALENDAR.due(begins, n).day)
    assert due(within, opened_on, stop) == CALENDAR.due(opened_on, within + n)


@given(DAYS, WITHIN, st.lists(st.tuples(st.integers(-20, 60), st.integers(0, 40)), max_size=4))
def test_it_is_the_day_that_counting_day_by_day_finds(opened_on: date, within: int, at: list[tuple[int, int]]) -> None:
    stops = [Stop(opened_on + timedelta(n), opened_on + timedelta(n + length)) for n, length in at]
    still = {stop.since + timedelta(k) for stop in stops for k in range(1, (stop.until - stop.since).days + 1)}  # type: ignore[operator]
    day, counted = opened_on, 0
    while counted < within:
        day += timedelta(days=1)
        is_worked = CALENDAR.due(day - timedelta(days=1), 1).day == day
        counted += is_worked and day not in still
    assert due(within, opened_on, *stops).day == day
