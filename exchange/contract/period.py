"""The city's days, and which grants are in force on them."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from exchange.contract.model import Contract, Grant

CITY_TIME = ZoneInfo("Asia/Shanghai")


def city_day(now: datetime) -> date:
    """The day in the city at that moment; `now` has a time zone.

    >>> from datetime import UTC
    >>> city_day(datetime(2025, 12, 31, 16, 0, tzinfo=UTC))
    datetime.date(2026, 1, 1)
    """
    if now.tzinfo is None:
        raise ValueError("a moment without time zone has no day")
    return now.astimezone(CITY_TIME).date()


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
