"""Moments, days in the city's time zone, and which grants are in force on them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exchange.contract.model import Contract, Grant

CITY_TIME = ZoneInfo("Asia/Shanghai")
FOR_EVER = datetime.max.replace(tzinfo=UTC)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)


def city_day(now: datetime) -> date:
    """The day in the city at the moment `now`, which must have a time zone.

    >>> from datetime import UTC
    >>> city_day(datetime(2025, 12, 31, 16, 0, tzinfo=UTC))
    datetime.date(2026, 1, 1)
    """
    if now.tzinfo is None:
        raise ValueError("a moment without time zone has no day")
    return now.astimezone(CITY_TIME).date()


def midnight(day: date) -> datetime:
    """The moment at which the day begins in the city."""
    return datetime.combine(day, time.min, CITY_TIME)


def end_of(day: date) -> datetime:
    """The moment at which the day ends in the city; `date.max` never ends."""
    return FOR_EVER if day == date.max else midnight(day + timedelta(days=1))


def ms_of(moment: datetime) -> int:
    """The moment as whole milliseconds since 1970.

    >>> ms_of(moment_of(1_700_000_000_001))
    1700000000001
    """
    return (moment - _1970) // timedelta(milliseconds=1)


def moment_of(ms: int) -> datetime:
    """The moment `ms` milliseconds after 1970 began."""
    return _1970 + timedelta(milliseconds=ms)


def in_force(contract: Contract, now: datetime) -> tuple[Grant, ...]:
    """The grants in force on this moment's day, in the contract's order; a grant's first and last day are included."""
    day = city_day(now)
    return tuple(grant for grant in contract.grants if grant.from_ <= day <= grant.until)


def delivering(contract: Contract, subject: str, reader: str, now: datetime) -> Grant | None:
    """The grant that gives the reader this subject: the last one that has begun, or else the first one that will."""
    day = city_day(now)
    grants = sorted((g for g in contract.grants if (g.subject, g.reader) == (subject, reader)), key=lambda g: g.from_)
    begun = [grant for grant in grants if grant.from_ <= day]
    return next(iter([*reversed(begun), *grants]), None)


class Interruption(NamedTuple):
    """A reader ceased to be given a subject at `moment`, when `grant` ended, or was revoked; this is how it last was.

    `deletes`: it asks for the deletion of the reader's rows.
    """

    moment: datetime
    grant: Grant
    deletes: bool


def interruption(
    contracts: Iterable[tuple[Contract, datetime]], subject: str, reader: str, now: datetime
) -> Interruption | None:
    """How the reader last ceased to be given the subject, before `now`; None if it never did.

    Each contract comes with the moment at which it came into force, oldest first. What was not given at the first of
    these moments begins later, and has not ceased.
    """
    ceased: Interruption | None = None
    giving: Grant | None = None  # the last one in force
    ended_at, deletes = None, False
    spans = list(contracts)
    for (contract, begin), end in zip(spans, [*(after for _, after in spans[1:]), now], strict=True):
        grants = [grant for grant in contract.grants if (grant.subject, grant.reader) == (subject, reader)]
        moment = begin
        while moment < end:
            day = city_day(moment)
            grant = next((grant for grant in grants if grant.from_ <= day <= grant.until), None)
            said = grant or next((grant for grant in grants if giving is not None and grant.id == giving.id), None)
            if said is not None:
                giving, deletes = said, said.deletes(contract.subject(subject))
            if grant is not None:
                ended_at = None
            elif giving is not None:
                ended_at = ended_at or moment
                ceased = Interruption(ended_at, giving, deletes)
            first = min((grant.from_ for grant in grants if grant.from_ > day), default=None)
            moment = end_of(grant.until) if grant is not None else midnight(first) if first is not None else end
    return ceased
