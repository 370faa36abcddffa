"""Compute from the records on Kafka what the ledger must say; shares only entry format and hash with its writer."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exchange.bus import Cluster
from exchange.contract import epoch, names
from exchange.contract.model import Grant
from exchange.ledger.entry import Entry, Outcome, decode, delivered_mask, tag
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.ledger.reread import Place, PlainRecord, Report, Reread, plain_records
from exchange.schema import wire

Grants = Mapping[tuple[int, str], tuple[Grant, bool]]
"""By epoch and id, each with whether it gives records as they are."""


@dataclass(frozen=True)
class Mismatch:
    """Where the ledger and the records differ."""

    place: str
    fault: str


@dataclass
class Verification:
    """What was recomputed, and where it differs; `unverifiable` entries speak of records no longer kept."""

    entries: int = 0
    records: int = 0
    deliveries: int = 0
    unverifiable: int = 0
    pending: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)


class _Proof(NamedTuple):
    """A committed entry and its place on the ledger topic."""

    place: str
    entry: Entry


class _Delivery(NamedTuple):
    """What one entry says that one inbox partition got."""

    place: str
    records: int
    digest: bytes


def verify(cluster: Cluster, ledger_key: bytes, subject: str | None, report: Report) -> Verification:
    """Recompute roots, tags and runs from the source topics, and delivered digests from the inboxes.

    Reads everything from Kafka itself, the ledger and the contract's epochs included. Source
    records after the last entry of their partition are `pending`: not yet routed.
    """
    found = Verification()
    grants = _grants(cluster)
    proofs: defaultdict[Place, deque[_Proof]] = defaultdict(deque)
    for proof in _proofs(cluster, report):
        if subject is None or proof.entry.topic == names.subject_topic(subject):
            proofs[proof.entry.topic, proof.entry.partition].append(proof)
            found.entries += 1
    deliveries = _deliveries(proofs, grants, found)
    _verify_sources(cluster, proofs, grants, ledger_key, found, report)
    _verify_inboxes(cluster, deliveries, found, report)
    return found


def _grants(cluster: Cluster) -> Grants:
    """Every grant by epoch and id."""
    return {
        (published.number, grant.id): (grant, published.given(grant) is None)
        for batch in Reread(cluster, [names.CONTRACT])
        for published in (epoch.decode(record.value or b"") for record in plain_records(batch))
        for grant in published.contract.grants
    }


def _proofs(cluster: Cluster, report: Report) -> Iterator[_Proof]:
    for batch in Reread(cluster, [names.LEDGER]):
        report(names.LEDGER, batch.header.records)
        for record in plain_records(batch):
            entry = decode(wire.unpack(record.value or b"")[1])
            if not entry.is_adoption:
                yield _Proof(f"{batch.topic}/{batch.partition}/{record.offset}", entry)


def _verify_sources(
    cluster: Cluster,
    waiting: Mapping[Place, deque[_Proof]],
    grants: Grants,
    ledger_key: bytes,
    found: Verification,
    report: Report,
) -> None:
    """Walk source records and entries side by side, per partition in order; takes the entries out of `waiting`."""
    reread = Reread(cluster, {topic for topic, _ in waiting})
    held: defaultdict[Place, list[PlainRecord]] = defaultdict(list)
    begins: dict[Place, int] = {}
    for batch in reread:
        report(batch.topic, batch.header.records)
        place = (batch.topic, batch.partition)
        proofs, records = waiting.get(place, deque()), held[place]
        if place not in begins:
            begins[place] = _drop_gone(proofs, reread.starts[place], found)
        for record in plain_records(batch):
            while proofs and record.offset >= _end(proofs[0].entry):
                _verify_entry(proofs.popleft(), records, grants, ledger_key, found)
                records.clear()
            if not proofs:
                found.pending += 1
            elif record.offset >= begins[place]:
                records.append(record)
    for place, proofs in waiting.items():
        _drop_gone(proofs, reread.starts.get(place, 0), found)
        while proofs:
            _verify_entry(proofs.popleft(), held[place], grants, ledger_key, found)
            held[place].clear()


def _drop_gone(proofs: deque[_Proof], start: int, found: Verification) -> int:
    """Leave out entries of which records before `start` are no longer kept; return where the rest begin."""
    end = start
    while proofs and proofs[0].entry.offset(0) < start:
        end = _end(proofs.popleft().entry)
        found.unverifiable += 1
    return end


def _verify_entry(
    proof: _Proof,
    records: list[PlainRecord],
    grants: Grants,
    ledger_key: bytes,
    found: Verification,
) -> None:
    """Compare an entry with the source records from the end of the entry before it to its own end."""
    entry = proof.entry

    def expect(holds: bool, fault: str) -> None:
        if not holds:
            found.mismatches.append(Mismatch(proof.place, fault))

    found.records += len(records)
    offsets = [offset for run in entry.runs for offset in range(run.first, run.first + run.count)]
    leaves = [digest_leaf(record.key, record.value) for record in records]
    expect([record.offset for record in records] == offsets, "the source's committed records are not those of its runs")
    expect(merkle_root(leaves) == entry.root, "the Merkle root is not that of the source's records")
    expect(b"".join(tag(record.key, ledger_key) for record in records) == entry.tags, "the tags are not the records'")
    for outcome in entry.outcomes:
        if len(leaves) == entry.count and _whole(grants, entry, outcome):
            kept = [leaf for leaf, delivered in zip(leaves, delivered_mask(entry, outcome), strict=True) if delivered]
            of = ", ".join(outcome.grants)
            expect(
                merkle_root(kept) == outcome.digest, f"the digest delivered to {of} is not that of the source's records"
            )


def _end(entry: Entry) -> int:
    """The source offset after the entry's last record."""
    return entry.runs[-1].first + entry.runs[-1].count


