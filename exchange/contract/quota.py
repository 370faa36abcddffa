"""Quotas as a log of claims; its order decides, so that all routers together never exceed a quota.

Before a router delivers records of a grant with a quota, it appends a claim to partition 0 of `exchange.quota`. What
the claim gives depends only on the claims before it and on the broker's append time, so everyone who reads the log
agrees. Partition 1 holds what was really delivered, written in the router's own transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from pydantic import Field, ValidationError

from exchange import names
from exchange.contract.base import Model
from exchange.contract.model import Quota
from exchange.contract.period import city_day, midnight, ms_of
from exchange.errors import CorruptionError

SLACK = timedelta(hours=1)  # in case a broker's clock was set back
CLAIMS, USES = 0, 1
"""The partitions of `exchange.quota`."""


class QuotaRecordError(CorruptionError):
    """A record of `exchange.quota` is not what its partition holds."""

    code = "quota-record"
    remedy = "see that every router has the same version of the exchange"


class Claim(Model):
    """A router asks to deliver `asked` records of a grant under `quota`.

    `kept`: how many of them earlier claims on `day` already gave, in transactions that were then aborted.
    """

    grant: str
    router: str
    asked: int = Field(ge=1)
    kept: int = Field(ge=0)
    day: date
    quota: Quota


class Use(Model):
    """A router delivered `records` records of a grant; it had claimed them on `day`."""

    grant: str
    router: str
    day: date
    records: int = Field(ge=1)


@dataclass(frozen=True)
class Allowance:
    """What a claim gives: `records` may be delivered, `fresh` of which this claim adds to the count for `day`."""

    records: int
    fresh: int
    day: date


RECORD = TypeVar("RECORD", Claim, Use)


class Claims:
    """Counts what the claims of the log have given; claims must be passed in the log's order.

    Days are the city's, seconds are whole; both by the broker's clock at the time it appended a claim.
    """

    def __init__(self) -> None:
        self._now = datetime.min.replace(tzinfo=UTC)
        self._days: dict[tuple[str, date], int] = {}
        self._second: dict[str, tuple[int, int]] = {}

    def take(self, claim: Claim, appended: datetime) -> Allowance:
        """Count the next claim and say what it gives."""
        # Time never runs back here: if the broker's clock is set back, a second or a day is not given twice.
        self._now = max(self._now, appended)
        day, second = city_day(self._now), int(self._now.timestamp())
        self._forget_days_before(day)
        claimed = self.claimed(claim.grant, day)
        kept = claim.kept if claim.day == day else 0
        records = claim.asked
        if claim.quota.records_per_day is not None:
            # If the quota was lowered meanwhile, `kept` shrinks first.
            kept = max(0, kept - max(0, claimed - claim.quota.records_per_day))
            records = min(records, kept + max(0, claim.quota.records_per_day - claimed))
        if claim.quota.records_per_second is not None:
            records = min(records, max(0, claim.quota.records_per_second - self._in_second(claim.grant, second)))
        fresh = max(0, records - kept)
        self._days[claim.grant, day] = claimed + fresh
        self._second[claim.grant] = (second, self._in_second(claim.grant, second) + records)
        return Allowance(records=records, fresh=fresh, day=day)

    def claimed(self, grant: str, day: date) -> int:
        """How many records of the grant were claimed on that day."""
        return self._days.get((grant, day), 0)

    def _in_second(self, grant: str, second: int) -> int:
        known, records = self._second.get(grant, (second, 0))
        return records if known == second else 0

    def _forget_days_before(self, day: date) -> None:
        if any(known < day for _, known in self._days):
            self._days = {key: records for key, records in self._days.items() if key[1] >= day}


def day_from_ms(now: datetime) -> int:
    """The timestamp from which to read `exchange.quota` for the day of `now`: a little before its midnight."""
    return ms_of(midnight(city_day(now)) - SLACK)


def encode(record: Claim | Use) -> bytes:
    """The record as JSON."""
    return record.model_dump_json().encode()


def decode_claim(value: bytes) -> Claim:
    """The claim in this JSON; raises QuotaRecordError if it is not one."""
    return _decode(Claim, value)


def decode_use(value: bytes) -> Use:
    """The use in this JSON; raises QuotaRecordError if it is not one."""
    return _decode(Use, value)


def _decode(kind: type[RECORD], value: bytes) -> RECORD:
    try:
        return kind.model_validate_json(value)
    except ValidationError as error:
        message = f"a record of {names.QUOTA_TOPIC} is not a {kind.__name__.lower()}: {error.error_count()} mistakes"
        raise QuotaRecordError(message) from error
