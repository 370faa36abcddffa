"""Counts the records on Kafka and compares them with the ledger's database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, select

from exchange import names
from exchange.audit.reread import Report, Reread, count, plain_records, source_topics
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.epochs import latest_epoch
from exchange.ledger import tables
from exchange.ledger.store import LedgerStore
from exchange.names import Partition

_e, _o, _g, _r = tables.entries.c, tables.outcomes.c, tables.grants.c, tables.runs.c


@dataclass(frozen=True)
class Comparison:
    """One partition: the records of committed entries, and those that Kafka holds.

    `pending` source records come after the last entry: no router decided them yet. If Kafka no longer keeps the oldest
    records, a source is compared from the first one kept. Such an inbox cannot be compared, nor can a source partition
    that no longer exists (its topic was deleted, or created anew with fewer partitions): `compared` is then False.
    """

    topic: str
    partition: int
    ledger: int
    kafka: int
    pending: int
    compared: bool = True

    @property
    def balanced(self) -> bool:
        """Whether both counts agree, or cannot be compared."""
        return self.ledger == self.kafka or not self.compared


def behind(cluster: Cluster, store: LedgerStore) -> int:
    """The number of ledger offsets that the database does not contain yet."""
    taken = store.positions()
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        ends = consumer.end_offsets([(names.LEDGER_TOPIC, p) for p in consumer.partitions(names.LEDGER_TOPIC)])
    return sum(max(0, end - taken.get(place, 0)) for place, end in ends.items())


def reconcile(cluster: Cluster, store: LedgerStore, subject: str | None, report: Report) -> list[Comparison]:
    """Compare the contract's source topics, and the source and inbox topics that committed entries name.

    What was replayed into inboxes is included. Call it on a quiet system, or after routers and follower have caught up:
    deliveries made meanwhile are on Kafka before they are in the database.
    """
    only = [_e.topic == names.subject_topic(subject)] if subject else []
    covered = (
        select(_e.topic, _e.partition, func.max(_r.first + _r.count))
        .join_from(tables.entries, tables.runs, _r.entry_id == _e.id)
        .where(_e.state == "committed", _e.replay.is_(None), _e.topic != names.CONTRACT_TOPIC, of_todays_topic(), *only)
        .group_by(_e.topic, _e.partition)
    )
    ends = {(topic, partition): int(end) for topic, partition, end in store.rows(covered)}
    delivered = (
        select(_g.reader, _g.subject, _e.partition, func.sum(_o.delivered + _o.withdrawals))
        .join_from(tables.entries, tables.outcomes, _o.entry_id == _e.id)
        .join(tables.grants, and_(_g.epoch == _e.epoch, _g.id == _o.grant_id))
        .where(_e.state == "committed", *only)
        .group_by(_g.reader, _g.subject, _e.partition)
    )
    inboxes = {
        (names.inbox_topic(reader, of), partition): int(records)
        for reader, of, partition, records in store.rows(delivered)
    }
    topics = {topic for topic, _ in ends} | source_topics(latest_epoch(cluster), subject)
    sources = _compare_sources(Reread(cluster, topics), store, ends, report)
    return [*sources, *_compare_inboxes(cluster, inboxes, report)]


def _compare_sources(
    reread: Reread, store: LedgerStore, ends: Mapping[Partition, int], report: Report
) -> Iterator[Comparison]:
    """Compare each source partition; `ends` holds the offset after the last one that an entry covers."""
    routed, pending = Counter[Partition](), Counter[Partition]()
    for batch in reread:
        place, header, records = (batch.topic, batch.partition), batch.header, count(batch)
        report(batch.topic, records)
        end = ends.get(place, 0)
        before = records if header.next_offset <= end else 0
        if header.base_offset < end < header.next_offset:
            before = sum(record.offset < end for record in plain_records(batch))
        routed[place] += before
        pending[place] += records - before
    for place in sorted(ends.keys() | pending.keys()):
        ledger = _covered_from(store, place, reread.starts.get(place, 0))
        yield Comparison(*place, ledger, routed[place], pending[place], compared=place in reread.starts)


def _covered_from(store: LedgerStore, place: Partition, start: int) -> int:
    """The number of source records from offset `start` on that committed entries of the live flow cover."""
    end = _r.first + _r.count
    kept = case((_r.first >= start, _r.count), (end > start, end - start), else_=0)
    query = select(func.sum(kept)).join_from(tables.entries, tables.runs, _r.entry_id == _e.id)
    here = (_e.topic == place[0], _e.partition == place[1])
    query = query.where(_e.state == "committed", _e.replay.is_(None), of_todays_topic(), *here)
    return int(store.rows(query)[0][0] or 0)


def of_todays_topic() -> ColumnElement[bool]:
    """Whether an entry is about the source topic that exists today, not one that was deleted and created anew since."""
    later, gap = tables.entries.alias(), tables.gaps.c
    of_gap = (gap.entry_id == later.c.id) & (gap.cause == "recreated") & gap.accepted
    found = select(later.c.id).join_from(later, tables.gaps, of_gap)
    found = found.where(later.c.topic == _e.topic, later.c.partition == _e.partition, later.c.id > _e.id)
    return ~found.correlate(tables.entries).exists()


def _compare_inboxes(cluster: Cluster, delivered: Mapping[Partition, int], report: Report) -> Iterator[Comparison]:
    reread = Reread(cluster, {topic for topic, _ in delivered})
    held = Counter[Partition]()
    for batch in reread:
        records = count(batch)
        report(batch.topic, records)
        held[batch.topic, batch.partition] += records
    for place in sorted(delivered.keys() | held.keys()):
        whole = reread.starts.get(place, 0) == 0
        yield Comparison(*place, delivered.get(place, 0), held[place], 0, compared=whole)
