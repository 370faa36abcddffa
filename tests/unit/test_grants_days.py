"""Working days around holidays and the Saturdays and Sundays that make up for them."""

from __future__ import annotations

from datetime import date

import pytest

from exchange.grants.days import LAST_KNOWN_DAY, due_day


@pytest.mark.parametrize(
    ("since", "days", "due"),
    [
        ("2026-06-01", 2, "2026-06-03"),  # Monday: the day itself is not counted
        ("2026-06-05", 1, "2026-06-08"),  # Friday
        ("2026-06-06", 1, "2026-06-08"),  # Saturday counts like the Friday before
        # Spring Festival 2026: 15 to 23 February off, Saturdays 14 and 28 February worked.
        ("2026-02-13", 1, "2026-02-14"),
        ("2026-02-13", 2, "2026-02-24"),
        ("2026-02-14", 2, "2026-02-25"),
        ("2026-02-18", 1, "2026-02-24"),  # submitted on the holiday itself
        ("2026-02-24", 4, "2026-02-28"),
        ("2026-02-10", 7, "2026-02-26"),
        # New Year 2026: 1 to 3 January off, Sunday the 4th worked.
        ("2025-12-30", 2, "2026-01-04"),
        # National Day 2026: 1 to 7 October off, Sunday 20 September and Saturday 10 October worked.
        ("2026-09-18", 1, "2026-09-20"),
        ("2026-09-30", 3, "2026-10-10"),
    ],
)
def test_due_days(since: str, days: int, due: str) -> None:
    assert due_day(date.fromisoformat(since), days) == date.fromisoformat(due)


def test_what_is_not_known_is_not_guessed() -> None:
    last = LAST_KNOWN_DAY
    assert due_day(last, 1) is None
    assert due_day(last.replace(day=20), 60) is None
    assert due_day(last.replace(year=last.year + 3), 1) is None
    assert due_day(date(1999, 6, 1), 2) is None
