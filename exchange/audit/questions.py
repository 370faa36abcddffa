"""Auditors' questions to the ledger's database: what was exchanged, and does it balance?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, case, func, or_, select

from exchange import names
from exchange.gap import Gap
from exchange.ledger import tables
from exchange.ledger.store import LedgerStore

_e, _o, _g = tables.entries.c, tables.outcomes.c, tables.grants.c
_GRANT_OF_OUTCOME = and_(_g.epoch == _e.epoch, _g.id == _o.grant_id)
_GRANT_IN_FORCE = and_(_g.epoch == _e.epoch, _g.topic == _e.topic, _e.day.between(_g.from_day, _g.until_day))
_COMMITTED = and_(_e.state == "committed", _e.topic != names.CONTRACT_TOPIC, _e.count > 0)
_LIVE = _e.replay.is_(None)


@dataclass(frozen=True)
class Selection:
    """What a question is about; times in ms since 1970, `until_ms` exclusive; None means all."""

    since_ms: int | None = None
    until_ms: int | None = None
    subject: str | None = None
    reader: str | None = None
    grant: str | None = None

    def of_entries(self) -> list[ColumnElement[bool]]:
        """The conditions that an entry must meet."""
        return [
            *([_e.time_ms >= self.since_ms] if self.since_ms is not None else []),
            *([_e.time_ms < self.until_ms] if self.until_ms is not None else []),
            *([_e.topic == names.subject_topic(self.subject)] if self.subject else []),
        ]

    def of_grants(self) -> list[ColumnElement[bool]]:
        """The conditions that an entry and a grant joined with it must meet."""
        return [
            *self.of_entries(),
            *([_g.reader == self.reader] if self.reader else []),
            *([_g.id == self.grant] if self.grant else []),
        ]


def unknown(store: LedgerStore, selection: Selection) -> list[str]:
    """What the selection names though no grant in the database has it: nothing will be found."""
    asked = (
        ("subject", _g.subject, selection.subject),
        ("reader", _g.reader, selection.reader),
        ("id", _g.id, selection.grant),
    )
    with store.snapshot() as connection:
        return [
            f"no grant in the ledger's database has the {what} '{name}'"
            for what, column, name in asked
            if name and not connection.execute(select(column).where(column == name).limit(1)).first()
        ]


@dataclass
class Exchanged:
    """What one grant's reader got of one subject on one day of the city, in the live flow or in a `replay`."""

    day: str
    subject: str
    reader: str
    grant: str
    replay: str | None
    purpose: str
    records: int
    delivered: int
    bytes: int
    quarantined: int
    withheld: dict[str, int] = field(default_factory=dict)
    withdrawn: dict[str, int] = field(default_factory=dict)


def exchanged(store: LedgerStore, selection: Selection) -> list[Exchanged]:
    """What was exchanged (in committed entries) by day, subject, reader, grant and replay."""
    per = (_e.day, _g.subject, _g.reader, _g.id, _e.replay)
    joined = tables.entries.join(tables.outcomes, _o.entry_id == _e.id).join(tables.grants, _GRANT_OF_OUTCOME)
    sums = (func.sum(_e.count), func.sum(_o.delivered), func.sum(_o.bytes), func.sum(_e.quarantined))
    totals = select(*per, func.max(_g.purpose), *sums).select_from(joined)
    totals = totals.where(_COMMITTED, *selection.of_grants()).group_by(*per).order_by(*per)
    with store.snapshot() as connection:
        rows: Iterable[Any] = connection.execute(totals)
        found = {tuple(row[:5]): Exchanged(*row[:6], *map(int, row[6:])) for row in rows}
        for table in (tables.withheld, tables.withdrawn):
            why = joined.join(table, and_(table.c.entry_id == _e.id, table.c.grant_id == _o.grant_id))
            counts = select(*per, table.c.reason, func.sum(table.c.count)).select_from(why)
            counts = counts.where(_COMMITTED, *selection.of_grants()).group_by(*per, table.c.reason)
            for row in connection.execute(counts.order_by(table.c.reason)):
                one = found[tuple(row[:5])]
                (one.withheld if table is tables.withheld else one.withdrawn)[row[5]] = int(row[6])
    return list(found.values())


@dataclass(frozen=True)
class GrantBalance:
    """Conservation for one grant on one source partition, over all entries under which the grant was in force.

    Each `replay` of the grant is counted separately, over its own entries.
    """

    subject: str
    partition: int
    grant: str
    reader: str
    replay: str | None
    records: int
    delivered: int
    withheld: int
    withdrawn: int
    quarantined: int

    @property
    def balanced(self) -> bool:
        """Whether every record ended as exactly one of delivered, withheld, withdrawn and quarantined."""
        return self.records == self.delivered + self.withheld + self.withdrawn + self.quarantined


def balance_of_grants(store: LedgerStore, selection: Selection) -> list[GrantBalance]:
    """Per source partition and grant: the records for which the grant was in force, and what became of them."""
    per = (_e.topic, _e.partition, _g.id, _g.reader, _e.replay)
    decided = and_(_o.entry_id == _e.id, _o.grant_id == _g.id)
    joined = tables.entries.join(tables.grants, _GRANT_IN_FORCE).join(tables.outcomes, decided, isouter=True)
    sums = (
        func.sum(_e.count),
        func.sum(func.coalesce(_o.delivered, 0)),
        func.sum(func.coalesce(_o.withheld, 0)),
        func.sum(func.coalesce(_o.withdrawn, 0)),
        func.sum(case((_o.grant_id.is_(None), 0), else_=_e.quarantined)),
    )
    concerned = or_(_LIVE, _o.grant_id.is_not(None))  # a replay concerns one grant, whatever others are in force
    query = select(*per, *sums).select_from(joined).where(concerned)
    rows = store.rows(query.where(_COMMITTED, *selection.of_grants()).group_by(*per).order_by(*per))
    return [
        GrantBalance(names.subject_of(topic), p, grant, reader, replay, *map(int, n))
        for topic, p, grant, reader, replay, *n in rows
    ]


