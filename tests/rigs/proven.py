"""What `exchange ledger verify` finds in the steps of a router, without Kafka: all of it but the reading."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from exchange import names
from exchange.audit.holders import Remembered, RowHolders, fold
from exchange.audit.inboxes import Contents, Cut, deliveries
from exchange.audit.proofs import Proof, Verification, said_by
from exchange.audit.reread import PlainRecord, plain_records
from exchange.audit.row_tags import RowTags
from exchange.audit.verify import Expect
from exchange.contract.model import Epoch
from exchange.ledger.entry import Entry
from exchange.names import Partition
from exchange.records import header
from exchange.records.build import Batch
from exchange.records.header import RawBatch
from tests.rigs.routing import KEY, SUBJECT, Routed


@dataclass
class Ledgered:
    """Committed steps of one partition: their entries, source records, and what each topic got."""

    epochs: list[Epoch]
    entries: list[Entry] = field(default_factory=list)
    sources: list[list[PlainRecord]] = field(default_factory=list)
    topics: defaultdict[Partition, list[PlainRecord]] = field(default_factory=lambda: defaultdict(list))

    def commit(self, given: RawBatch, made: Routed) -> None:
        """Take in a committed step and the records that it decided."""
        self.entries.append(made.step.entry)
        self.sources.append(list(plain_records(given)))
        for place, batches in made.step.outputs.items():
            self.topics[place] += records(place, batches)

    def holdings(self, found: Verification) -> RowHolders:
        """What the entries say of who holds which rows."""
        return fold(self.proofs(), said_by(self.epochs).grants, found)[names.subject_topic(SUBJECT), 1]

    def proofs(self) -> list[Proof]:
        """The entries with their places."""
        return [Proof(f"{names.LEDGER_TOPIC}/0/{at}", entry, 7) for at, entry in enumerate(self.entries)]

    def verify(self) -> list[str]:
        """Every fault found, with its place."""
        found, said = Verification(), said_by(self.epochs)
        row_tags = RowTags(said.schemas, KEY)
        waiting = deliveries(self.proofs(), said.grants, found)
        folded = fold(self.proofs(), said.grants, found)
        for proof, source in zip(self.proofs(), self.sources, strict=True):
            Expect(said, row_tags, KEY, found).entry(proof, source)
        remembered = Remembered()
        for record in self.topics[names.holdings_topic(SUBJECT), 1]:
            remembered.take(record.key or b"", record.value)
        for holdings in folded.values():
            wrong = remembered.wrong(holdings)
            found.expect(not wrong, "holdings", f"{wrong} rows have other holders there than in the entries")
        for (place, _), told in waiting.items():
            cut = Cut(place, deque(told), found)
            inside = None
            if told[0].has_rows:
                inside = Contents(place, told[0].given, folded[told[0].given.source, place[1]], row_tags)
            for record in self.topics[place]:
                delivery = cut.take(record)
                if inside and delivery:
                    inside.take(record, delivery.given)
            cut.end()
            if inside:
                inside.compare(found)
        return [f"{one.place}: {one.fault}" for one in found.mismatches]


def records(place: Partition, batches: Sequence[Batch]) -> Iterator[PlainRecord]:
    """The records of batches as the audit reads them."""
    for made in batches:
        twin = made.twin()
        header.stamp(twin.head, twin.body, 7, 0, 0, True)
        data = bytes(twin.data)
        yield from plain_records(RawBatch(*place, header.parse(data), memoryview(data), 0))
