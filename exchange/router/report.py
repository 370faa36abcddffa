"""What the router reports of its work as metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from exchange import metrics, names
from exchange.contract.model import Epoch
from exchange.contract.period import end_of
from exchange.names import Partition
from exchange.router.gather import Gathered
from exchange.router.step import Step


def adopted(epoch: Epoch) -> None:
    """Report a new epoch: its number, when each of its grants ends, and all that will be counted under it."""
    metrics.EPOCH.set(epoch.number)
    metrics.GRANT_EXPIRY.clear()
    metrics.QUOTA_REMAINING.clear()
    for grant in epoch.contract.grants:
        metrics.GRANT_EXPIRY.labels(grant.id).set(end_of(grant.until).timestamp())
        metrics.BYTES.labels(grant.subject, "delivered", grant.reader)
        for outcome in ("delivered", "withheld", "withdrawn"):
            metrics.RECORDS.labels(grant.subject, outcome, grant.reader)
        if grant.quota.is_limited:
            metrics.QUOTA_WITHHELD.labels(grant.id)
    for subject in epoch.contract.subjects:
        metrics.BYTES.labels(subject.id, "read", "")
        for outcome in ("read", "quarantined"):
            metrics.RECORDS.labels(subject.id, outcome, "")


def committed(steps: Sequence[Step], gathered: Gathered, readers: Mapping[str, str], now_s: float) -> None:
    """Count the records of a committed transaction; latency is taken from the last record of each source batch.

    `readers`: the reader of each grant.
    """
    for made in steps:
        subject = names.subject_of(made.entry.topic)
        metrics.RECORDS.labels(subject, "read", "").inc(made.entry.count)
        for outcome in made.entry.outcomes:
            for reader in (readers[grant] for grant in outcome.grants):
                metrics.RECORDS.labels(subject, "delivered", reader).inc(outcome.delivered)
                metrics.BYTES.labels(subject, "delivered", reader).inc(outcome.size_bytes)
                metrics.RECORDS.labels(subject, "withheld", reader).inc(sum(w.count for w in outcome.withheld))
                metrics.RECORDS.labels(subject, "withdrawn", reader).inc(sum(w.count for w in outcome.withdrawn))
            for withheld in outcome.withheld:
                if withheld.reason == "quota":
                    metrics.QUOTA_WITHHELD.labels(outcome.grants[0]).inc(withheld.count)
        for bad in made.entry.quarantined:
            metrics.RECORDS.labels(subject, "quarantined", "").inc()
            metrics.QUARANTINED.labels(subject, bad.reason).inc()
    for (topic, _), batches in gathered.batches.items():
        latency = metrics.DELIVERY_LATENCY.labels(names.subject_of(topic))
        metrics.BYTES.labels(names.subject_of(topic), "read", "").inc(sum(len(batch.data) for batch in batches))
        for batch in batches:
            latency.observe(max(0.0, now_s - batch.header.max_timestamp / 1000))


def quota(grant: str, left: int | None) -> None:
    """Report what this router last knew to remain of the grant's day; None if the day is not limited."""
    if left is not None:
        metrics.QUOTA_REMAINING.labels(grant).set(left)


class Lag:
    """How far behind the router is per subject: in offsets that are not yet committed, and in seconds.

    The seconds are the age of the newest moment up to which all records are committed.
    """

    def __init__(self) -> None:
        self._done_s: dict[str, float] = {}
        self._marks: dict[str, tuple[float, dict[Partition, int]]] = {}
        self._at_rest: Mapping[Partition, tuple[int, int]] | None = None  # what was shown, if nothing was behind

    def show(self, done: Mapping[Partition, tuple[int, int]], now_s: float) -> int:
        """Update the gauges from each partition's (committed offset, end); return the sum of records behind.

        A subject whose partitions moved to another router is no longer shown.
        """
        if done == self._at_rest:  # the gauges say so
            self._done_s = dict.fromkeys(self._done_s, now_s)
            return 0
        by_subject: defaultdict[str, dict[Partition, tuple[int, int]]] = defaultdict(dict)
        for place, reached in done.items():
            by_subject[names.subject_of(place[0])][place] = reached
        for subject in self._done_s.keys() - by_subject.keys():
            del self._done_s[subject]
            self._marks.pop(subject, None)
            metrics.LAG_RECORDS.remove(subject)
            metrics.LAG_SECONDS.remove(subject)
        total = 0
        for subject, places in by_subject.items():
            behind = sum(max(0, end - at) for at, end in places.values())
            total += behind
            metrics.LAG_RECORDS.labels(subject).set(behind)
            metrics.LAG_SECONDS.labels(subject).set(now_s - self._reached(subject, places, behind, now_s))
        self._at_rest = None if total else done
        return total

    def _reached(self, subject: str, places: Mapping[Partition, tuple[int, int]], behind: int, now_s: float) -> float:
        """The newest moment up to which all records are known to be committed."""
        marked_s, ends = self._marks.get(subject, (now_s, {}))
        if behind == 0 or subject not in self._done_s:
            self._done_s[subject] = now_s
            self._marks.pop(subject, None)
        elif ends and all(at >= ends.get(place, 0) for place, (at, _) in places.items()):
            self._done_s[subject] = marked_s
            self._marks.pop(subject)
        if behind and subject not in self._marks:
            self._marks[subject] = now_s, {place: end for place, (_, end) in places.items()}
        return self._done_s[subject]
