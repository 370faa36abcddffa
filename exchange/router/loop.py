"""The router's loop: gather, decide, and write everything in one transaction, ledger first."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from exchange import metrics
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.produce import Producer, Transaction
from exchange.contract import names
from exchange.errors import TransientError
from exchange.ledger import entry as ledger
from exchange.records import hash
from exchange.records.build import Batch, pack
from exchange.records.scan import scan
from exchange.router import report
from exchange.router.epochs import EpochWatch, Published
from exchange.router.gather import Gathered, Gatherer
from exchange.router.plan import ReadySubject, make_ready
from exchange.router.step import Source, Step, step
from exchange.schema import wire

_log = logging.getLogger("exchange.router")
MAX_BACKOFF_S = 5.0


@dataclass(frozen=True)
class Limits:
    """How much one transaction takes on: it ends at `max_bytes`, or `max_wait_s` after its first batch."""

    max_bytes: int = 16 << 20
    max_wait_s: float = 0.02
    timeout_s: float = 15.0


class Router:
    """One router of the group `exchange.router`; several share the work by partitions.

    `instance` names it and its transactional id: two processes must not have the same, the second
    fences the first. `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        cluster: Cluster,
        instance: str,
        ledger_key: bytes,
        *,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.instance = instance
        self._cluster = cluster
        self._tag_state = hash.tag_state(ledger_key)
        self._limits = limits
        self._clock = clock
        self._current: Published | None = None
        self._ready: dict[str, ReadySubject] = {}
        self._behind = report.Lag()
        self._failures = 0

    def run(self, stop: threading.Event) -> None:
        """Route until `stop` is set; transient failures are replayed, anything else is raised."""
        hash.warm_up()
        with EpochWatch(self._cluster) as watch:
            while not stop.is_set() and watch.newest is None:
                stop.wait(0.1)
            if watch.newest is None:
                return
            transactional_id = f"{names.ROUTER_GROUP}.{self.instance}"
            with (
                Producer(self._cluster, transactional_id, timeout_s=self._limits.timeout_s) as out,
                Consumer(self._cluster, group=names.ROUTER_GROUP, on_revoked=self._revoked) as source,
            ):
                self._gatherer = Gatherer(source, max_bytes=self._limits.max_bytes, max_wait_s=self._limits.max_wait_s)
                self._ledger_partitions = len(source.partitions(names.LEDGER))
                self._route(stop, watch, source, out)

    def health(self) -> metrics.Health:
        """Well while an epoch is in force here and the last transaction went through."""
        number = self._current.epoch.number if self._current else None
        return metrics.Health(number is not None and not self._failures, {"epoch": number, "failures": self._failures})

    def _revoked(self, partitions: set[tuple[str, int]]) -> None:
        self._gatherer.revoked(partitions)

    def _route(self, stop: threading.Event, watch: EpochWatch, source: Consumer, out: Producer) -> None:
        while not stop.is_set():
            try:
                if self._failures:
                    out.renew()
                    source.rewind()
                if watch.newest is not self._current:
                    self._adopt(watch.newest, source, out)
                gathered = self._gatherer.gather(idle_s=0.25)
                if gathered.batches:
                    self._transact(gathered, out)
                self._behind.show(source.positions(), self._clock())
                self._failures = 0
            except TransientError as error:
                self._failures += 1
                metrics.TRANSACTION_FAILURES.labels(error.code).inc()
                _log.warning(
                    "transaction given up, will be replayed", extra={"code": error.code, "failures": self._failures}
                )
                out.discard()
                stop.wait(min(MAX_BACKOFF_S, 0.05 * 2 ** min(self._failures, 10)))

    def _adopt(self, published: Published | None, source: Consumer, out: Producer) -> None:
        """Take a new epoch, between transactions, and say so in the ledger."""
        assert published is not None
        entry = ledger.adoption(published.epoch.number, self.instance, self._now_ms(), published.offset)
        ready = {s.id: make_ready(published.epoch, s.id, self._now()) for s in published.epoch.contract.subjects}
        with out.transaction() as transaction:
            self._write_entry(transaction, published, entry)
        before = set(self._ready)
        self._current, self._ready = published, ready
        if set(ready) != before:
            source.subscribe([names.subject_topic(subject) for subject in ready])
        report.adopted(published.epoch)
        _log.info("took an epoch", extra={"epoch": published.epoch.number})

    def _transact(self, gathered: Gathered, out: Producer) -> None:
        assert self._current is not None
        assert gathered.membership is not None
        steps = [(source, self._step(source, batches)) for source, batches in gathered.runs()]
        steps = [(source, made) for source, made in steps if made.entry.count]
        with out.transaction() as transaction:
            transaction.enlist({place for source, made in steps for place in self._places(source, made)})
            for _, made in steps:
                self._write_entry(transaction, self._current, made.entry)
            transaction.flush()  # ledger first: nothing can be read anywhere that is not in it
            for (topic, partition), made in steps:
                for topics, batches in made.deliveries:
                    for inbox in topics:
                        transaction.send(inbox, partition, [Batch(batch.data[:], batch.records) for batch in batches])
                transaction.send(names.quarantine_topic(names.subject_of(topic)), partition, made.quarantined)
            transaction.flush()
            transaction.send_offsets(gathered.offsets(), gathered.membership)
        report.committed([made for _, made in steps], gathered, self._clock())

    def _step(self, source: tuple[str, int], batches: list) -> Step:
        assert self._current is not None
        topic, partition = source
        subject_id = names.subject_of(topic)
        ready = self._ready[subject_id]
        if self._now() >= ready.valid_until:
            ready = self._ready[subject_id] = make_ready(self._current.epoch, subject_id, self._now())
        place = Source(topic, partition, self._current.epoch.number, self.instance, self._now_ms())
        return step(scan(batches), ready, place, self._tag_state)

    def _places(self, source: tuple[str, int], made: Step) -> list[tuple[str, int]]:
        """Every topic partition that a step writes."""
        topic, partition = source
        places = [(inbox, partition) for topics, _ in made.deliveries for inbox in topics]
        places.append((names.LEDGER, ledger.ledger_partition(topic, partition, self._ledger_partitions)))
        if made.quarantined:
            places.append((names.quarantine_topic(names.subject_of(topic)), partition))
        return places

    def _write_entry(self, transaction: Transaction, published: Published, entry: ledger.Entry) -> None:
        value = wire.pack(published.epoch.ledger, ledger.encode(entry))
        partition = ledger.ledger_partition(entry.topic, entry.partition, self._ledger_partitions)
        key = ledger.record_key(entry.topic, entry.partition)
        transaction.send(names.LEDGER, partition, pack([key], [value], [entry.time_ms]))

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
