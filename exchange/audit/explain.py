"""Explains why a reader has a record or does not: what the ledger says was decided, and by which rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, and_, func, select

from exchange import names
from exchange.audit.fates import WITHDRAWN, WITHHELD, mask
from exchange.audit.reconcile import behind, of_todays_topic
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.record import Record
from exchange.bus.topics import read
from exchange.contract.model import Epoch, Grant
from exchange.epochs import epochs as every_epoch
from exchange.errors import ConfigError
from exchange.ledger import tables
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry, Outcome, delivered_mask, rows_of
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.ledger.store import LedgerContradictionError, LedgerStore
from exchange.ledger.tag_index import tag_prefix
from exchange.records.reference import UnevaluableError, unmet
from exchange.schema import avro, wire

_e, _r = tables.entries.c, tables.runs.c
Place = tuple[int, int]
"""Partition and offset of a source record."""


class UnknownNameError(ConfigError):
    """A question names a subject, reader or partition that never existed."""

    code = "unknown-name"
    remedy = "see `exchange grant list`"


@dataclass(frozen=True)
class Decision:
    """What one ledger entry says about one source record and one reader.

    `verdict`: delivered, withheld, withdrawn, quarantined, no-grant or not-in-force. `reason`: the rule in one word;
    `detail`: the same for people. `entry`: the place of the proof on the ledger topic. `proven`: whether the entry's
    Merkle root equals that of the source's records; None if that was not checked, or the source no longer keeps them.
    """

    partition: int
    offset: int
    time_ms: int
    epoch: int
    router: str
    state: str
    replay: str | None
    grant: str | None
    verdict: str
    reason: str
    detail: str
    entry: str
    proven: bool | None = None


@dataclass(frozen=True)
class Explanation:
    """Decisions in the ledger's order; if there are none, the reason in one word and for people (`undecided`).

    `behind`: the number of ledger offsets that are not in the database yet.
    """

    decisions: list[Decision]
    undecided: tuple[str, str] | None
    behind: int


def explain_place(cluster: Cluster, store: LedgerStore, subject: str, reader: str, place: Place) -> Explanation:
    """What became of the record at that place for that reader; proven, if the source still keeps its records.

    Raises UnknownNameError for a subject or reader that no contract ever had, and for a partition that does not exist.
    """
    epochs, late = _epochs(cluster, subject, reader), behind(cluster, store)
    decisions = of_place(store, epochs, subject, reader, place)
    why = None if decisions else undecided(cluster, store, subject, place)
    return Explanation([_proven(cluster, epochs, one, _entry_at(store, one.entry)) for one in decisions], why, late)


def explain_entity(cluster: Cluster, store: LedgerStore, subject: str, reader: str, tag: bytes) -> Explanation:
    """What became of the records of the entity with that tag, for that reader. Raises UnknownNameError."""
    epochs, late = _epochs(cluster, subject, reader), behind(cluster, store)
    decisions = _of_entity(store, epochs, subject, reader, tag)
    why = None if decisions else ("no-record", "the ledger has no record of that entity in this subject")
    return Explanation(decisions, why, late)


def _epochs(cluster: Cluster, subject: str, reader: str) -> dict[int, Epoch]:
    """Every epoch by number; raises UnknownNameError, because a mistyped name would otherwise read as `no grant`."""
    epochs = {published.epoch.number: published.epoch for published in every_epoch(cluster)}
    contracts = [epoch.contract for epoch in epochs.values()]
    for what, name, known in (
        ("subject", subject, {s.id for contract in contracts for s in contract.subjects}),
        ("department", reader, {d.id for contract in contracts for d in contract.departments}),
    ):
        if name not in known:
            raise UnknownNameError(f"no contract ever had a {what} '{name}'")
    return epochs


def of_place(
    store: LedgerStore, epochs: Mapping[int, Epoch], subject: str, reader: str, place: Place
) -> list[Decision]:
    """Every decision about the record at that place of today's topic, in the ledger's order.

    If the topic was deleted and created anew, `explain_entity` still finds what was decided about the old one.
    """
    covered = and_(_r.entry_id == _e.id, _r.first <= place[1], _r.first + _r.count > place[1])
    query = select(_e.ledger_partition, _e.ledger_offset, _e.state, _e.body).join_from(
        tables.entries, tables.runs, covered
    )
    here = (_e.topic == names.subject_topic(subject), _e.partition == place[0])
    found = query.where(*here, of_todays_topic()).order_by(_e.id)
    return [
        decision
        for where, state, entry in _entries(store, found)
        for row in range(entry.count)
        if entry.offset(row) == place[1]
        for decision in _decisions(entry, row, where, state, epochs, reader)
    ]


def _of_entity(
    store: LedgerStore, epochs: Mapping[int, Epoch], subject: str, reader: str, tag: bytes
) -> list[Decision]:
    t = tables.tags.c
    query = select(_e.ledger_partition, _e.ledger_offset, _e.state, _e.body).join_from(
        tables.entries, tables.tags, and_(_e.id == t.entry_id, t.tag == tag_prefix(tag))
    )
    found = query.where(_e.topic == names.subject_topic(subject)).order_by(_e.id)
    return [
        decision
        for where, state, entry in _entries(store, found)
        for row in rows_of(entry, tag).tolist()
        for decision in _decisions(entry, row, where, state, epochs, reader)
    ]


def undecided(cluster: Cluster, store: LedgerStore, subject: str, place: Place) -> tuple[str, str]:
    """Why no entry covers that place: in one word, and in a sentence for people."""
    topic = names.subject_topic(subject)
    with Consumer(cluster) as consumer:
        if place[0] not in consumer.partitions(topic):
            raise UnknownNameError(f"{topic} has no partition {place[0]}", remedy="see `exchange audit balance`")
        begin = consumer.begin_offsets([(topic, place[0])])[topic, place[0]]
        end = consumer.end_offsets([(topic, place[0])])[topic, place[0]]
    live = and_(_r.entry_id == _e.id, _e.replay.is_(None))
    query = select(func.max(_r.first + _r.count)).join_from(tables.entries, tables.runs, live)
    here = (_e.topic == topic, _e.partition == place[0], of_todays_topic())
    decided = store.rows(query.where(*here))[0][0] or 0
    if place[1] >= end:
        return "no-record", f"the partition ends before offset {end}: there is no such record yet"
    if place[1] < begin and (lost := _lost(store, topic, place)):
        return "lost", lost
    if place[1] >= decided:
        return "not-decided", f"the ledger's database ends at offset {decided}: the routers or the follower are behind"
    if place[1] < begin:
        return "not-kept", f"the source keeps its records from offset {begin} on, and no entry speaks of this one"
    return "no-record", "there is no committed record at this offset: a transaction's marker, or an aborted record"


def _lost(store: LedgerStore, topic: str, place: Place) -> str:
    """What the ledger says about a record deleted before a router decided it; empty if it says nothing."""
    g = tables.gaps.c
    query = select(_e.epoch, g.accepted).join_from(tables.entries, tables.gaps, g.entry_id == _e.id)
    here = (_e.topic == topic, _e.partition == place[0], g.first <= place[1], g.next > place[1])
    rows = store.rows(query.where(_e.state == "committed", *here).order_by(_e.id.desc()).limit(1))
    if not rows:
        return ""
    how = f"epoch {rows[0].epoch} accepts that" if rows[0].accepted else "the routers stand still there"
    return f"it was deleted from the source before a router decided it; {how}"


def _proven(cluster: Cluster, epochs: Mapping[int, Epoch], decision: Decision, entry: Entry) -> Decision:
    """Add to the decision what only the source's records tell: is it proven, and which condition did not hold?"""
    records = _source_records(cluster, entry)
    if records is None:
        return decision
    proven = merkle_root([digest_leaf(record.key, record.value) for record in records]) == entry.root
    detail = decision.detail
    record = next((record for record in records if record.offset == decision.offset), None)
    if decision.reason in ("filter", "left") and record is not None and record.value is not None:
        conditions = _unmet(epochs[entry.epoch], decision.grant, record.value)
        if conditions:
            detail = f"{'' if decision.reason == 'filter' else f'{detail}; '}did not hold: {'; '.join(conditions)}"
    return replace(decision, proven=proven, detail=detail)


