"""Compute from the records on Kafka what the ledger must say; shares only entry format and hash with its writer."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exchange.bus import Cluster
from exchange.contract import names
from exchange.contract.model import Epoch, Grant
from exchange.ledger.entry import Entry, Outcome, decode, delivered_mask, tag
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.ledger.reread import PlainRecord, Reread, plain_records
from exchange.schema import wire

Grants = Mapping[tuple[int, str], Grant]
Report = Callable[[str, int], None]
"""Takes the topic being read and how many of its records were read since the last call."""


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
    proofs: dict[str, dict[int, list[_Proof]]] = defaultdict(lambda: defaultdict(list))
    for proof in _proofs(cluster, report):
        if subject is None or proof.entry.topic == names.subject_topic(subject):
            proofs[proof.entry.topic][proof.entry.partition].append(proof)
            found.entries += 1
    for topic, partitions in proofs.items():
        _verify_source(cluster, topic, partitions, grants, ledger_key, found, report)
        for inbox, deliveries in _deliveries(partitions, grants, found).items():
            _verify_inbox(cluster, inbox, deliveries, found, report)
    return found


def _grants(cluster: Cluster) -> Grants:
    """Every grant by epoch and id."""
    epochs = [
        Epoch.model_validate_json(record.value or b"")
        for batch in Reread(cluster, names.CONTRACT)
        for record in plain_records(batch)
    ]
    return {(epoch.number, grant.id): grant for epoch in epochs for grant in epoch.contract.grants}


def _proofs(cluster: Cluster, report: Report) -> Iterator[_Proof]:
    for batch in Reread(cluster, names.LEDGER):
        report(names.LEDGER, batch.header.records)
        for record in plain_records(batch):
            entry = decode(wire.unpack(record.value or b"")[1])
            if not entry.is_adoption:
                yield _Proof(f"{batch.topic}/{batch.partition}/{record.offset}", entry)


def _verify_source(
    cluster: Cluster,
    topic: str,
    partitions: dict[int, list[_Proof]],
    grants: Grants,
    ledger_key: bytes,
    found: Verification,
    report: Report,
) -> None:
    """Walk source records and entries side by side, per partition in order."""
    reread = Reread(cluster, topic)
    waiting = {partition: deque(proofs) for partition, proofs in partitions.items()}
    held: dict[int, list[PlainRecord]] = defaultdict(list)
    gone: dict[int, int] = {}
    for batch in reread:
        report(topic, batch.header.records)
        proofs, records = waiting.get(batch.partition, deque()), held[batch.partition]
        if batch.partition not in gone:
            gone[batch.partition] = _drop_gone(proofs, reread.starts[batch.partition], found)
        for record in plain_records(batch):
            while proofs and record.offset >= _end(proofs[0].entry):
                _verify_entry(proofs.popleft(), records, grants, ledger_key, found)
                records.clear()
            if not proofs:
                found.pending += 1
            elif record.offset >= gone[batch.partition]:
                records.append(record)
    for partition, proofs in waiting.items():
        if partition not in gone:
            _drop_gone(proofs, reread.starts.get(partition, 0), found)
        for proof in proofs:
            _verify_entry(proof, held[partition], grants, ledger_key, found)
            held[partition].clear()


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
    return all(grant is not None and grant.fields == "all" for grant in found)


def _deliveries(
    partitions: Mapping[int, list[_Proof]], grants: Grants, found: Verification
) -> dict[str, dict[int, deque[_Delivery]]]:
    """Per inbox topic and partition, what its records must be, in order."""
    inboxes: dict[str, dict[int, deque[_Delivery]]] = defaultdict(lambda: defaultdict(deque))
    for partition, proofs in partitions.items():
        for place, entry in proofs:
            for outcome in entry.outcomes:
                for id_ in outcome.grants:
                    grant = grants.get((entry.epoch, id_))
                    if grant is None:
                        found.mismatches.append(Mismatch(place, f"epoch {entry.epoch} has no grant {id_}"))
                        continue
                    delivery = _Delivery(f"{place} grant {id_}", outcome.delivered, outcome.digest)
                    inboxes[names.inbox_topic(grant.reader, grant.subject)][partition].append(delivery)
    return inboxes


def _verify_inbox(
    cluster: Cluster, inbox: str, deliveries: dict[int, deque[_Delivery]], found: Verification, report: Report
) -> None:
    """Cut the inbox's records into deliveries by their counts, and compare each digest."""
    reread = Reread(cluster, inbox)
    held: dict[int, list[bytes]] = defaultdict(list)
    for batch in reread:
        report(inbox, batch.header.records)
        partition = batch.partition
        if reread.starts[partition] == 0:
            held[partition] += [digest_leaf(record.key, record.value) for record in plain_records(batch)]
            while deliveries[partition] and len(held[partition]) >= deliveries[partition][0].records:
                _verify_delivery(deliveries[partition].popleft(), f"{inbox}/{partition}", held[partition], found)
    for partition, rest in deliveries.items():
        if reread.starts.get(partition, 0):
            found.unverifiable += len(rest)
            continue
        for delivery in rest:
            _verify_delivery(delivery, f"{inbox}/{partition}", held[partition], found)
        if held[partition]:
            fault = f"{len(held[partition])} records that no entry vouches for"
            found.mismatches.append(Mismatch(f"{inbox}/{partition}", fault))


def _verify_delivery(delivery: _Delivery, place: str, leaves: list[bytes], found: Verification) -> None:
    """Compare a delivery with the next leaves of its inbox partition, and take them away."""
    found.deliveries += min(delivery.records, len(leaves))
    if merkle_root(leaves[: delivery.records]) != delivery.digest:
        found.mismatches.append(Mismatch(delivery.place, f"{place} does not hold what was delivered"))
    del leaves[: delivery.records]