@dataclass(frozen=True)
class PartitionBalance:
    """What the committed entries of a source partition cover: `records` in the live flow, `replayed` in replays.

    `twice` counts offsets that two entries of the live flow, or of one replay, cover. `unauthorised` counts deliveries,
    in replays too, to a grant that was not in force under the entry's epoch on its day.
    """

    subject: str
    partition: int
    entries: int
    records: int
    quarantined: int
    replayed: int
    twice: int
    unauthorised: int

    @property
    def balanced(self) -> bool:
        """Whether no record is covered twice and none was delivered without a grant."""
        return not self.twice and not self.unauthorised


def balance_of_partitions(store: LedgerStore, selection: Selection) -> list[PartitionBalance]:
    """Per source partition: what is covered, what is covered twice, and what was delivered without a grant."""
    per = (_e.topic, _e.partition)
    live = (func.sum(case((_LIVE, number), else_=0)) for number in (1, _e.count, _e.quarantined))
    sums = (*live, func.sum(case((_LIVE, 0), else_=_e.count)))
    covered = select(*per, *sums).where(_COMMITTED, *selection.of_entries()).group_by(*per).order_by(*per)

    run = tables.runs.c
    flow = (*per, _e.replay, _incarnation())
    before = func.max(run.first + run.count).over(partition_by=flow, order_by=run.first, rows=(None, -1))
    runs = (
        select(*per, run.first, (run.first + run.count).label("end"), before.label("before"))
        .join_from(tables.entries, tables.runs, run.entry_id == _e.id)
        .where(_COMMITTED, *selection.of_entries())
        .subquery()
    )
    overlap = case((runs.c.before < runs.c.end, runs.c.before), else_=runs.c.end) - runs.c.first
    source = (runs.c.topic, runs.c.partition)
    twice = select(*source, func.sum(overlap)).where(runs.c.before > runs.c.first).group_by(*source)

    in_force = and_(_GRANT_IN_FORCE, _g.id == _o.grant_id)
    joined = tables.entries.join(tables.outcomes, _o.entry_id == _e.id).join(tables.grants, in_force, isouter=True)
    unauthorised = select(*per, func.sum(_o.delivered)).select_from(joined).where(_g.id.is_(None))
    unauthorised = unauthorised.where(_COMMITTED, *selection.of_entries()).group_by(*per)

    doubles = {tuple(row[:2]): int(row[2]) for row in store.rows(twice)}
    strays = {tuple(row[:2]): int(row[2]) for row in store.rows(unauthorised)}
    return [
        PartitionBalance(
            subject=names.subject_of(topic),
            partition=partition,
            entries=int(entries),
            records=int(records),
            quarantined=int(quarantined),
            replayed=int(replayed),
            twice=doubles.get((topic, partition), 0),
            unauthorised=strays.get((topic, partition), 0),
        )
        for topic, partition, entries, records, quarantined, replayed in store.rows(covered)
    ]


def _incarnation() -> ScalarSelect[int]:
    """For an entry: how often its source topic had been deleted and created anew, so that offsets began at 0 again."""
    earlier = tables.entries.alias()
    of_gap = (earlier.c.id == tables.gaps.c.entry_id) & (earlier.c.topic == _e.topic)
    anew = (tables.gaps.c.cause == "recreated") & tables.gaps.c.accepted
    before = select(func.count()).select_from(earlier.join(tables.gaps, of_gap & anew))
    before = before.where(earlier.c.partition == _e.partition, earlier.c.id < _e.id)
    return before.correlate(tables.entries).scalar_subquery()


@dataclass(frozen=True)
class Undecided:
    """Records of a source partition deleted before a router decided them; `offsets`: their number, if known.

    `epoch` is the one that accepts the loss, so that the routers went on; None: the partition stands still.
    """

    subject: str
    partition: int
    first: int
    next: int
    cause: str
    offsets: int | None
    time_ms: int
    epoch: int | None

    @property
    def balanced(self) -> bool:
        """Whether a person has accepted the loss."""
        return self.epoch is not None


def undecided(store: LedgerStore, selection: Selection) -> list[Undecided]:
    """Every gap that routers found, listed once, as they last saw it."""
    g = tables.gaps.c
    query = select(_e.topic, _e.partition, g.first, g.next, g.cause, g.topic_id, _e.time_ms, _e.epoch, g.accepted)
    query = query.join_from(tables.entries, tables.gaps, g.entry_id == _e.id)
    query = query.where(_e.state == "committed", *selection.of_entries()).order_by(_e.time_ms, _e.id)
    found: dict[tuple[str, int, int, str], Undecided] = {}
    for topic, partition, first, next_, cause, topic_id, time_ms, epoch, accepted in store.rows(query):
        gap = Gap(topic, partition, first, next_, cause, topic_id)
        # An administrator accepts a gap as it then is; records deleted after it make another gap.
        found[topic, partition, first, topic_id] = Undecided(
            names.subject_of(topic), partition, first, next_, cause, gap.offsets, time_ms, epoch if accepted else None
        )
    return list(found.values())
