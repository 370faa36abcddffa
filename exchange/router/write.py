"""Writes what was decided: one transaction, ledger first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from exchange import names
from exchange.bus.consume import Membership
from exchange.bus.produce import Producer, Transaction
from exchange.contract.period import moment_of
from exchange.contract.quota import USES, Use, encode
from exchange.errors import ConfigError, TransientError
from exchange.ledger import body
from exchange.ledger import entry as ledger
from exchange.names import Partition
from exchange.records.build import pack
from exchange.router.clock import BrokerClock
from exchange.router.step import Step
from exchange.schema import wire

CLOCK_ERROR_MS = 60_000


class WrongTimeError(TransientError):
    """What was decided does not hold at the broker's time, known only now: decide again."""

    code = "wrong-time"
    remedy = "keep clocks by NTP"


class NoBrokerTimeError(ConfigError):
    """The ledger's topic does not say when the broker appended an entry."""

    code = "no-broker-time"
    remedy = "set its config as the contract has it: exchange apply"


@dataclass(frozen=True)
class Decided:
    """Steps that take effect together.

    With the source offsets at which they end, and what they use of quotas.
    """

    steps: Sequence[Step]
    offsets: Mapping[Partition, int]
    membership: Membership
    uses: Sequence[Use] = ()


class Writer:
    """Writes through one transactional producer; `schema_id` is always the id of the ledger entries' schema.

    The time that counts is the broker's when it appended the entries; `clock` learns it here.
    """

    def __init__(self, out: Producer, ledger_partitions: int, clock: BrokerClock) -> None:
        self._out = out
        self._ledger_partitions = ledger_partitions
        self._clock = clock

    def entries(
        self,
        entries: Sequence[ledger.Entry],
        schema_id: int,
        offsets: Mapping[Partition, int] = MappingProxyType({}),
        membership: Membership | None = None,
    ) -> None:
        """Write ledger entries in a transaction of their own, and commit these source offsets with them.

        Raises WrongTimeError if their time is off by a minute.
        """
        with self._out.transaction() as transaction:
            self._send_entries(transaction, entries, schema_id)
            moments_ms = [appended.timestamp() * 1000 for appended in self._acknowledged(transaction)]
            if any(abs(moment_ms - entry.time_ms) > CLOCK_ERROR_MS for moment_ms in moments_ms for entry in entries):
                raise WrongTimeError("this router's clock is not the broker's")
            if membership:
                transaction.send_offsets(offsets, membership)

    def offsets(self, offsets: Mapping[Partition, int], membership: Membership) -> None:
        """Commit source offsets up to which there was nothing to decide."""
        with self._out.transaction() as transaction:
            transaction.send_offsets(offsets, membership)

    def decided(self, decided: Decided, schema_id: int) -> None:
        """Write entries, deliveries and quarantined records, and commit the source offsets with them.

        If a grant began or ended between decision and entry, raises WrongTimeError and delivers nothing.
        """
        with self._out.transaction() as transaction:
            places = {place for made in decided.steps for place in self._written(made)}
            transaction.enlist(places | ({(names.QUOTA_TOPIC, USES)} if decided.uses else set()))
            self._send_entries(transaction, [made.entry for made in decided.steps], schema_id)
            # Ledger first: whatever anyone can read is in it already.
            for appended in self._acknowledged(transaction):
                if not all(made.subject.holds_at(appended) for made in decided.steps):
                    raise WrongTimeError("a grant began or ended since the records were decided")
            for made in decided.steps:
                for partition, batches in made.outputs.items():
                    transaction.send(*partition, batches)
            for use in decided.uses:
                batches = pack([use.grant.encode()], [encode(use)], [decided.steps[0].entry.time_ms])
                transaction.send(names.QUOTA_TOPIC, USES, batches)
            transaction.flush()
            transaction.send_offsets(decided.offsets, decided.membership)

    def feeders(self, decided: Decided, places: Iterable[Partition]) -> dict[Partition, set[Partition]]:
        """For each of these destinations, the source partitions whose records go there."""
        quotas = {use.grant for use in decided.uses}
        feeding: dict[Partition, set[Partition]] = {place: set() for place in places}
        for made in decided.steps:
            has_quota = any(quotas.intersection(outcome.grants) for outcome in made.entry.outcomes)
            written = self._written(made) | ({(names.QUOTA_TOPIC, USES)} if has_quota else set())
            for place in written & feeding.keys():
                feeding[place].add((made.entry.topic, made.entry.partition))
        return feeding

    def _acknowledged(self, transaction: Transaction) -> list[datetime]:
        """Wait until the entries are acknowledged; return when the broker appended each batch of them."""
        times_ms = transaction.flush()
        if any(time_ms < 0 for time_ms in times_ms):
            message = f"{names.LEDGER_TOPIC} does not keep the broker's time"
            raise NoBrokerTimeError(message)
        if times_ms:
            self._clock.learn(max(times_ms))
        return [moment_of(time_ms) for time_ms in times_ms]

    def _send_entries(self, transaction: Transaction, entries: Iterable[ledger.Entry], schema_id: int) -> None:
        """Send the entries of each ledger partition together: a request has one batch per partition."""
        by_place: dict[Partition, list[ledger.Entry]] = {}
        for entry in entries:
            by_place.setdefault(self._ledger_place(entry), []).append(entry)
        for place, those in by_place.items():
            keys = [ledger.record_key(entry.topic, entry.partition) for entry in those]
            values = [wire.pack(schema_id, body.encode(entry)) for entry in those]
            transaction.send(*place, pack(keys, values, [entry.time_ms for entry in those]))

    def _ledger_place(self, entry: ledger.Entry) -> Partition:
        return names.LEDGER_TOPIC, ledger.ledger_partition(entry.topic, entry.partition, self._ledger_partitions)

    def _written(self, made: Step) -> set[Partition]:
        """Every partition that a step writes."""
        return {self._ledger_place(made.entry), *made.outputs}
