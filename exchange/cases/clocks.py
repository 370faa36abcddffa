"""Until when an item is to be answered and a case to be decided, in working days; pure.

The day on which a time begins does not count, as everywhere in `exchange.workdays`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from exchange.cases.case_type import CaseType, Item
from exchange.workdays import Calendar, Due


@dataclass(frozen=True)
class Stop:
    """A time in which the clock of a case stands still: from the day of a question to the day of its answer.

    `until`: None while the answer is awaited.
    """

    since: date
    until: date | None


def answer_due(item: Item, asked_on: date, calendar: Calendar) -> Due:
    """The last day on which the answer to a question of that day is in time."""
    return calendar.due(asked_on, item.within)


def reminder_due(item: Item, asked_on: date, calendar: Calendar) -> Due | None:
    """The day on which the department is reminded of a question of that day; None if the item reminds nobody."""
    return None if item.remind is None else calendar.due(asked_on, item.remind)


def case_due(case_type: CaseType, opened_on: date, stops: Collection[Stop], today: date, calendar: Calendar) -> Due:
    """The last day on which a case that was opened on that day is decided in time; see `due_with_stops`."""
    return due_with_stops(opened_on, case_type.within, stops, today, calendar)


def due_with_stops(since: date, working_days: int, stops: Collection[Stop], today: date, calendar: Calendar) -> Due:
    """The last day of a period of `working_days` whose clock stands still at times.

    Working days after a stop's first day, up to its last, do not count, and count once if several stops have them. For
    an answer that is still awaited the day is that which would hold if the answer came `today`.
    """
    due, left = Due(since, provisional=False), working_days
    while left:
        next_ = calendar.due(due.day, 1)
        due = Due(next_.day, due.provisional or next_.provisional)
        left -= not any(stop.since < due.day <= (stop.until or today) for stop in stops)
    return due
