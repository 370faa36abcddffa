"""Moments, the city's days, and which grants are in force on them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from exchange.contract.model import Contract, Grant

CITY_TIME = ZoneInfo("Asia/Shanghai")
FOR_EVER = datetime.max.replace(tzinfo=UTC)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)


def city_day(now: datetime) -> date:
    """The day in the city at that moment; `now` has a time zone.

    >>> from datetime import UTC
    >>> city_day(datetime(2025, 12, 31, 16, 0, tzinfo=UTC))
    datetime.date(2026, 1, 1)
    """
    if now.tzinfo is None:
        raise ValueError("a moment without time zone has no day")
    return now.astimezone(CITY_TIME).date()


def midnight(day: date) -> datetime:
    """When the day begins in the city."""
    return datetime.combine(day, time.min, CITY_TIME)


def end_of(day: date) -> datetime:
    """When the day is over in the city; the last day that there can be never is."""
    return FOR_EVER if day == date.max else midnight(day + timedelta(days=1))


def ms_of(moment: datetime) -> int:
    """The whole milliseconds since 1970.

    >>> ms_of(moment_of(1_700_000_000_001))
    1700000000001
    """
    return (moment - _1970) // timedelta(milliseconds=1)


def moment_of(ms: int) -> datetime:
    """The moment that many milliseconds after 1970 began."""
    return _1970 + timedelta(milliseconds=ms)


def in_force(contract: Contract, now: datetime) -> tuple[Grant, ...]:
    """The grants whose period includes this moment's day, first and last day included, in the contract's order."""
    day = city_day(now)
    return tuple(grant for grant in contract.grants if grant.from_ <= day <= grant.until)


def delivering(contract: Contract, subject: str, reader: str, now: datetime) -> Grant | None:
    """The grant by which the reader gets the subject's records: the last that has begun, else the first that will."""
    day = city_day(now)
    grants = sorted((g for g in contract.grants if (g.subject, g.reader) == (subject, reader)), key=lambda g: g.from_)
    begun = [grant for grant in grants if grant.from_ <= day]
    return next(iter([*reversed(begun), *grants]), None)
