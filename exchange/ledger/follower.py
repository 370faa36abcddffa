"""Follows the ledger from Kafka into SQL, including how the transaction of each entry ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from exchange import metrics, names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.record import records
from exchange.contract import epoch
from exchange.errors import CorruptionError, TransientError
from exchange.gap import GapError
from exchange.ledger.body import decode, validate_entry
from exchange.ledger.intake import Intake, Marker, Placed, State
from exchange.ledger.merkle import digest_leaf
from exchange.ledger.store import FOLLOW_ANEW, LedgerContradictionError, LedgerStore
from exchange.names import Partition
from exchange.records.header import RawBatch
from exchange.schema import wire

STEP_RECORDS = 200_000
GATHER_S = 0.2
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_log = logging.getLogger("exchange.ledger")


class LedgerMissingError(TransientError):
    """The cluster does not have a ledger topic yet."""

    code = "ledger-missing"
    remedy = "run `exchange apply`"


class LedgerRecordError(CorruptionError):
    """A record on the ledger topic is not what a router writes."""

    code = "ledger-record"
    remedy = "find out who else may write the ledger topic"


class Follower:
    """Copies `exchange.ledger` and the epochs into a `LedgerStore`; if killed at any point, it goes on from there.

    It reads uncommitted records. A reader that does the same may have seen a delivery of a transaction that aborted, so
    its entry must be in the store too; it is marked `aborted` when the marker comes.
    """

    def __init__(self, cluster: Cluster, store: LedgerStore, *, clock: Callable[[], float] = time.time) -> None:
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._next: dict[Partition, int] = {}
        self._failure: str | None = None
        self._behind = 0

    def health(self) -> metrics.Health:
        """Healthy unless the follower has to retry."""
        ok = self._failure is None
        facts = {"failure": self._failure, "behind_records": self._behind}
        return metrics.Health(ok, facts, {metrics.Part("ledger"): not ok})

    def follow(self, stop: Event, *, until_idle: bool = False) -> None:
        """Follow until `stop` is set; with `until_idle`, until all entries are stored and decided.

        After a TransientError it goes on (with `until_idle`, a few times). Raises CorruptionError, with the place, if
        the ledger is not as it must be.
        """
        failures = 0
        while not stop.is_set():
            try:
                with self._open() as consumer:
                    while not stop.is_set():
                        if not self._take_step(consumer) and until_idle and self._is_idle(consumer):
                            return
                        failures, self._failure = 0, None
            except TransientError as error:
                failures, self._failure = failures + 1, error.code
                if until_idle and failures > 2 * len(BACKOFF_S):
                    raise
                metrics.TRANSACTION_FAILURES.labels(error.code).inc()
                _log.warning("trying again", extra={"code": error.code, "attempt": failures}, exc_info=error)
                stop.wait(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    def _open(self) -> Consumer:
        taken = self._store.positions()
        with Consumer(self._cluster, isolation="read_uncommitted") as consumer:
            ledger = [(names.LEDGER_TOPIC, p) for p in consumer.partitions(names.LEDGER_TOPIC)]
            if not ledger:
                raise LedgerMissingError(f"there is no topic {names.LEDGER_TOPIC} yet")
            wanted = [*ledger, (names.CONTRACT_TOPIC, 0)] if consumer.partitions(names.CONTRACT_TOPIC) else ledger
            ends = consumer.end_offsets(wanted)
            topic_ids = consumer.topic_ids({topic for topic, _ in wanted})
        self._store.require_topics(topic_ids)
        self._next = {place: taken.get(place, 0) for place in wanted}
        for place, offset in self._next.items():
            if offset > ends[place]:
                raise _gap(place, ends[place], offset)
        return Consumer(
            self._cluster,
            assignment=self._next,
            topic_ids=topic_ids,
            isolation="read_uncommitted",
            control=True,
            max_batches=64,
        )

    def _take_step(self, consumer: Consumer) -> bool:
        """Store what one short gathering finds; return False if there was nothing."""
        intake = Intake()
        last_ms = 0
        deadline = time.monotonic() + GATHER_S
        while intake.records < STEP_RECORDS and time.monotonic() < deadline:
            batches = self._poll(consumer)
            for batch in batches:
                self._take(intake, batch)
                last_ms = batch.header.max_timestamp
            if not batches:
                break
        if intake.positions:
            for state, count in self._store.apply(intake).items():
                metrics.LEDGER_ENTRIES.labels(state).inc(count)
            _log.debug("taken in", extra={"entries": len(intake.entries), "records": intake.records})
        self._report_lag(consumer, last_ms)
        return bool(intake.positions)

    def _poll(self, consumer: Consumer) -> list[RawBatch]:
        try:
            return consumer.poll(GATHER_S)
        except GapError as error:
            raise LedgerContradictionError(error.message, remedy=FOLLOW_ANEW) from error

    def _take(self, intake: Intake, batch: RawBatch) -> None:
        place = (batch.topic, batch.partition)
        start = self._next[place]
        # A topic that is never compacted has no gaps for a reader of uncommitted records and markers.
        if batch.header.base_offset != start:
            raise _gap(place, batch.header.base_offset, start)
        if batch.topic == names.CONTRACT_TOPIC:
            take_epochs(intake, batch)
        elif batch.header.is_control:
            state: State = "committed" if batch.committed else "aborted"
            intake.end(Marker(batch.partition, batch.header.base_offset, batch.header.producer_id, state))
        else:
            take_entries(intake, batch)
        self._next[place] = batch.header.next_offset
        intake.advance(batch.topic, batch.partition, start, batch.header.next_offset)

    def _is_idle(self, consumer: Consumer) -> bool:
        ends = consumer.end_offsets(self._next)
        return all(self._next[place] >= end for place, end in ends.items()) and not self._store.open_entries()

    def _report_lag(self, consumer: Consumer, last_ms: int) -> None:
        self._behind = sum(
            max(0, end - self._next[place])
            for place, (_, end) in consumer.positions().items()
            if place[0] == names.LEDGER_TOPIC
        )
        metrics.LEDGER_FOLLOWER_LAG.set(self._behind)
        if not self._behind:
            metrics.LEDGER_FOLLOWER_LAG_SECONDS.set(0)
        elif last_ms:  # if nothing came in this time, the lag is no shorter than before
            metrics.LEDGER_FOLLOWER_LAG_SECONDS.set(max(0.0, self._clock() - last_ms / 1000))


def take_entries(intake: Intake, batch: RawBatch) -> None:
    """Add the ledger entries of a data batch; raises LedgerRecordError with the place of a record that is not one."""
    if not batch.header.is_transactional:
        raise LedgerRecordError(f"{_place(batch, batch.header.base_offset)} was written outside of a transaction")
    for record in records(batch):
        try:
            body = bytes(wire.unpack(record.value or b"")[1])
            entry = decode(body)
            validate_entry(entry)
        except (wire.WireError, CorruptionError) as error:
            raise LedgerRecordError(f"{_place(batch, record.offset)}: {error.message}") from error
        digest = digest_leaf(record.key, record.value)
        intake.add(Placed(batch.partition, record.offset, batch.header.producer_id, digest, body, entry))


def take_epochs(intake: Intake, batch: RawBatch) -> None:
    """Add the contract epochs of a data batch; raises LedgerRecordError with the place of a record that is not one."""
    for record in [] if batch.header.is_control else records(batch):
        try:
            intake.epochs.append(epoch.decode(record.value or b""))
        except epoch.EpochError as error:
            raise LedgerRecordError(f"{_place(batch, record.offset)} is not a contract epoch") from error


def _place(batch: RawBatch, offset: int) -> str:
    return f"{batch.topic}/{batch.partition} offset {offset}"


def _gap(place: Partition, found: int, wanted: int) -> LedgerContradictionError:
    return LedgerContradictionError(
        f"{place[0]}/{place[1]} goes on at offset {found}, not at {wanted}",
        remedy=FOLLOW_ANEW,
    )
