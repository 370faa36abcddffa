"""Which notice of a grant's end is due on a day; pure."""

from __future__ import annotations

from datetime import date

NOTICE_DAYS = (7, 30, 45, 90)
"""A notice is given when so many days or fewer are left, from the last one to the first."""


def notice_due(until: date, today: date) -> int | None:
    """The notice that is due: of those whose day has come the last one; None before all, and after the end.

    A grant that is first looked at late gets one notice, not four.

    >>> notice_due(date(2026, 12, 31), date(2026, 12, 10)), notice_due(date(2026, 12, 31), date(2026, 6, 1))
    (30, None)
    """
    left = (until - today).days
    return next((days for days in NOTICE_DAYS if 0 <= left <= days), None)
