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
from exchange.contract.period import ms_of
from exchange.epoch_watch import CONTRACT, EpochWatch
from exchange.epochs import Published
from exchange.errors import ExchangeError, TransientError
from exchange.ledger import entry as ledger
from exchange.names import Partition
from exchange.records.scan import scan
from exchange.records.tags import Tagger
from exchange.records.warm_up import warm_up
from exchange.router import report
from exchange.router.clock import BrokerClock
from exchange.router.gather import Gathered, Gatherer
from exchange.router.holdings import NO_HOLDINGS, Holdings
from exchange.router.in_force import InForce
from exchange.router.losses import Losses, PassedOver
from exchange.router.quotas import NoQuotaError, Quotas
from exchange.router.resync import Resyncs
from exchange.router.rivals import Rivals
from exchange.router.sources import Sources
from exchange.router.step import RunSource, Step, step
from exchange.router.suspended import Suspended
from exchange.router.write import Decided, Writer

_log = logging.getLogger("exchange.router")
MAX_BACKOFF_S = 5.0
IDLE_S = 0.2  # if nothing flows, a new epoch waits no longer than this to be taken
SHOW_S = 1.0  # the greatest age of the lag that is shown
BUSY_S = 0.005  # the same while this router makes true what a reader holds
REVOKE_S = 5.0  # within the session timeout: what is not written by then is refused by its generation


@dataclass(frozen=True)
class Limits:
    """How much one transaction takes on: at most `max_bytes`, gathered for at most `max_wait_s`; see `Gatherer`."""

    max_bytes: int = 8 << 20
    max_wait_s: float = 0.06
    timeout_s: float = 15.0


@dataclass(frozen=True)
class Opened:
    """What a router has open while it runs; `pool` is the thread that writes."""

    watch: EpochWatch
    out: Producer
    source: Consumer
    sources: Sources
    pool: ThreadPoolExecutor


class NoLedgerError(TransientError):
    """The ledger's topic is not there: no record may be delivered that is not in it."""

    code = "no-ledger"
    remedy = "run `exchange apply`, which makes it again"


