"""The router's loop: gather and decide in one thread, write the transaction before in another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime

from exchange import metrics
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.produce import FencedError, Producer
from exchange.contract import names
from exchange.errors import TransientError
from exchange.ledger import entry as ledger
from exchange.records import hash
from exchange.records.scan import SourceBatch, scan
from exchange.router import report
from exchange.router.clock import BrokerClock
from exchange.router.epochs import CONTRACT, EpochWatch, Published
from exchange.router.gather import Gathered, Gatherer
from exchange.router.plan import ReadySubject, make_ready
from exchange.router.quotas import Quotas
from exchange.router.rivals import Rivals
from exchange.router.step import Source, Step, no_quotas, step
from exchange.router.write import Decided, Writer

_log = logging.getLogger("exchange.router")
MAX_BACKOFF_S = 5.0
IDLE_S = 0.1  # an epoch waits no longer to be taken where nothing flows
REVOKE_S = 5.0  # within the session timeout: what is not written by then is refused by its generation


@dataclass(frozen=True)
class Limits:
    """How much one transaction takes on: it ends at `max_bytes`, or `max_wait_s` after its first batch."""

    max_bytes: int = 8 << 20
    max_wait_s: float = 0.02
    timeout_s: float = 15.0


class Router:
    """One router of the group `exchange.router`; several share the work by partitions.

    `instance` names it and its transactional id: two processes must not have the same, the second
    fences the first. `pseudonym_key` may be left out where no grant gives pseudonyms. `clock` gives
    seconds since 1970; what counts for grants is the broker's time, see `BrokerClock`.
    """

    def __init__(
        self,
        cluster: Cluster,
        instance: str,
        ledger_key: bytes,
        *,
        pseudonym_key: bytes = b"",
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.instance = instance
        self._transactional_id = f"{names.ROUTER_GROUP}.{instance}"
        # `apply` waits for the routers that it finds in the group by this name.
        self._cluster = replace(cluster, client_id=self._transactional_id)
        self._tag_state = hash.tag_state(ledger_key)
        self._pseudonym_key = pseudonym_key
        self._limits = limits
        self._clock = BrokerClock(clock)
        self._current: Published | None = None
        self._ready: dict[str, ReadySubject] = {}
        self._readers: dict[str, str] = {}
        self._behind = report.Lag()
        self._failures = 0
        self._rivals = Rivals(instance)
        self._quotas: Quotas | None = None
        self._writing = _done()

    def run(self, stop: threading.Event) -> None:
        """Route until `stop` is set; transient failures are replayed, anything else is raised."""
        hash.warm_up()
        with EpochWatch(self._cluster) as watch:
            while not stop.is_set() and watch.newest is None:
                stop.wait(0.1)
            if watch.newest is None:
                return
            with (
                Producer(self._cluster, self._transactional_id, timeout_s=self._limits.timeout_s) as out,
                Consumer(self._cluster, group=names.ROUTER_GROUP, on_revoked=self._revoked) as source,
                ThreadPoolExecutor(1, "writer") as self._pool,
            ):
                self._gatherer = Gatherer(source, max_bytes=self._limits.max_bytes, max_wait_s=self._limits.max_wait_s)
                self._writer = Writer(out, len(source.partitions(names.LEDGER)), self._clock)
                try:
                    self._route(stop, watch, source, out)
                finally:
                    if self._quotas:
                        self._quotas.close()

    def health(self) -> metrics.Health:
        """Well while an epoch is in force here and the last transaction went through."""
        number = self._current.epoch.number if self._current else None
        ok = number is not None and not self._failures
        facts = {"epoch": number, "failures": self._failures}
        return metrics.Health(ok, facts, {metrics.Part("router"): not ok})

    def _route(self, stop: threading.Event, watch: EpochWatch, source: Consumer, out: Producer) -> None:
        is_new = True
        while not stop.is_set():
            try:
                if self._failures:
                    out.renew()
                    source.rewind()
                    if self._quotas:
                        self._quotas.recover()
                    is_new = True
                if is_new:
                    # Whoever published an epoch before this producer was opened could not fence it.
                    watch.catch_up(source.end_offsets([CONTRACT])[CONTRACT], self._limits.timeout_s)
                    is_new = False
                if watch.newest is not self._current:
                    self._adopt(watch.newest, source)
                self._once(source)
            except TransientError as error:
                self._failures += 1
                if isinstance(error, FencedError):
                    self._rivals.fenced(self._current)
                metrics.TRANSACTION_FAILURES.labels(error.code).inc()
                facts = {"code": error.code, "failures": self._failures}
                _log.warning("transaction given up, will be replayed", extra=facts)
                wait([self._writing])
                self._writing = _done()
                out.discard()
                stop.wait(min(MAX_BACKOFF_S, 0.05 * 2 ** min(self._failures, 10)))
        wait([self._writing])

    def _once(self, source: Consumer) -> None:
        """Gather and decide, while the transaction before is still being written; then start the next."""
        gathered = self._gatherer.gather(IDLE_S)
        plans: list[ReadySubject] = []
        steps = [self._step(place, batches, plans) for place, batches in gathered.runs()]
        self._settle()
        if gathered.batches:
            assert gathered.membership is not None
            made = [step for step in steps if step.entry.count]
            uses = self._quotas.begin() if self._quotas else []
            decided = Decided(made, gathered.offsets(), gathered.membership, plans, uses)
            self._writing = self._pool.submit(self._write, gathered, decided)
        self._behind.show(source.positions(), self._clock())

    def _settle(self) -> None:
        """Wait for the transaction that is being written; raise what went wrong with it."""
        self._writing.result()
        self._failures = 0
        if self._quotas:
            self._quotas.committed()

    def _revoked(self, partitions: set[tuple[str, int]]) -> None:
        """The group takes partitions away: let the last transaction end, if it does soon."""
        wait([self._writing], timeout=REVOKE_S)
        self._gatherer.revoked(partitions)

    def _adopt(self, published: Published | None, source: Consumer) -> None:
        """Take a new epoch, between transactions, and say so in the ledger: the one before ends with that."""
        assert published is not None
        self._settle()
        epoch = published.epoch
        entry = ledger.adoption(epoch.number, self.instance, _ms(self._clock.now()), published.offset)
        self._writer.entry(entry, epoch.ledger)
        now = self._clock.now()
        ready = {s.id: make_ready(epoch, s.id, now, self._pseudonym_key) for s in epoch.contract.subjects}
        if self._quotas is None and any(grant.quota.is_limited for grant in epoch.contract.grants):
            self._quotas = Quotas(self._cluster, self.instance, self._clock)
        if ready.keys() != self._ready.keys():
            source.subscribe([names.subject_topic(subject) for subject in ready])
        self._current, self._ready = published, ready
        self._readers = {grant.id: grant.reader for grant in epoch.contract.grants}
        report.adopted(epoch)
        if self._quotas:
            self._quotas.show(epoch.contract.grants)
        _log.info("took an epoch", extra={"epoch": epoch.number})

    def _step(self, place: tuple[str, int], batches: Sequence[SourceBatch], plans: list[ReadySubject]) -> Step:
        assert self._current is not None
        topic, partition = place
        subject_id = names.subject_of(topic)
        ready, now = self._ready[subject_id], self._clock.now()  # one moment for the grants and for the entry
        if not ready.holds_at(now):
            ready = self._ready[subject_id] = make_ready(self._current.epoch, subject_id, now, self._pseudonym_key)
        plans.append(ready)
        source = Source(topic, partition, self._current.epoch.number, self.instance, _ms(now))
        allow = self._quotas.allow if self._quotas else no_quotas
        return step(scan(batches), ready, source, self._tag_state, allow)

    def _write(self, gathered: Gathered, decided: Decided) -> None:
        assert self._current is not None
        self._writer.decided(decided, self._current.epoch.ledger)
        report.committed(decided.steps, gathered, self._readers, self._clock())


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _done() -> Future[None]:
    """The write of nothing."""
    future: Future[None] = Future()
    future.set_result(None)
    return future
