"""A router's part in the quotas: it claims what it is about to deliver, and reuses claims that it could not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import date
from typing import Self

from exchange import names
from exchange.bus import Cluster
from exchange.bus.connection import BusUnavailableError
from exchange.bus.record import Record
from exchange.bus.shared_log import SharedLog
from exchange.contract.model import Grant, Quota
from exchange.contract.period import city_day, moment_of
from exchange.contract.quota import (
    CLAIMS,
    USES,
    Allowance,
    Claim,
    Claims,
    Use,
    day_from_ms,
    decode_claim,
    decode_use,
    encode,
)
from exchange.errors import TransientError
from exchange.router import report
from exchange.router.clock import BrokerClock

Key = tuple[str, date]


class NoQuotaError(TransientError):
    """What is left of a grant's quota cannot be learned or claimed now."""

    code = "quota-unclaimed"
    remedy = "`exchange apply` makes the topic again if it is missing"


class Quotas:
    """What the router `instance` may deliver under quotas.

    It connects when first asked. For each transaction, call `allow` for every view, then `begin`, then `committed`. If
    the transaction fails, call `give_up` instead, once the next producer is open: what the lost transaction had
    claimed is kept for later.
    """

    def __init__(self, cluster: Cluster, instance: str, clock: BrokerClock) -> None:
        self._instance = instance
        self._clock = clock
        self._cluster = cluster
        self._logs: tuple[SharedLog, SharedLog] | None = None  # of claims and of uses
        self._is_lost = True
        self._forget()

    def _forget(self) -> None:
        self._claims = Claims()
        self._own: Counter[Key] = Counter()
        self._known_used: Counter[Key] = Counter()  # as far as the log of uses was read
        self._used: Counter[Key] = Counter()
        self._deciding: Counter[Key] = Counter()
        self._writing: Counter[Key] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        logs, self._logs = self._logs, None
        for log in logs or ():
            log.close()

    def allow(self, grant: str, quota: Quota, records: int) -> int:
        """How many of `records` the grant may get now (`step`'s `Allow`); raises NoQuotaError if that is unknown."""
        try:
            return self._claim(self._know(), grant, quota, records)
        except TransientError as error:
            self.close()
            self._forget()
            self._is_lost = True
            remedy = f"`exchange apply` makes {names.QUOTA_TOPIC} again if it is missing"
            raise NoQuotaError(f"quotas are not known: {error.message}", remedy=remedy) from error

    def _know(self) -> SharedLog:
        """The log of claims; after a lost transaction, first read both logs again to their end."""
        claims, uses = self._logs = self._logs or self._connect()
        if self._is_lost:
            self._recover(claims, uses)
        return claims

    def _connect(self) -> tuple[SharedLog, SharedLog]:
        begin_ms = day_from_ms(self._clock.now())
        with ExitStack() as stack:
            claims, uses = (
                stack.enter_context(SharedLog(self._cluster, names.QUOTA_TOPIC, partition, since_ms=begin_ms))
                for partition in (CLAIMS, USES)
            )
            stack.pop_all()
        return claims, uses

    def _claim(self, log: SharedLog, grant: str, quota: Quota, records: int) -> int:
        day = city_day(self._clock.now())
        kept = self._kept(grant, day)
        left = _left(quota, self._claims.claimed(grant, day))
        if left == 0 and kept == 0:
            return 0  # claims are never returned, so nothing can become free before the next day
        claim = Claim(grant=grant, router=self._instance, asked=records, kept=kept, day=day, quota=quota)
        offset = log.append(grant.encode(), encode(claim))
        given = self._read_claims(log, offset + 1).get(offset)
        if given is None:
            raise BusUnavailableError(f"{names.QUOTA_TOPIC} was created again: a claim is not where it was appended")
        self._deciding[grant, given.day] += given.records
        report.quota(grant, _left(quota, self._claims.claimed(grant, given.day)))
        return given.records

    def begin(self) -> list[Use]:
        """The uses that were allowed since the last call; write them in the transaction that delivers the records."""
        self._writing, self._deciding = self._deciding, Counter()
        return [
            Use(grant=grant, router=self._instance, day=day, records=records)
            for (grant, day), records in self._writing.items()
            if records
        ]

    def committed(self) -> None:
        """Note that the transaction is committed."""
        self._used += self._writing
        self._writing = Counter()

    def give_up(self) -> None:
        """Note that nothing is under way; before the next claim, the logs say what was claimed and committed."""
        self._is_lost = True
        self._deciding, self._writing = Counter(), Counter()

    def _recover(self, claims: SharedLog, uses: SharedLog) -> None:
        self._read_claims(claims, claims.end())
        for record in uses.read_to(uses.end()):
            use = decode_use(record.value or b"")
            if use.router == self._instance:
                self._known_used[use.grant, use.day] += use.records
        self._used = self._known_used.copy()
        self._deciding, self._writing = Counter(), Counter()
        self._is_lost = False

    def show(self, grants: Iterable[Grant]) -> None:
        """Show what remains today of these grants' quotas, if that is known."""
        limited = [grant for grant in grants if grant.quota.is_limited]
        try:
            if limited:
                self._know()
        except TransientError:
            return  # the next claim says why
        day = city_day(self._clock.now())
        for grant in limited:
            report.quota(grant.id, _left(grant.quota, self._claims.claimed(grant.id, day)))

    def _kept(self, grant: str, day: date) -> int:
        under_way = self._deciding[grant, day] + self._writing[grant, day]
        return max(0, self._own[grant, day] - self._used[grant, day] - under_way)

    def _read_claims(self, log: SharedLog, end: int) -> dict[int, Allowance]:
        """What the claims appended since the last call give, by offset."""
        return {record.offset: self._take(record) for record in log.read_to(end)}

    def _take(self, record: Record) -> Allowance:
        claim = decode_claim(record.value or b"")
        given = self._claims.take(claim, moment_of(record.timestamp_ms))
        if claim.router == self._instance:
            self._own[claim.grant, given.day] += given.fresh
        return given


def _left(quota: Quota, claimed: int) -> int | None:
    """The records of the day that nobody has claimed; None if the day is not limited."""
    return None if quota.records_per_day is None else max(0, quota.records_per_day - claimed)
