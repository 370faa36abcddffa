"""How much grants with a quota have delivered on a day, and how much remains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from exchange import names
from exchange.bus import Cluster
from exchange.bus.record import Record
from exchange.bus.shared_log import SharedLog
from exchange.contract.model import Grant
from exchange.contract.period import city_day, moment_of
from exchange.contract.quota import CLAIMS, USES, Claims, day_from_ms, decode_claim, decode_use
from exchange.epochs import latest_epoch
from exchange.errors import ConfigError


class NoSuchQuotaError(ConfigError):
    """The contract in force has no such grant, or it has no quota."""

    code = "no-quota"
    remedy = "see `exchange grant list`"


@dataclass(frozen=True)
class QuotaDay:
    """A grant's records of one day: `delivered` so far, and `claimed` by routers, delivered or not."""

    grant: Grant
    day: date
    delivered: int
    claimed: int

    @property
    def remaining(self) -> int | None:
        """The records of the day that nobody has claimed; None if the day is not limited."""
        per_day = self.grant.quota.records_per_day
        return None if per_day is None else max(0, per_day - self.claimed)


def quotas_of(cluster: Cluster, now: datetime, *, department: str = "", grant_id: str | None = None) -> list[QuotaDay]:
    """For each grant in force with a quota, its numbers for the day of `now`.

    With a `department`, of what it reads and of what others read of it; with a `grant_id`, of that grant alone:
    NoSuchQuotaError if there is none such with a quota.
    """
    newest, day = latest_epoch(cluster), city_day(now)
    grants = [
        grant
        for grant in (newest.epoch.contract.grants if newest else ())
        if grant.quota.is_limited
        and grant_id in (None, grant.id)
        and department in ("", grant.reader, grant.subject.partition(".")[0])
    ]
    if grant_id and not grants:
        whose = f" of {department}" if department else ""
        raise NoSuchQuotaError(f"the contract in force has no grant {grant_id}{whose} with a quota")
    if not grants:
        return []
    claims, used = Claims(), Counter[str]()
    for record in _records(cluster, CLAIMS, now):
        claims.take(decode_claim(record.value or b""), moment_of(record.timestamp_ms))
    for record in _records(cluster, USES, now):
        use = decode_use(record.value or b"")
        used[use.grant] += use.records if use.day == day else 0
    return [QuotaDay(grant, day, used[grant.id], claims.claimed(grant.id, day)) for grant in grants]


def _records(cluster: Cluster, partition: int, now: datetime) -> Iterator[Record]:
    with SharedLog(cluster, names.QUOTA_TOPIC, partition, since_ms=day_from_ms(now)) as log:
        yield from log.read_to(log.end())
