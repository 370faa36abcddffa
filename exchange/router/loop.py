"""The router's loop: gather and decide in one thread, write the transaction before in another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from exchange import metrics, names
from exchange.bus import Cluster
from exchange.bus.connection import BusForbiddenError
from exchange.bus.consume import Consumer
from exchange.bus.produce import FencedError, Producer
from exchange.bus.refusals import RefusedError
from exchange.contract.model import Grant
from exchange.contract.period import ms_of
from exchange.epochs import Published
from exchange.errors import ExchangeError, TransientError
from exchange.ledger import entry as ledger
from exchange.names import Partition
from exchange.records import hashes
from exchange.records.scan import scan
from exchange.records.warm_up import warm_up
from exchange.router import report
from exchange.router.clock import BrokerClock
from exchange.router.epoch_watch import CONTRACT, EpochWatch
from exchange.router.gather import Gathered, Gatherer
from exchange.router.losses import Losses, PassedOver
from exchange.router.quotas import NoQuotaError, Quotas
from exchange.router.ready import Plans
from exchange.router.rivals import Rivals
from exchange.router.sources import Sources
from exchange.router.step import RunSource, Step, step
from exchange.router.suspended import Suspended
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


class NoLedgerError(TransientError):
    """The ledger's topic is not there: no record may be delivered that is not in it."""

    code = "no-ledger"
    remedy = "run `exchange apply`, which makes it again"


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
        self._tag_state = hashes.tag_state(ledger_key)
        self._pseudonym_key = pseudonym_key
        self._limits = limits
        self._clock = BrokerClock(clock)
        self._current: Published | None = None
        self._suspended = Suspended()
        self._readers: dict[str, str] = {}
        self._behind = report.Lag()
        self._failures = 0
        self._reason = ""
        self._is_lost = False
        self._rivals = Rivals(instance)
        self._quotas = Quotas(self._cluster, instance, self._clock)
        self._limited: list[Grant] = []
        self._writing = _done()
        self._decided: list[Decided] = []
        self._losses = Losses(instance, self._suspended)
        self._passed = PassedOver(self._suspended)

    def run(self, stop: threading.Event) -> None:
        """Route until `stop` is set; transient failures are replayed, anything else is raised."""
        warm_up()
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
                self._sources = Sources(source, self._suspended)
                self._gatherer = Gatherer(source, max_bytes=self._limits.max_bytes, max_wait_s=self._limits.max_wait_s)
                try:
                    self._route(stop, watch, source, out)
                finally:
                    self._quotas.close()

    def health(self) -> metrics.Health:
        """Well while an epoch is in force here, what was tried last is committed, and no partition is left aside."""
        number, aside = self._current.epoch.number if self._current else None, self._suspended.facts
        facts: dict[str, Any] = {"epoch": number, "failures": self._failures, "suspended": aside}
        if self._failures:
            facts["reason"] = self._reason
        ok = number is not None and not self._failures and not aside
        return metrics.Health(ok, facts, {metrics.Part("router"): not ok})

    def _route(self, stop: threading.Event, watch: EpochWatch, source: Consumer, out: Producer) -> None:
        is_new = True
        while not stop.is_set():
            try:
                if self._is_lost:
                    out.renew()
                    self._sources.rewind()
                    self._quotas.give_up()
                    is_new, self._is_lost = True, False
                if is_new:
                    self._writer = Writer(out, _ledger_partitions(source), self._clock)
                    # Whoever published an epoch before this producer was opened could not fence it.
                    watch.catch_up(source.end_offsets([CONTRACT])[CONTRACT], self._limits.timeout_s)
                    is_new = False
                if watch.newest is not self._current:
                    self._adopt(watch.newest, source)
                self._once(source, out)
            except (TransientError, BusForbiddenError) as error:
                wait([self._writing])
                is_aside = self._leave_aside(error)
                self._writing, self._decided, self._is_lost = _done(), [], True
                out.discard()
                metrics.TRANSACTION_FAILURES.labels(error.code).inc()
                if not is_aside:
                    self._fail(error)
                    stop.wait(min(MAX_BACKOFF_S, 0.05 * 2 ** min(self._failures, 10)))
        self._stop(source)

    def _leave_aside(self, error: ExchangeError) -> bool:
        """Whether it was enough to suspend some source partitions; BusForbiddenError where that does not help."""
        if isinstance(error, NoQuotaError):
            subjects = {names.subject_topic(grant.subject) for grant in self._limited}
            return self._sources.leave_unclaimed(error, subjects)
        if isinstance(error, RefusedError):
            return self._sources.leave_aside(error, self._decided, self._writer)
        if isinstance(error, BusForbiddenError) and not self._sources.leave_unread(error):
            raise error
        return isinstance(error, BusForbiddenError)

    def _fail(self, error: ExchangeError) -> None:
        """Nothing is routed for now: say why."""
        self._failures += 1
        self._reason = str(error)
        if isinstance(error, FencedError):
            self._rivals.fenced(self._current)
        facts = {"code": error.code, "failures": self._failures, "reason": error.message, "remedy": error.remedy}
        _log.warning("transaction given up, will be replayed", extra=facts)

    def _once(self, source: Consumer, out: Producer) -> None:
        """Gather and decide, while the transaction before is still being written; then start the next."""
        self._sources.hold(self._plans.unready)
        gathered = self._gatherer.gather(IDLE_S)
        self._sources.drop(gathered)
        parts = gathered.apart({topic for topic, _ in self._suspended.on_trial})
        made = [self._decide(part, source) for part in parts]
        self._settle()
        if parts:
            assert gathered.membership is not None
            uses = self._quotas.begin()
            self._decided = [
                Decided(steps, part.offsets(), gathered.membership, [use for use in uses if use.grant in grants])
                for part, (steps, grants) in zip(parts, made, strict=True)
            ]
            self._writing = self._pool.submit(self._write, list(zip(parts, self._decided, strict=True)))
        if gathered.gaps:
            self._settle()
            assert self._current is not None
            self._losses.meet(gathered.gaps, self._current.epoch, self._writer, source, self._clock.now())
        if self._suspended.due():
            self._settle()
            self._sources.try_again(out)
        self._passed.committed(gathered.offsets())
        self._commit_passed(source)
        self._show_lag(gathered)

    def _commit_passed(self, source: Consumer, *, at_once: bool = False) -> None:
        """Commit what was only passed over, when that is due: also where other partitions are never quiet."""
        if passed := self._passed.due(source, at_once=at_once):
            self._settle()
            self._writer.offsets(passed, source.membership())
            self._passed.committed(passed)

    def _stop(self, source: Consumer) -> None:
        """End the transaction that is being written; while this router stands still, markers may be deleted."""
        wait([self._writing])
        if not self._failures and not self._is_lost and self._current:
            try:
                self._commit_passed(source, at_once=True)
            except TransientError as error:
                _log.warning("not all that was read is committed", extra={"code": error.code})

    def _show_lag(self, under_way: Gathered) -> None:
        """What is behind; where nothing is, all is well again, and nothing is left to try."""
        done = self._sources.done(under_way)
        if self._behind.show(done, self._clock()) == 0 and self._sources.is_known(done):
            self._failures = 0
        self._suspended.routed([place for place, (at, end) in done.items() if at >= end])

    def _settle(self) -> None:
        """Wait for the transactions that are being written; raise what went wrong with them."""
        self._writing.result()
        if self._decided:
            self._failures = 0
            self._suspended.routed([place for decided in self._decided for place in decided.offsets])
            self._decided = []
        self._quotas.committed()

    def _revoked(self, partitions: set[Partition]) -> None:
        """The group takes partitions away: let the last transaction end, if it does soon."""
        wait([self._writing], timeout=REVOKE_S)
        self._gatherer.revoked(partitions)
        self._passed.forget()

    def _adopt(self, published: Published | None, source: Consumer) -> None:
        """Take a new epoch, between transactions, and say so in the ledger: the one before ends with that."""
        assert published is not None
        self._settle()
        epoch = published.epoch
        entry = ledger.adoption(epoch.number, self.instance, ms_of(self._clock.now()), published.offset)
        self._writer.entries([entry], epoch.ledger)
        self._current, self._plans = published, Plans(epoch, self._pseudonym_key)
        partitions = {names.subject_topic(each.id): each.topic.partitions for each in epoch.contract.subjects}
        for topic in partitions:
            self._plans.at(topic, self._clock.now())
        self._sources.subscribe(partitions, epoch.topic_ids)
        self._readers = {grant.id: grant.reader for grant in epoch.contract.grants}
        self._suspended.retry_all()
        source.rewind(self._suspended.on_trial)
        report.adopted(epoch)
        self._limited = [grant for grant in epoch.contract.grants if grant.quota.is_limited]
        self._quotas.show(self._limited)
        _log.info("took an epoch", extra={"epoch": epoch.number})

    def _decide(self, part: Gathered, source: Consumer) -> tuple[list[Step], set[str]]:
        """The steps of a part, and the grants that these are for.

        The partitions of a subject that cannot be made ready leave it.
        """
        assert self._current is not None
        now = self._clock.now()  # one moment for the grants and for the entries
        for topic in {topic for topic, _ in part.batches}:
            if self._plans.at(topic, now) is None:
                aside = {place for place in part.batches if place[0] == topic}
                part.drop(aside)
                source.rewind(aside)
        steps = []
        for place, batches in part.runs():
            plan = self._plans.at(place[0], now)
            assert plan is not None
            at = RunSource(*place, self._current.epoch.number, self.instance, ms_of(now))
            made = step(scan(batches), plan, at, self._tag_state, self._quotas.allow)
            if made.entry.count:
                steps.append(made)
        return steps, {grant for made in steps for outcome in made.entry.outcomes for grant in outcome.grants}

    def _write(self, parts: Sequence[tuple[Gathered, Decided]]) -> None:
        assert self._current is not None
        for gathered, decided in parts:
            self._writer.decided(decided, self._current.epoch.ledger)
            report.committed(decided.steps, gathered, self._readers, self._clock())


def _ledger_partitions(source: Consumer) -> int:
    if count := len(source.partitions(names.LEDGER_TOPIC)):
        return count
    remedy = "nothing can be routed without it: `exchange apply` makes it again"
    raise NoLedgerError(f"{names.LEDGER_TOPIC} does not exist", remedy=remedy)


def _done() -> Future[None]:
    """The write of nothing."""
    future: Future[None] = Future()
    future.set_result(None)
    return future
