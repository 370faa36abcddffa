"""Write what was decided: one transaction, ledger first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exchange.bus.consume import Membership
from exchange.bus.produce import Producer, Transaction
from exchange.contract import names
from exchange.ledger import entry as ledger
from exchange.records.build import pack
from exchange.router.step import Step
from exchange.schema import wire


@dataclass(frozen=True)
class Decided:
    """Steps that are to take effect together, and the source offsets that they end at."""

    steps: Sequence[Step]
    offsets: dict[tuple[str, int], int]
    membership: Membership


class Writer:
    """Writes through one transactional producer; `schema_id` is that of the ledger's entries."""

    def __init__(self, out: Producer, ledger_partitions: int) -> None:
        self._out = out
        self._ledger_partitions = ledger_partitions

    def entry(self, entry: ledger.Entry, schema_id: int) -> None:
        """Write one ledger entry in a transaction of its own."""
        with self._out.transaction() as transaction:
            self._send_entry(transaction, entry, schema_id)

    def decided(self, decided: Decided, schema_id: int) -> None:
        """Write entries, deliveries and quarantined records, and commit the source offsets with them."""
        with self._out.transaction() as transaction:
            transaction.enlist({place for made in decided.steps for place in self._places(made)})
            for made in decided.steps:
                self._send_entry(transaction, made.entry, schema_id)
            transaction.flush()  # ledger first: whatever can be read anywhere is in it
            for made in decided.steps:
                _deliver(transaction, made)
            transaction.flush()
            transaction.send_offsets(decided.offsets, decided.membership)

    def _send_entry(self, transaction: Transaction, entry: ledger.Entry, schema_id: int) -> None:
        value = wire.pack(schema_id, ledger.encode(entry))
        key = ledger.record_key(entry.topic, entry.partition)
        transaction.send(*self._ledger_place(entry), pack([key], [value], [entry.time_ms]))

    def _ledger_place(self, entry: ledger.Entry) -> tuple[str, int]:
        return names.LEDGER, ledger.ledger_partition(entry.topic, entry.partition, self._ledger_partitions)

    def _places(self, made: Step) -> Iterable[tuple[str, int]]:
        """Every topic partition that a step writes."""
        yield self._ledger_place(made.entry)
        for topics, _ in made.deliveries:
            for inbox in topics:
                yield inbox, made.entry.partition
        if made.quarantined:
            yield names.quarantine_topic(names.subject_of(made.entry.topic)), made.entry.partition


def _deliver(transaction: Transaction, made: Step) -> None:
    partition = made.entry.partition
    for topics, batches in made.deliveries:
        for inbox in topics[1:]:
            transaction.send(inbox, partition, [batch.twin() for batch in batches])
        transaction.send(topics[0], partition, batches)
    if made.quarantined:
        transaction.send(names.quarantine_topic(names.subject_of(made.entry.topic)), partition, made.quarantined)
