"""Count the records on Kafka and compare with what the ledger's database says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import and_, case, func, select

from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.contract import names
from exchange.ledger import tables
from exchange.ledger.reread import Reread, plain_records
from exchange.ledger.store import Store

_e, _o, _g, _r = tables.entries.c, tables.outcomes.c, tables.grants.c, tables.runs.c


@dataclass(frozen=True)
class Comparison:
    """One partition: records that committed entries speak of, and those that Kafka holds.

    `pending` source records come after the last entry: not yet routed. Where Kafka no longer keeps
    the oldest records, a source is compared from there on; an inbox cannot be and is not `compared`.
    """

    topic: str
    partition: int
    ledger: int
    kafka: int
    pending: int
    compared: bool = True

    @property
    def balanced(self) -> bool:
        """Whether both counts agree, where they can be compared."""
        return self.ledger == self.kafka or not self.compared


def behind(cluster: Cluster, store: Store) -> int:
    """How many offsets of the ledger topic the database has not taken in yet."""
    taken = store.positions()
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        ends = consumer.end_offsets([(names.LEDGER, p) for p in consumer.partitions(names.LEDGER)])
    return sum(max(0, end - taken.get(place, 0)) for place, end in ends.items())


def reconcile(
    cluster: Cluster, store: Store, subject: str | None, report: Callable[[str, int], None]
) -> list[Comparison]:
    """Compare every source and inbox partition that a committed entry names; `report` gets topic and records read.

    Count on a quiet system, or after the routers and the follower have caught up: deliveries made
    meanwhile are on Kafka before they are in the database.
    """
    only = [_e.topic == names.subject_topic(subject)] if subject else []
    covered = (
        select(_e.topic, _e.partition, func.max(_r.first + _r.count))
        .join_from(tables.entries, tables.runs, _r.entry_id == _e.id)
        .where(_e.state == "committed", _e.topic != names.CONTRACT, *only)
        .group_by(_e.topic, _e.partition)
    )
    ends: dict[str, dict[int, int]] = {}
    for topic, partition, end in store.rows(covered):
        ends.setdefault(topic, {})[partition] = int(end)
    delivered = (
        select(_g.reader, _g.subject, _e.partition, func.sum(_o.delivered))
        .join_from(tables.entries, tables.outcomes, _o.entry_id == _e.id)
        .join(tables.grants, and_(_g.epoch == _e.epoch, _g.id == _o.grant_id))
        .where(_e.state == "committed", *only)
        .group_by(_g.reader, _g.subject, _e.partition)
    )
    inboxes: dict[str, dict[int, int]] = {}
    for reader, of, partition, records in store.rows(delivered):
        inboxes.setdefault(names.inbox_topic(reader, of), {})[partition] = int(records)
    found = []
    for topic in sorted(ends):
        found += _compare_source(cluster, store, topic, ends[topic], report)
    for topic in sorted(inboxes):
        found += _compare_inbox(cluster, topic, inboxes[topic], report)
    return found


def _compare_source(
    cluster: Cluster, store: Store, topic: str, ends: dict[int, int], report: Callable[[str, int], None]
) -> list[Comparison]:
    reread = Reread(cluster, topic)
    routed, pending = dict.fromkeys(ends, 0), dict.fromkeys(ends, 0)
    for batch in reread:
        count, header, end = batch.header.records, batch.header, ends.get(batch.partition)
        report(topic, count)
        if end is None:
            continue
        before = count if header.next_offset <= end else 0
        if header.base_offset < end < header.next_offset:
            before = sum(record.offset < end for record in plain_records(batch))
        routed[batch.partition] += before
        pending[batch.partition] += count - before
    found = []
    for partition in sorted(ends):
        start = reread.starts.get(partition, 0)
        ledger = _covered_from(store, topic, partition, start)
        found.append(Comparison(topic, partition, ledger, routed[partition], pending[partition]))
    return found


def _covered_from(store: Store, topic: str, partition: int, start: int) -> int:
    """How many source records from offset `start` on the committed entries cover."""
    end = _r.first + _r.count
    kept = case((_r.first >= start, _r.count), (end > start, end - start), else_=0)
    query = select(func.sum(kept)).join_from(tables.entries, tables.runs, _r.entry_id == _e.id)
    query = query.where(_e.state == "committed", _e.topic == topic, _e.partition == partition)
    return int(store.rows(query)[0][0] or 0)


def _compare_inbox(
    cluster: Cluster, topic: str, delivered: dict[int, int], report: Callable[[str, int], None]
) -> list[Comparison]:
    reread = Reread(cluster, topic)
    counts = dict.fromkeys(delivered, 0)
    for batch in reread:
        report(topic, batch.header.records)
        counts[batch.partition] = counts.get(batch.partition, 0) + batch.header.records
    return [
        Comparison(topic, p, delivered.get(p, 0), counts[p], 0, reread.starts.get(p, 0) == 0) for p in sorted(counts)
    ]
