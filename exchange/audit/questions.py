"""Auditors' questions to the ledger's database: what was exchanged, does it balance, who got whose records?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, case, func, or_, select

from exchange import names
from exchange.gap import Gap
from exchange.ledger import tables
from exchange.ledger.body import decode
from exchange.ledger.entry import delivered_mask, rows_of
from exchange.ledger.store import LedgerContradictionError, LedgerStore
from exchange.ledger.tag_index import tag_prefix

_e, _o, _g, _w = tables.entries.c, tables.outcomes.c, tables.grants.c, tables.withheld.c
_GRANT_OF_OUTCOME = and_(_g.epoch == _e.epoch, _g.id == _o.grant_id)
_GRANT_IN_FORCE = and_(_g.epoch == _e.epoch, _g.topic == _e.topic, _e.day.between(_g.from_day, _g.until_day))
_FOLLOW_FIRST = "bring the contract's epochs in with `exchange ledger follow --until-idle`"
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


def exchanged(store: LedgerStore, selection: Selection) -> list[Exchanged]:
    """What was exchanged (in committed entries) by day, subject, reader, grant and replay."""
    per = (_e.day, _g.subject, _g.reader, _g.id, _e.replay)
    joined = tables.entries.join(tables.outcomes, _o.entry_id == _e.id).join(tables.grants, _GRANT_OF_OUTCOME)
    sums = (func.sum(_e.count), func.sum(_o.delivered), func.sum(_o.bytes), func.sum(_e.quarantined))
    totals = select(*per, func.max(_g.purpose), *sums).select_from(joined)
    totals = totals.where(_COMMITTED, *selection.of_grants()).group_by(*per).order_by(*per)
    reasons = joined.join(tables.withheld, and_(_w.entry_id == _e.id, _w.grant_id == _o.grant_id))
    by_reason = select(*per, _w.reason, func.sum(_w.count)).select_from(reasons)
    by_reason = by_reason.where(_COMMITTED, *selection.of_grants()).group_by(*per, _w.reason).order_by(_w.reason)
    with store.snapshot() as connection:
        rows: Iterable[Any] = connection.execute(totals)
        found = {tuple(row[:5]): Exchanged(*row[:6], *map(int, row[6:])) for row in rows}
        for row in connection.execute(by_reason):
            found[tuple(row[:5])].withheld[row[5]] = int(row[6])
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
    quarantined: int

    @property
    def balanced(self) -> bool:
        """Whether every record ended as exactly one of delivered, withheld and quarantined."""
        return self.records == self.delivered + self.withheld + self.quarantined


def balance_of_grants(store: LedgerStore, selection: Selection) -> list[GrantBalance]:
    """Per source partition and grant: the records for which the grant was in force, and what became of them."""
    per = (_e.topic, _e.partition, _g.id, _g.reader, _e.replay)
    decided = and_(_o.entry_id == _e.id, _o.grant_id == _g.id)
    joined = tables.entries.join(tables.grants, _GRANT_IN_FORCE).join(tables.outcomes, decided, isouter=True)
    sums = (
        func.sum(_e.count),
        func.sum(func.coalesce(_o.delivered, 0)),
        func.sum(func.coalesce(_o.withheld, 0)),
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


@dataclass(frozen=True)
class Disclosure:
    """Records about one person that one grant's reader got in one router transaction, and why it was allowed to.

    If `state` is not committed, only readers of uncommitted records could have seen them. `entry` is the place of the
    proof on the ledger topic; `offsets` are those of the source records; `replay` is the id of the replay that
    delivered them, None for the live flow.
    """

    time_ms: int
    subject: str
    reader: str
    grant: str
    purpose: str
    basis: str
    text: str
    fields: str | list[str]
    epoch: int
    state: str
    records: int
    partition: int
    offsets: list[int]
    entry: str
    replay: str | None


def disclosures(
    store: LedgerStore, tag: bytes, selection: Selection, *, include_aborted: bool = False
) -> Iterator[Disclosure]:
    """Who received records of the entity with this tag, in the order of the entries.

    Only committed entries count; with `include_aborted`, aborted and open ones count too.
    """
    with store.snapshot() as connection:
        yield from _disclosures(connection, tag, selection, include_aborted)


def _disclosures(
    connection: Connection, tag: bytes, selection: Selection, include_aborted: bool
) -> Iterator[Disclosure]:
    grants = {(grant.epoch, grant.id): grant for grant in connection.execute(select(tables.grants))}
    for place, state, body in _entries_with(connection, tag, selection, include_aborted):
        entry = decode(body)
        rows = rows_of(entry, tag)
        for outcome in entry.outcomes:
            received = rows[delivered_mask(entry, outcome)[rows]].tolist()
            for id_ in outcome.grants if received else ():
                grant = grants.get((entry.epoch, id_))
                if grant is None:
                    raise LedgerContradictionError(f"epoch {entry.epoch} has no grant {id_}", remedy=_FOLLOW_FIRST)
                if selection.reader not in (None, grant.reader) or selection.grant not in (None, grant.id):
                    continue
                yield Disclosure(
                    time_ms=entry.time_ms,
                    subject=grant.subject,
                    reader=grant.reader,
                    grant=grant.id,
                    purpose=grant.purpose,
                    basis=grant.basis,
                    text=grant.text,
                    fields=json.loads(grant.fields),
                    epoch=entry.epoch,
                    state=state,
                    records=len(received),
                    partition=entry.partition,
                    offsets=[entry.offset(row) for row in received],
                    entry=place,
                    replay=entry.replay,
                )


def _entries_with(
    connection: Connection, tag: bytes, selection: Selection, include_aborted: bool
) -> Iterator[tuple[str, str, bytes]]:
    """Place on the ledger topic, state and body of each entry that may contain the tag, oldest first."""
    t, generation = tables.tags.c, tables.generations.c
    indexed = tables.generations.join(
        tables.tags, and_(t.generation == generation.generation, t.tag == tag_prefix(tag))
    ).join(tables.entries, _e.id == t.entry_id)
    query = select(_e.ledger_partition, _e.ledger_offset, _e.state, _e.body).select_from(indexed)
    query = query.where(*selection.of_entries()).order_by(_e.time_ms, _e.id)
    if not include_aborted:
        query = query.where(_e.state == "committed")
    for partition, offset, state, body in connection.execute(query, execution_options={"yield_per": 64}):
        yield f"{names.LEDGER_TOPIC}/{partition}/{offset}", state, body