def _unmet(epoch: Epoch, grant_id: str | None, value: bytes) -> list[str]:
    """The grant's conditions that do not hold for the value; none if they cannot be applied to it."""
    grant = next(g for g in epoch.contract.grants if g.id == grant_id)
    schema_id, body = wire.unpack(value)
    try:
        return unmet(avro.parse(epoch.schemas[schema_id]), grant.where, bytes(body))
    except UnevaluableError:
        return []


def _entry_at(store: LedgerStore, place: str) -> Entry:
    """The entry at a place of the ledger topic, as decisions write it."""
    _, partition, offset = place.rsplit("/", 2)
    here = (_e.ledger_partition == int(partition), _e.ledger_offset == int(offset))
    return decode(store.rows(select(_e.body).where(*here))[0][0])


def _entries(store: LedgerStore, query: Select[tuple[int, int, str, bytes]]) -> Iterator[tuple[str, str, Entry]]:
    for partition, offset, state, body in store.rows(query):
        yield f"{names.LEDGER_TOPIC}/{partition}/{offset}", state, decode(body)


def _decisions(
    entry: Entry, row: int, place: str, state: str, epochs: Mapping[int, Epoch], reader: str
) -> Iterator[Decision]:
    """What an entry decides about a record for the reader; nothing if it belongs to a replay for another grant."""
    epoch = epochs.get(entry.epoch)
    if epoch is None:
        remedy = "run this again if it was just published; else see that EXCHANGE_LEDGER_URL is this cluster's"
        raise LedgerContradictionError(
            f"{names.CONTRACT_TOPIC} has no epoch {entry.epoch}, as {place} says", remedy=remedy
        )
    of_reader = [
        grant
        for grant in epoch.contract.grants
        if grant.reader == reader and names.subject_topic(grant.subject) == entry.topic
    ]
    outcomes = {id_: outcome for outcome in entry.outcomes for id_ in outcome.grants}
    grant = next((grant for grant in of_reader if grant.id in outcomes), None)
    if grant is None and entry.replay is not None:
        return
    verdict, reason, detail = _fate(entry, row, outcomes[grant.id]) if grant else _no_grant(of_reader, epoch)
    yield Decision(
        partition=entry.partition,
        offset=entry.offset(row),
        time_ms=entry.time_ms,
        epoch=entry.epoch,
        router=entry.router,
        state=state,
        replay=entry.replay,
        grant=grant.id if grant else None,
        verdict=verdict,
        reason=reason,
        detail=detail,
        entry=place,
    )


