"""Which notice of a grant's end is due on a day; pure."""

from __future__ import annotations

from datetime import date

NOTICE_DAYS = (7, 30, 45, 90)
"""A notice is given when this many days or fewer are left; listed from the last notice to the first."""


def notice_due(until: date, today: date) -> int | None:
    """The notice that is due: the latest whose day has come; None before the first and after the grant's end.

    If a grant is first checked late, it gets one notice, not four.

    >>> notice_due(date(2026, 12, 31), date(2026, 12, 10)), notice_due(date(2026, 12, 31), date(2026, 6, 1))
    (30, None)
    """
    left = (until - today).days
    return next((days for days in NOTICE_DAYS if 0 <= left <= days), None)
