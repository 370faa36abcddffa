"""Notices of grants' ends, and measures of the requests that wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from exchange import metrics
from exchange.contract.period import city_day, end_of
from exchange.errors import ConfigError
from exchange.grants.life import OPEN
from exchange.grants.standing import Standing
from exchange.grants.store import GrantStore

NOTICE_DAYS = (7, 30, 45, 90)
"""A notice is given when this many days or fewer are left; listed from the last notice to the first."""


class Notice(NamedTuple):
    """A notice of one grant: it ends in `days` or fewer."""

    standing: Standing
    days: int


def give(store: GrantStore, found: Sequence[Standing], now: datetime, tell: Callable[[list[Notice]], None]) -> None:
    """Call `tell` with the notices that are due and were not given, then note them as given.

    If this is interrupted, a notice may be given twice, but never not at all.
    """
    today = city_day(now)
    with store.writing() as writer:
        tell(
            [
                Notice(one, days)
                for one in found
                if one.days_left is not None and (days := notice_due(one.grant.until, today))
                if writer.notice(one.grant.id, one.grant.until, days, now)
            ]
        )


def measure(path: Path, found: Sequence[Standing], holidays_known: date) -> None:
    """Write how many requests wait and are overdue, and when grants end, for a textfile collector."""
    if path.suffix != ".prom":
        raise ConfigError(f"{path} would not be collected", remedy="let its name end in .prom")
    waiting = Counter(one.state for one in found)
    overdue = Counter(one.state for one in found if one.clock and one.clock.overdue)
    for state in OPEN:
        metrics.GRANT_REQUESTS.labels(state).set(waiting[state])
        metrics.GRANT_REQUESTS_OVERDUE.labels(state).set(overdue[state])
    for one in found:
        if one.days_left is not None:
            metrics.GRANT_EXPIRY.labels(one.grant.id).set(end_of(one.grant.until).timestamp())
    metrics.GRANT_HOLIDAYS_KNOWN.set(end_of(holidays_known).timestamp())
    requests = (metrics.GRANT_REQUESTS, metrics.GRANT_REQUESTS_OVERDUE, metrics.GRANT_HOLIDAYS_KNOWN)
    metrics.write_file(path, *requests, metrics.GRANT_EXPIRY)


def notice_due(until: date, today: date) -> int | None:
    """The notice that is due: the latest whose day has come; None before the first and after the grant's end.

    If a grant is first checked late, it gets one notice, not four.

    >>> notice_due(date(2026, 12, 31), date(2026, 12, 10)), notice_due(date(2026, 12, 31), date(2026, 6, 1))
    (30, None)
    """
    left = (until - today).days
    return next((days for days in NOTICE_DAYS if 0 <= left <= days), None)