def _whole(grants: Grants, entry: Entry, outcome: Outcome) -> bool:
    found = [grants.get((entry.epoch, id_)) for id_ in outcome.grants]
    return all(each is not None and each[1] for each in found)


def _deliveries(
    proofs: Mapping[Place, Iterable[_Proof]], grants: Grants, found: Verification
) -> dict[Place, deque[_Delivery]]:
    """Per inbox topic and partition, what its records must be, in order."""
    inboxes: defaultdict[Place, deque[_Delivery]] = defaultdict(deque)
    for (_, partition), some in proofs.items():
        for place, entry in some:
            for outcome, id_ in ((each, id_) for each in entry.outcomes for id_ in each.grants):
                grant, _ = grants.get((entry.epoch, id_), (None, False))
                if grant is None:
                    found.mismatches.append(Mismatch(place, f"epoch {entry.epoch} has no grant {id_}"))
                    continue
                delivery = _Delivery(f"{place} grant {id_}", outcome.delivered, outcome.digest)
                inboxes[names.inbox_topic(grant.reader, grant.subject), partition].append(delivery)
    return inboxes


def _verify_inboxes(
    cluster: Cluster, waiting: Mapping[Place, deque[_Delivery]], found: Verification, report: Report
) -> None:
    """Cut the inboxes' records into deliveries by their counts, and compare each digest."""
    reread = Reread(cluster, {topic for topic, _ in waiting})
    held: defaultdict[Place, list[bytes]] = defaultdict(list)
    for batch in reread:
        report(batch.topic, batch.header.records)
        place = (batch.topic, batch.partition)
        if reread.starts[place] == 0:
            held[place] += [digest_leaf(record.key, record.value) for record in plain_records(batch)]
            deliveries = waiting.get(place, deque())
            while deliveries and len(held[place]) >= deliveries[0].records:
                _verify_delivery(deliveries.popleft(), place, held[place], found)
    for place in sorted(waiting.keys() | held.keys()):
        deliveries = waiting.get(place, deque())
        if reread.starts.get(place, 0):
            found.unverifiable += len(deliveries)
            continue
        for delivery in deliveries:
            _verify_delivery(delivery, place, held[place], found)
        if held[place]:
            fault = f"{len(held[place])} records that no entry vouches for"
            found.mismatches.append(Mismatch(f"{place[0]}/{place[1]}", fault))


def _verify_delivery(delivery: _Delivery, place: Place, leaves: list[bytes], found: Verification) -> None:
    """Compare a delivery with the next leaves of its inbox partition, and take them away."""
    found.deliveries += min(delivery.records, len(leaves))
    if merkle_root(leaves[: delivery.records]) != delivery.digest:
        found.mismatches.append(Mismatch(delivery.place, f"{place[0]}/{place[1]} does not hold what was delivered"))
    del leaves[: delivery.records]