def _fate(entry: Entry, row: int, outcome: Outcome) -> tuple[str, str, str]:
    bad = next((bad.reason for bad in entry.quarantined if bad.index == row), None)
    if bad is not None:
        return "quarantined", bad, "it is not a valid record of the subject: nobody got it"
    if delivered_mask(entry, outcome)[row]:
        return "delivered", "", "the reader got it"
    for withheld in outcome.withheld:
        if mask(entry, withheld)[row]:
            return "withheld", withheld.reason, WITHHELD.get(withheld.reason, "")
    for withdrawn in outcome.withdrawn:
        if mask(entry, withdrawn)[row]:
            return "withdrawn", withdrawn.reason, WITHDRAWN.get(withdrawn.reason, "")
    raise AssertionError("a valid entry says why")


def _no_grant(of_reader: Sequence[Grant], epoch: Epoch) -> tuple[str, str, str]:
    if not of_reader:
        return "no-grant", "no-grant", f"epoch {epoch.number} has no grant of the subject for this reader"
    told = ", ".join(f"{grant.id} from {grant.from_} to {grant.until}" for grant in of_reader)
    return "not-in-force", "not-in-force", f"no grant was in force then: {told}"


def _source_records(cluster: Cluster, entry: Entry) -> list[Record] | None:
    """The source records that an entry covers; None if they are no longer all kept."""
    place = (entry.topic, entry.partition)
    first, end = entry.offset(0), entry.offset(entry.count - 1) + 1
    offsets = {offset for run in entry.runs for offset in range(run.first, run.first + run.count)}
    with Consumer(cluster) as consumer:
        if entry.partition not in consumer.partitions(entry.topic):
            return None
        if consumer.begin_offsets([place])[place] > first or consumer.end_offsets([place])[place] < end:
            return None
        return [r for r in read(consumer, {place: first}, {place: end}) if r.offset in offsets]
