"""Working days around holidays and the Saturdays and Sundays that make up for them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from exchange.workdays import Calendar, Due, HolidaysError, read_calendar


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
    assert Calendar().due(date.fromisoformat(since), days) == Due(date.fromisoformat(due), provisional=False)


def test_what_is_not_known_is_provisional() -> None:
    last = Calendar().known_until
    assert (last.month, last.day) == (12, 31)
    beyond = Calendar().due(last.replace(day=28), 9)
    assert beyond.provisional
    assert (beyond.day - last.replace(day=28)).days in (11, 12, 13)  # weekends alone are left out
    assert not Calendar().due(last.replace(day=28), 1).provisional
    assert Calendar().due(date(1999, 6, 4), 1) == Due(date(1999, 6, 7), provisional=True)


def test_an_administrator_says_what_the_library_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "holidays.yaml"
    file.write_text(
        "# State Council notice\n- year: 2027\n  off: [2027-01-01, 2027-01-04]\n  worked: [2026-12-27, 2027-01-09]\n"
        "- {year: 2029, off: [2029-01-01]}\n"
    )
    calendar = read_calendar(file)
    assert calendar.known_until == date(2027, 12, 31)
    assert calendar.due(date(2026, 12, 28), 7) == Due(date(2027, 1, 8), provisional=False)
    assert calendar.due(date(2027, 1, 7), 2) == Due(date(2027, 1, 9), provisional=False)
    assert calendar.due(date(2026, 12, 25), 1).day == date(2026, 12, 27)
    assert calendar.due(date(2027, 12, 31), 1).provisional
    assert calendar.due(date(2026, 2, 13), 2).day == date(2026, 2, 24)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("2027: []", "not a list of years"),
        ("- 2027", "line 1"),
        ("- {year: 2027}", "line 1: off"),
        ("- {year: 2027, off: [soon]}", "line 1: off.0"),
        ("\n- {year: 2027, off: [2027-01-01], worked: [2027-01-02], no: 1}", "line 2: no"),
        ("- {year: 2027, off: [2026-01-01]}", "2026-01-01 is not of 2027"),
        ("- {year: 2027, off: [2027-01-02], worked: [2027-01-02]}", "off and worked"),
        ("- {year: 2027, off: [2027-01-01], worked: [2027-01-04]}", "not a weekend day"),
        ("- {year: 2027, off: [2027-01-01, *a]}", "alias"),
    ],
)
def test_a_file_of_holidays_with_a_mistake_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "holidays.yaml"
    file.write_text(text)
    with pytest.raises(HolidaysError, match=told):
        read_calendar(file)
    with pytest.raises(HolidaysError, match="cannot be read"):
        read_calendar(tmp_path / "none.yaml")
