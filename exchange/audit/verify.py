"""Computes from the records on Kafka what the ledger must say; shares only entry format and hash with its writer."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from exchange import names
from exchange.audit.fates import mask
from exchange.audit.gaps import open_gaps
from exchange.audit.holders import compare, fold
from exchange.audit.inboxes import deliveries, verify_inboxes
from exchange.audit.proofs import Contracts, Mismatch, Proof, Verification, contracts, proofs
from exchange.audit.reread import PlainRecord, Report, Reread, encoded_headers, plain_records, source_topics
from exchange.audit.row_tags import RowTags
from exchange.bus import Cluster
from exchange.contract.model import Subject
from exchange.epochs import latest_epoch
from exchange.errors import RecordError
from exchange.ledger.entry import Entry, Outcome, delivered_mask, tag
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.names import Partition


def verify(cluster: Cluster, ledger_key: bytes, subject: str | None, report: Report) -> Verification:
    """Recompute roots, tags and runs from the source topics, and delivered digests from the inboxes.

    Of subjects with a key, recompute from the entries who holds which rows, and compare with what the routers remember
    and what lives in the inboxes. Call it on a quiet system, as deliveries made meanwhile are after the entries.

    Reads everything from Kafka itself, including the ledger and the epochs. Source records after the last entry of
    their partition are `pending`: no router decided them yet. Deliveries of a replay are recognised by their producer,
    which also wrote its entries.
    """
    found = Verification()
    said = contracts(cluster)
    row_tags = RowTags(said.schemas, ledger_key)
    live, again = defaultdict[Partition, deque[Proof]](deque), defaultdict[Partition, deque[Proof]](deque)
    of_subject: list[Proof] = []
    for proof in proofs(cluster, report):
        entry = proof.entry
        place = (entry.topic, entry.partition)
        if subject is not None and entry.topic != names.subject_topic(subject):
            continue
        if entry.gap is None:
            of_subject.append(proof)
            (live if entry.replay is None else again)[place].append(proof)
        elif entry.gap_accepted:
            found.gaps += 1
            if entry.gap.cause == "recreated":  # the topic of the earlier entries is gone, with all its records
                found.unverifiable += len(live.pop(place, ())) + len(again.pop(place, ()))
    found.entries = len(of_subject)
    newest = latest_epoch(cluster)
    for gap in open_gaps(cluster, newest):
        if subject is None or gap.topic == names.subject_topic(subject):
            found.mismatches.append(Mismatch(gap.place, gap.loss))
    waiting = deliveries(of_subject, said.grants, found)
    folded = fold(of_subject, said.grants, found)
    topics = {topic for topic, _ in (*live, *again)} | source_topics(newest, subject)
    _verify_sources(Reread(cluster, topics), live, again, Expect(said, row_tags, ledger_key, found), report)
    compare(cluster, folded, found, report)
    verify_inboxes(cluster, waiting, folded, row_tags, found, report)
    return found


def _verify_sources(
    reread: Reread,
    waiting: Mapping[Partition, deque[Proof]],
    replayed: Mapping[Partition, Iterable[Proof]],
    expect: Expect,
    report: Report,
) -> None:
    """Compare source records with entries, in order per partition; removes the entries from `waiting`."""
    found = expect.found
    again = _Replays(replayed, expect)
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

    proof: Proof
    offsets: frozenset[int]
    records: list[PlainRecord]


class _Replays:
    """The entries of replays; they wait for their source records in no order, and may overlap."""

    def __init__(self, proofs: Mapping[Partition, Iterable[Proof]], expect: Expect) -> None:
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


def _drop_gone(proofs: deque[Proof], start: int, found: Verification) -> int:
    """Drop entries with records before `start`, which are no longer kept; return where the rest begins."""
    end = start
    while proofs and proofs[0].entry.offset(0) < start:
        end = _end(proofs.popleft().entry)
        found.unverifiable += 1
    return end


@dataclass(frozen=True)
class Expect:
    """Compares entries with source records, using the contracts and the ledger key; notes the result in `found`."""

    said: Contracts
    row_tags: RowTags
    ledger_key: bytes
    found: Verification

    def entry(self, proof: Proof, records: list[PlainRecord]) -> None:
        """Compare an entry with `records`: in the live flow, those after the entry before it; in a replay, its own."""
        entry = proof.entry

        def expect(holds: bool, fault: str) -> None:
            self.found.expect(holds, proof.place, fault)

        self.found.records += len(records)
        offsets = [record.offset for record in records]
        leaves = [digest_leaf(record.key, record.value) for record in records]
        tags = b"".join(tag(record.key, self.ledger_key) for record in records)
        expect(offsets == list(_offsets(entry)), "the source's committed records are not those of its runs")
        expect(merkle_root(leaves) == entry.root, "the Merkle root is not that of the source's records")
        expect(tags == entry.tags, "the tags are not the records'")
        if len(records) != entry.count:
            return
        subject = self.said.subjects.get((entry.epoch, names.subject_of(entry.topic)))
        rows: list[bytes | None] = [None] * entry.count
        if entry.row_tags and subject is not None:
            rows = self._names(entry, subject, records)
            named = zip(records, rows, strict=True)
            tags = b"".join(self.row_tags.of_name(subject, record.key, name) for record, name in named)
            expect(tags == entry.row_tags, "the row tags are not those of the records' rows")
        for outcome in entry.outcomes:
            if self._is_whole(entry, outcome):
                due = merkle_root(list(_got(entry, outcome, records, leaves, rows)))
                fault = f"the digest delivered to {', '.join(outcome.grants)} is not that of the source's records"
                expect(due == outcome.digest, fault)

    def _is_whole(self, entry: Entry, outcome: Outcome) -> bool:
        found = [self.said.grants.get((entry.epoch, id_)) for id_ in outcome.grants]
        return all(each is not None and each.is_whole for each in found)

    def _names(self, entry: Entry, subject: Subject, records: Sequence[PlainRecord]) -> list[bytes | None]:
        """The names of the records' rows; None for records that are not valid."""
        bad = {quarantined.index for quarantined in entry.quarantined}
        rows: list[bytes | None] = [None] * len(records)
        for at, record in enumerate(records):
            with suppress(RecordError, KeyError):  # then the tag is not that of the entry
                rows[at] = None if at in bad else self.row_tags.name(subject, record)
        return rows


def _got(
    entry: Entry,
    outcome: Outcome,
    records: Sequence[PlainRecord],
    leaves: Sequence[bytes],
    rows: Sequence[bytes | None],
) -> Iterator[bytes]:
    """The leaves of what readers of whole records got: records as they are, and the names of `rows` that they lost."""
    delivered, lost = delivered_mask(entry, outcome), np.zeros(entry.count, bool)
    for withdrawn in outcome.withdrawn:
        lost |= mask(entry, withdrawn)
    headers = {} if entry.replay is None else {names.REPLAY_HEADER: entry.replay.encode()}
    for at in np.flatnonzero(delivered | lost).tolist():
        name = rows[at]
        told = None if name is None else encoded_headers({**headers, names.ROW_HEADER: name})
        yield leaves[at] if delivered[at] else digest_leaf(records[at].key, told)


def _offsets(entry: Entry) -> Iterator[int]:
    """The source offsets that an entry covers."""
    return (offset for run in entry.runs for offset in range(run.first, run.first + run.count))


def _end(entry: Entry) -> int:
    """The source offset after the entry's last record."""
    return entry.runs[-1].first + entry.runs[-1].count
