"""Working days in China: weekends, public holidays, and the weekend days that are worked to make up for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import chinese_calendar

LAST_KNOWN_DAY = date(max(chinese_calendar.holidays).year, 12, 31)
"""The State Council announces a year's holidays in the November before; the library knows them up to this day."""

_FIRST_KNOWN_DAY = date(min(chinese_calendar.holidays).year, 1, 1)


def due_day(since: date, working_days: int) -> date | None:
    """The last day of a time of so many working days, the day that it begins with (`since`) not counted.

    None where it ends behind what is known of public holidays: it is not guessed.

    >>> due_day(date(2026, 2, 13), 2)  # the Friday before Spring Festival; Saturday the 14th is worked
    datetime.date(2026, 2, 24)
    >>> due_day(date(2026, 11, 20), 2)
    datetime.date(2026, 11, 24)
    """
    for day in _working_days_after(since):
        working_days -= 1
        if not working_days:
            return day
    return None


def working_days_between(since: date, until: date) -> int | None:
    """How many working days there are after `since` up to `until`; None where not all days are known."""
    if until > LAST_KNOWN_DAY or since < _FIRST_KNOWN_DAY:
        return None
    return sum(day <= until for day in _working_days_after(since, until))


def _working_days_after(since: date, until: date = LAST_KNOWN_DAY) -> Iterator[date]:
    if since < _FIRST_KNOWN_DAY:
        return
    day = since + timedelta(days=1)
    while day <= min(until, LAST_KNOWN_DAY):
        if chinese_calendar.is_workday(day):
            yield day
        day += timedelta(days=1)
