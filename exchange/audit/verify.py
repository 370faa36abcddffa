"""Computes from the records on Kafka what the ledger must say; shares only entry format and hash with its writer."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exchange import names
from exchange.audit.gaps import open_gaps
from exchange.audit.reread import PlainRecord, Report, Reread, plain_records
from exchange.bus import Cluster
from exchange.contract import epoch
from exchange.contract.model import Grant
from exchange.epochs import latest_epoch
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry, Outcome, delivered_mask, tag
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.names import Partition
from exchange.schema import wire

Grants = Mapping[tuple[int, str], tuple[Grant, bool]]
"""Grants by epoch and id, each with whether it gives records as they are."""


@dataclass(frozen=True)
class Mismatch:
    """A place at which ledger and records differ."""

    place: str
    fault: str


@dataclass
class Verification:
    """What was recomputed, and where it differs; `unverifiable` entries cover records that are no longer kept.

    `gaps` counts those after which routers went on because a person accepted them; any other gap is a mismatch.
    """

    entries: int = 0
    records: int = 0
    deliveries: int = 0
    unverifiable: int = 0
    pending: int = 0
    gaps: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)


class _Proof(NamedTuple):
    """A committed entry, its place on the ledger topic, and the id of the producer that wrote it."""

    place: str
    entry: Entry
    producer: int

    @property
    def flow(self) -> int | None:
        """What distinguishes its deliveries in an inbox: the producer of a replay; None for the live flow."""
        return None if self.entry.replay is None else self.producer


Flow = tuple[Partition, int | None]
"""An inbox partition and a flow of deliveries into it, see `_Proof.flow`."""


class _Delivery(NamedTuple):
    """What one entry says that one inbox partition received."""

    place: str
    records: int
    digest: bytes


def verify(cluster: Cluster, ledger_key: bytes, subject: str | None, report: Report) -> Verification:
    """Recompute roots, tags and runs from the source topics, and delivered digests from the inboxes.

    Reads everything from Kafka itself, including the ledger and the epochs. Source records after the last entry of
    their partition are `pending`: no router decided them yet. Deliveries of a replay are recognised by their producer,
    which also wrote its entries.
    """
    found = Verification()
    grants = _grants(cluster)
    live, again = defaultdict[Partition, deque[_Proof]](deque), defaultdict[Partition, deque[_Proof]](deque)
    proofs: list[_Proof] = []
    for proof in _proofs(cluster, report):
        entry = proof.entry
        place = (entry.topic, entry.partition)
        if subject is not None and entry.topic != names.subject_topic(subject):
            continue
        if entry.gap is None:
            proofs.append(proof)
            (live if entry.replay is None else again)[place].append(proof)
        elif entry.gap_accepted:
            found.gaps += 1
            if entry.gap.cause == "recreated":  # the topic of the earlier entries is gone, with all its records
                found.unverifiable += len(live.pop(place, ())) + len(again.pop(place, ()))
    found.entries = len(proofs)
    for gap in open_gaps(cluster, latest_epoch(cluster)):
        if subject is None or gap.topic == names.subject_topic(subject):
            found.mismatches.append(Mismatch(gap.place, gap.loss))
    deliveries = _deliveries(proofs, grants, found)
    _verify_sources(cluster, live, again, _Expect(grants, ledger_key, found), report)
    _verify_inboxes(cluster, deliveries, found, report)
    return found


def _grants(cluster: Cluster) -> Grants:
    """Every grant by epoch and id."""
    return {
        (published.number, grant.id): (grant, published.given(grant) is None)
        for batch in Reread(cluster, [names.CONTRACT_TOPIC])
        for published in (epoch.decode(record.value or b"") for record in plain_records(batch))
        for grant in published.contract.grants
    }


def _proofs(cluster: Cluster, report: Report) -> Iterator[_Proof]:
    for batch in Reread(cluster, [names.LEDGER_TOPIC]):
        report(names.LEDGER_TOPIC, batch.header.records)
        for record in plain_records(batch):
            entry = decode(wire.unpack(record.value or b"")[1])
            if not entry.is_adoption:
                place = f"{batch.topic}/{batch.partition}/{record.offset}"
                yield _Proof(place, entry, batch.header.producer_id)


def _verify_sources(
    cluster: Cluster,
    waiting: Mapping[Partition, deque[_Proof]],
    replayed: Mapping[Partition, Iterable[_Proof]],
    expect: _Expect,
    report: Report,
) -> None:
    """Compare source records with entries, in order per partition; removes the entries from `waiting`."""
    found = expect.found
    again = _Replays(replayed, expect)
    reread = Reread(cluster, {topic for topic, _ in (*waiting, *replayed)})
    held: defaultdict[Partition, list[PlainRecord]] = defaultdict(list)
    begins: dict[Partition, int] = {}
    for batch in reread:
        report(batch.topic, batch.header.records)
        place = (batch.topic, batch.partition)
        proofs, records = waiting.get(place, deque()), held[place]
        if place not in begins:
            begins[place] = _drop_gone(proofs, reread.starts[place], found)
        kept = list(plain_records(batch))
        again.take(place, kept, reread.starts[place])
        for record in kept:
            while proofs and record.offset >= _end(proofs[0].entry):
                expect.entry(proofs.popleft(), records)
                records.clear()
            if not proofs:
                found.pending += 1
            elif record.offset >= begins[place]:
                records.append(record)
    for place, proofs in waiting.items():
        if place not in reread.starts:  # the topic was deleted, or created anew with fewer partitions
            found.unverifiable += len(proofs)
            continue
        _drop_gone(proofs, reread.starts[place], found)
        while proofs:
            expect.entry(proofs.popleft(), held[place])
            held[place].clear()
    again.end(reread.starts)


class _Again(NamedTuple):
    """An entry of a replay, and those of its source records found so far."""

    proof: _Proof
    offsets: frozenset[int]
    records: list[PlainRecord]


class _Replays:
    """The entries of replays; they wait for their source records in no order, and may overlap."""

    def __init__(self, proofs: Mapping[Partition, Iterable[_Proof]], expect: _Expect) -> None:
        self._expect = expect
        self._waiting = {
            place: [_Again(proof, frozenset(_offsets(proof.entry)), []) for proof in some]
            for place, some in proofs.items()
        }

    def take(self, place: Partition, records: Sequence[PlainRecord], start: int) -> None:
        """Take the next records of a source partition, which keeps records from offset `start` on."""
        left = []
        end = records[-1].offset + 1 if records else 0
        for one in self._waiting.get(place, ()):
            if one.proof.entry.offset(0) < end:
                one.records.extend(record for record in records if record.offset in one.offsets)
            if _end(one.proof.entry) <= end:
                self._verify(one, start)
            else:
                left.append(one)
        self._waiting[place] = left

    def end(self, starts: Mapping[Partition, int]) -> None:
        """Verify what is left: there are no more records; partitions keep records from these offsets on."""
        for place, left in self._waiting.items():
            if place not in starts:
                self._expect.found.unverifiable += len(left)
                continue
            for one in left:
                self._verify(one, starts[place])

    def _verify(self, one: _Again, start: int) -> None:
        if one.proof.entry.offset(0) < start:
            self._expect.found.unverifiable += 1
        else:
            self._expect.entry(one.proof, one.records)


def _drop_gone(proofs: deque[_Proof], start: int, found: Verification) -> int:
    """Drop entries with records before `start`, which are no longer kept; return where the rest begins."""
    end = start
    while proofs and proofs[0].entry.offset(0) < start:
        end = _end(proofs.popleft().entry)
        found.unverifiable += 1
    return end


@dataclass(frozen=True)
class _Expect:
    """Compares entries with source records, using the grants and the ledger key; notes the result in `found`."""

    grants: Grants
    ledger_key: bytes
    found: Verification

    def entry(self, proof: _Proof, records: list[PlainRecord]) -> None:
        """Compare an entry with `records`: in the live flow, those after the entry before it; in a replay, its own."""
        entry = proof.entry

        def expect(holds: bool, fault: str) -> None:
            if not holds:
                self.found.mismatches.append(Mismatch(proof.place, fault))

        self.found.records += len(records)
        offsets = [record.offset for record in records]
        leaves = [digest_leaf(record.key, record.value) for record in records]
        tags = b"".join(tag(record.key, self.ledger_key) for record in records)
        expect(offsets == list(_offsets(entry)), "the source's committed records are not those of its runs")
        expect(merkle_root(leaves) == entry.root, "the Merkle root is not that of the source's records")
        expect(tags == entry.tags, "the tags are not the records'")
        for outcome in entry.outcomes:
            if len(leaves) == entry.count and _whole(self.grants, entry, outcome):
                kept = [leaf for leaf, given in zip(leaves, delivered_mask(entry, outcome), strict=True) if given]
                fault = f"the digest delivered to {', '.join(outcome.grants)} is not that of the source's records"
                expect(merkle_root(kept) == outcome.digest, fault)


def _offsets(entry: Entry) -> Iterator[int]:
    """The source offsets that an entry covers."""
    return (offset for run in entry.runs for offset in range(run.first, run.first + run.count))


def _end(entry: Entry) -> int:
    """The source offset after the entry's last record."""
    return entry.runs[-1].first + entry.runs[-1].count