class Router:
    """One router of the group `exchange.router`; several share the work by partitions.

    `instance` names it and its transactional id: two processes must not have the same, the second
    fences the first. `pseudonym_key` may be left out if no grant gives pseudonyms. `clock` gives
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
        self._tagger = Tagger(ledger_key)
        self._pseudonym_key = pseudonym_key
        self._limits = limits
        self._clock = BrokerClock(clock)
        self._in_force: InForce | None = None  # until the ledger has it that this router took its first epoch
        self._failures = 0
        self._reason = "prepares: at its first start on a machine, a router compiles for a minute or so"
        self._suspended = Suspended()
        self._losses = Losses(instance, self._suspended)
        self._passed = PassedOver(self._suspended)
        self._rivals = Rivals(instance)
        self._quotas = Quotas(self._cluster, instance, self._clock)
        self._holdings = Holdings(self._cluster, self._tagger.key_id)
        self._resyncs = Resyncs(self._cluster, self._holdings, self._tagger, self._quotas, instance, pseudonym_key)
        self._behind = report.Lag()
        self._shown_s = 0.0
        self._gatherer = Gatherer(max_bytes=limits.max_bytes, max_wait_s=limits.max_wait_s)
        self._writing = _done()
        self._decided: list[Decided] = []  # what is being written

    def run(self, stop: threading.Event) -> None:
        """Route until `stop` is set; transient failures are replayed, anything else is raised."""
        _log.info("starts", extra={"reason": self._reason})
        warm_up()
        self._reason = "waits for a contract; `exchange apply` publishes one"
        with EpochWatch(self._cluster) as watch:
            while watch.newest is None:
                if stop.wait(0.1):
                    return
            with (
                Producer(self._cluster, self._transactional_id, timeout_s=self._limits.timeout_s) as out,
                Consumer(self._cluster, group=names.ROUTER_GROUP, on_revoked=self._revoked) as source,
                ThreadPoolExecutor(1, "writer") as pool,
                self._quotas,
            ):
                opened = Opened(watch, out, source, Sources(source, self._suspended), pool)
                while not stop.is_set():
                    try:
                        newest, writer = self._begin(opened)
                        self._route(opened, newest, writer, stop)
                    except TransientError as error:
                        self._fail(error)
                        stop.wait(min(MAX_BACKOFF_S, 0.05 * 2 ** min(self._failures, 10)))

    def health(self) -> metrics.Health:
        """Well while an epoch is in force here, what was tried last is committed, and no partition is left aside."""
        number, aside = self._in_force.epoch.number if self._in_force else None, self._suspended.facts
        facts: dict[str, Any] = {"epoch": number, "failures": self._failures, "suspended": aside}
        if self._failures or number is None:
            facts["reason"] = self._reason
        ok = number is not None and not self._failures and not aside
        return metrics.Health(ok, facts, {metrics.Part("router"): not ok})

    def _begin(self, opened: Opened) -> tuple[Published, Writer]:
        """Begin, at first or after a failure, where the committed offsets are: the newest epoch, and a new writer."""
        opened.out.renew()
        opened.sources.rewind()
        self._quotas.give_up()
        writer = Writer(opened.out, _ledger_partitions(opened.source), self._clock)
        # Whoever published an epoch before this producer was opened could not fence it.
        end = opened.source.end_offsets([CONTRACT])[CONTRACT]
        return opened.watch.catch_up(end, self._limits.timeout_s), writer

    def _route(self, opened: Opened, newest: Published, writer: Writer, stop: threading.Event) -> None:
        """Route until `stop` is set, or some partitions are left aside; raise what leaves nothing to be routed."""
        in_force = self._in_force
        try:
            while not stop.is_set():
                if in_force is None or in_force.published is not newest:
                    in_force = self._in_force = self._adopt(newest, opened, writer)
                self._once(in_force, opened, writer)
                newest = opened.watch.newest or newest
        except (TransientError, BusForbiddenError) as error:
            wait([self._writing])
            is_aside = self._leave_aside(error, opened.sources, writer)
            self._writing, self._decided = _done(), []
            self._holdings.doubt()
            self._resyncs.give_up()
            opened.out.discard()
            if not is_aside:
                raise
            metrics.TRANSACTION_FAILURES.labels(error.code).inc()
        else:
            self._stop(opened.source, writer)

    def _leave_aside(self, error: ExchangeError, sources: Sources, writer: Writer) -> bool:
        """Whether it was enough to suspend some source partitions."""
        if isinstance(error, NoQuotaError):
            limited = self._in_force.limited if self._in_force else ()
            return sources.leave_unclaimed(error, {names.subject_topic(grant.subject) for grant in limited})
        if isinstance(error, RefusedError):
            return sources.leave_aside(error, self._decided, writer)
        return isinstance(error, BusForbiddenError) and sources.leave_unread(error)

    def _fail(self, error: ExchangeError) -> None:
        """Nothing is routed for now: say why."""
        metrics.TRANSACTION_FAILURES.labels(error.code).inc()
        self._failures += 1
        self._reason = str(error)
        if isinstance(error, FencedError):
            self._rivals.fenced(self._in_force)
        facts = {"code": error.code, "failures": self._failures, "reason": error.message, "remedy": error.remedy}
        _log.warning("transaction given up, will be replayed", extra=facts)

    def _once(self, in_force: InForce, opened: Opened, writer: Writer) -> None:
        """Gather and decide, while the transaction before is still being written; then start the next."""
        source, sources = opened.source, opened.sources
        sources.hold(in_force.unready, self._resyncs.busy)
        gathered = self._gatherer.gather(source, BUSY_S if self._resyncs.busy else IDLE_S)
        sources.drop(gathered)
        if parts := gathered.apart({topic for topic, _ in self._suspended.on_trial}):
            self._begin_write(parts, in_force, opened, writer)
        else:
            self._settle()
        if gathered.gaps:
            self._settle()
            self._losses.meet(gathered.gaps, in_force.epoch, writer, source, self._clock.now())
        if self._suspended.due():
            self._settle()
            sources.try_again(opened.out)
        now = self._clock.now()
        if self._resyncs.are_due(in_force, source, now):
            self._settle()
            self._resyncs.go_on(in_force, source, writer, now)
        self._passed.committed(gathered.offsets())
        self._commit_passed(source, writer)
        if (at_s := time.monotonic()) >= self._shown_s + SHOW_S:
            self._shown_s = at_s
            self._show_lag(gathered, sources)

    def _begin_write(self, parts: Sequence[Gathered], in_force: InForce, opened: Opened, writer: Writer) -> None:
        """Decide, settle the transactions before, and begin to write one for each part."""
        group = opened.source.membership()  # of the generation that they were read in
        self._holdings.turn()
        made = [self._decide(part, in_force, opened.source) for part in parts]
        self._settle()
        uses = self._quotas.begin()
        self._decided = [
            Decided(steps, part.offsets(), group, [use for use in uses if use.grant in grants])
            for part, (steps, grants) in zip(parts, made, strict=True)
        ]
        written = list(zip(parts, self._decided, strict=True))
        self._writing = opened.pool.submit(self._write, written, in_force, writer)

    def _commit_passed(self, source: Consumer, writer: Writer, *, at_once: bool = False) -> None:
        """Commit what was only passed over, when that is due, even if other partitions are never quiet."""
        if passed := self._passed.due(source, at_once=at_once):
            self._settle()
            writer.offsets(passed, source.membership())
            self._passed.committed(passed)

    def _stop(self, source: Consumer, writer: Writer) -> None:
        """End the transaction that is being written; while this router stands still, markers may be deleted."""
        wait([self._writing])
        if not self._failures:
            try:
                self._commit_passed(source, writer, at_once=True)
            except TransientError as error:
                _log.warning("not all that was read is committed", extra={"code": error.code})

    def _show_lag(self, under_way: Gathered, sources: Sources) -> None:
        """Show what is behind; if nothing is, all is well again, and nothing is left to try."""
        done = sources.done(under_way)
        if self._behind.show(done, self._clock()) == 0 and sources.is_known(done):
            self._failures = 0
        self._suspended.routed([place for place, (at, end) in done.items() if at >= end])
        self._holdings.show()

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
        self._holdings.drop(partitions)
        self._resyncs.give_up()
        self._passed.forget()

    def _adopt(self, published: Published, opened: Opened, writer: Writer) -> InForce:
        """Take a new epoch, between transactions, and say so in the ledger: the one before ends with that."""
        self._settle()
        epoch, now = published.epoch, self._clock.now()
        writer.entries([ledger.adoption(epoch.number, self.instance, ms_of(now), published.offset)], epoch.ledger)
        in_force = InForce(published, self._pseudonym_key)
        for topic in in_force.partitions:
            in_force.at(topic, self._clock.now())
        opened.sources.subscribe(in_force.partitions, epoch.topic_ids)
        self._suspended.retry_all()
        opened.source.rewind(self._suspended.on_trial)
        report.adopted(epoch)
        self._quotas.show(in_force.limited)
        _log.info("took an epoch", extra={"epoch": epoch.number})
        return in_force

    def _decide(self, part: Gathered, in_force: InForce, source: Consumer) -> tuple[list[Step], set[str]]:
        """The steps of a part, and the grants that these are for.

        The partitions of a subject that cannot be made ready leave it.
        """
        now = self._clock.now()  # one moment for the grants and for the entries
        found = {topic: in_force.at(topic, now) for topic in {topic for topic, _ in part.batches}}
        ready = {topic: subject for topic, subject in found.items() if subject}
        keyed = {place for place in part.batches if place[0] in ready and ready[place[0]].namers}
        held = self._holdings.of(keyed) if keyed else {}
        self._suspended.suspend({NO_HOLDINGS: keyed - held.keys()})
        aside = {place for place in part.batches if place[0] not in ready} | (keyed - held.keys())
        part.drop(aside)
        source.rewind(aside)
        steps = []
        for place, batches in part.runs():
            at = RunSource(*place, in_force.epoch.number, self.instance, ms_of(now))
            if (run := scan(batches)).rows:
                steps.append(step(run, ready[place[0]], at, self._tagger, self._quotas.allow, held.get(place)))
        return steps, {grant for made in steps for outcome in made.entry.outcomes for grant in outcome.grants}

    def _write(self, parts: Sequence[tuple[Gathered, Decided]], in_force: InForce, writer: Writer) -> None:
        for gathered, decided in parts:
            writer.decided(decided, in_force.epoch.ledger)
            report.committed(decided.steps, gathered, in_force.readers, self._clock())


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