def _whole(grants: Grants, entry: Entry, outcome: Outcome) -> bool:
    found = [grants.get((entry.epoch, id_)) for id_ in outcome.grants]
    return all(each is not None and each[1] for each in found)


def _deliveries(proofs: Iterable[_Proof], grants: Grants, found: Verification) -> defaultdict[Flow, deque[_Delivery]]:
    """What each inbox partition must contain, in order, per flow."""
    inboxes: defaultdict[Flow, deque[_Delivery]] = defaultdict(deque)
    for proof in proofs:
        place, entry = proof.place, proof.entry
        for outcome, id_ in ((each, id_) for each in entry.outcomes for id_ in each.grants):
            grant, _ = grants.get((entry.epoch, id_), (None, False))
            if grant is None:
                found.mismatches.append(Mismatch(place, f"epoch {entry.epoch} has no grant {id_}"))
                continue
            delivery = _Delivery(f"{place} grant {id_}", outcome.delivered, outcome.digest)
            inbox = (names.inbox_topic(grant.reader, grant.subject), entry.partition)
            inboxes[inbox, proof.flow].append(delivery)
    return inboxes


def _verify_inboxes(
    cluster: Cluster,
    waiting: Mapping[Flow, deque[_Delivery]],
    found: Verification,
    report: Report,
) -> None:
    """Cut the records of each flow in an inbox into deliveries by count, and compare each one's digest."""
    replays = {producer for _, producer in waiting}
    reread = Reread(cluster, {topic for (topic, _), _ in waiting})
    held: defaultdict[Flow, list[bytes]] = defaultdict(list)
    for batch in reread:
        report(batch.topic, batch.header.records)
        place = (batch.topic, batch.partition)
        producer = batch.header.producer_id
        flow = (place, producer if producer in replays else None)
        if reread.starts[place] == 0:
            held[flow] += [digest_leaf(record.key, record.value) for record in plain_records(batch)]
            deliveries = waiting.get(flow, deque())
            while deliveries and len(held[flow]) >= deliveries[0].records:
                _verify_delivery(deliveries.popleft(), place, held[flow], found)
    for flow in sorted(waiting.keys() | held.keys(), key=lambda flow: (flow[0], flow[1] or 0)):
        place, _ = flow
        deliveries = waiting.get(flow, deque())
        if reread.starts.get(place, 0):
            found.unverifiable += len(deliveries)
            continue
        for delivery in deliveries:
            _verify_delivery(delivery, place, held[flow], found)
        if held[flow]:
            fault = f"{len(held[flow])} records that no entry vouches for"
            found.mismatches.append(Mismatch(f"{place[0]}/{place[1]}", fault))


def _verify_delivery(delivery: _Delivery, place: Partition, leaves: list[bytes], found: Verification) -> None:
    """Compare a delivery with the next leaves of its inbox partition, and remove them."""
    found.deliveries += min(delivery.records, len(leaves))
    if merkle_root(leaves[: delivery.records]) != delivery.digest:
        found.mismatches.append(Mismatch(delivery.place, f"{place[0]}/{place[1]} does not hold what was delivered"))
    del leaves[: delivery.records]
