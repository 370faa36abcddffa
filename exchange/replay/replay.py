"""Replay: a separate router for one grant that decides retained records again, under the contract in force."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer, Membership
from exchange.bus.produce import FencedError, Producer
from exchange.contract.epoch import alone
from exchange.contract.model import Epoch, Grant
from exchange.contract.period import in_force, ms_of
from exchange.document.nearest import nearest
from exchange.epoch_watch import CONTRACT, EpochWatch
from exchange.epochs import Published
from exchange.errors import ConfigError, TransientError
from exchange.ledger import entry as ledger
from exchange.records.scan import Run
from exchange.records.tags import Tagger
from exchange.records.warm_up import warm_up
from exchange.replay.due import Done, Order, Survey, survey
from exchange.router.clock import BrokerClock
from exchange.router.quotas import Quotas
from exchange.router.ready import ReadySubject, make_ready
from exchange.router.retained import MAX_BATCHES, retained
from exchange.router.rivals import Rivals
from exchange.router.step import RunSource, step
from exchange.router.write import Decided, Writer

_log = logging.getLogger("exchange.router")
DEFAULT_RATE = 20_000
TRANSACTION_RECORDS = 4096
TIMEOUT_S = 15.0
TRIES = 8


class NotGrantedError(ConfigError):
    """The contract in force has no such grant, or the grant is not in force today."""

    code = "not-granted"
    remedy = "see `exchange grant list`, and run `exchange apply`"


class NothingRetainedError(ConfigError):
    """The source keeps no records of the requested time."""

    code = "nothing-retained"
    remedy = "ask for a later time"


def granted(epoch: Epoch, grant_id: str, now: datetime) -> Grant:
    """The grant, in force at `now`; raises NotGrantedError if it is not."""
    known = {grant.id: grant for grant in epoch.contract.grants}
    grant = known.get(grant_id)
    if grant is None:
        message = f"the contract in force (epoch {epoch.number}) has no grant '{grant_id}'"
        raise NotGrantedError(message, remedy=nearest(grant_id, known) or "run `exchange apply` first")
    if grant not in in_force(epoch.contract, now):
        message = f"grant {grant_id} is in force from {grant.from_} to {grant.until}, not today"
        raise NotGrantedError(message, remedy="nothing is delivered outside of that time: renew it")
    return grant


@dataclass(frozen=True)
class _InForce:
    """The grant in the epoch that the replay works under, and what is done with its subject's records meanwhile.

    `pace` is in records per second.
    """

    published: Published
    grant: Grant
    ready: ReadySubject
    pace: int

    @property
    def topic(self) -> str:
        """The source."""
        return names.subject_topic(self.grant.subject)


class Replay:
    """Carries out one order. If killed at any point, a new one with the same order's id goes on.

    What is done is recorded in the ledger, by the transactions that deliver it. All replays of a grant share one
    transactional id: a second one ends what the first has begun, so that the ledger tells everything. `rate` is in
    records per second, but at most half of the grant's quota: the other half is for the live flow. `clock` is as for
    a router; `pause` sleeps.
    """

    def __init__(
        self,
        cluster: Cluster,
        order: Order,
        ledger_key: bytes,
        *,
        pseudonym_key: bytes = b"",
        rate: int = DEFAULT_RATE,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._order = order
        self._tagger = Tagger(ledger_key)
        self._pseudonym_key = pseudonym_key
        self._rate = rate
        self._clock = BrokerClock(clock)
        self._pause = pause
        self._instance = f"replay.{order.grant}"
        self._rivals = Rivals(self._instance)
        self._in_force: _InForce | None = None  # until the ledger has it that this replay took its first epoch
        self._failures = 0
        self._not_before_s = 0.0

    def survey(self, epoch: Epoch) -> Survey:
        """What is to be done under that epoch; raises NotGrantedError or NothingRetainedError if nothing can be."""
        grant = granted(epoch, self._order.grant, self._clock.now())
        found = survey(self._cluster, self._order, names.subject_topic(grant.subject))
        if not found.windows:
            message = f"{grant.subject} keeps no record of that time that the routers have decided"
            remedy = "ask for another time (--from, --until); a subject's `retention_days` says what is kept"
            raise NothingRetainedError(message, remedy=remedy)
        return found

    def run(self, report: Callable[[int], None] = lambda records: None) -> Done:
        """Deliver; return what became of the order's records according to the ledger, earlier runs included.

        `report` is called with the number of records of each transaction. Raises TransientError after some tries.
        """
        warm_up()
        with EpochWatch(self._cluster) as watch:
            while True:
                try:
                    return self.survey(self._attempt(watch, report)).done
                except TransientError as error:
                    self._failures += 1
                    if isinstance(error, FencedError):
                        self._rivals.fenced(self._in_force and self._in_force.published)
                    if self._failures == TRIES:
                        raise
                    _log.warning("beginning again where the ledger ends", extra={"code": error.code})
                    self._pause(0.05 * 2**self._failures)

    def _attempt(self, watch: EpochWatch, report: Callable[[int], None]) -> Epoch:
        """Deliver what is due, and return the epoch that the last of it was delivered under."""
        transactional_id = f"{names.ROUTER_GROUP}.{self._instance}"
        with (
            Producer(self._cluster, transactional_id, timeout_s=TIMEOUT_S) as out,
            Consumer(self._cluster, max_batches=MAX_BATCHES) as source,
            Quotas(self._cluster, self._instance, self._clock) as quotas,
        ):
            # After the producer was opened: whoever published an epoch before could not fence it, and what
            # another replay of the grant had open is decided.
            newest = watch.catch_up(source.end_offsets([CONTRACT])[CONTRACT], TIMEOUT_S)
            writer = Writer(out, len(source.partitions(names.LEDGER_TOPIC)), self._clock)
            in_force = self._adopt(newest, writer)
            windows = {window.partition: window for window in self.survey(newest.epoch).windows}
            spans = {(in_force.topic, partition): (window.first, window.end) for partition, window in windows.items()}
            for (_, partition), run in retained(source, spans):
                due = run.at(windows[partition].rows(run.offset))
                for part in due.parts(min(TRANSACTION_RECORDS, in_force.pace)):
                    newest = watch.newest or newest
                    if newest is not in_force.published:
                        in_force = self._adopt(newest, writer)
                    in_force = self._decide(partition, part, in_force, writer, quotas)
                    report(part.rows)
        return in_force.published.epoch

    def _adopt(self, published: Published, writer: Writer) -> _InForce:
        """Take a new epoch, between transactions, and say so in the ledger."""
        epoch, now = published.epoch, self._clock.now()
        grant = granted(epoch, self._order.grant, now)
        if self._in_force and self._in_force.grant.subject != grant.subject:
            message = f"grant {grant.id} is for {grant.subject} since epoch {epoch.number}"
            raise NotGrantedError(message, remedy="look at the grant, and replay it again")
        writer.entries([ledger.adoption(epoch.number, self._instance, ms_of(now), published.offset)], epoch.ledger)
        pace = min(self._rate, max(1, (grant.quota.records_per_second or 2 * self._rate) // 2))
        self._in_force = _InForce(published, grant, self._make_ready(epoch), pace)
        return self._in_force

    def _make_ready(self, epoch: Epoch) -> ReadySubject:
        now = self._clock.now()
        grant = granted(epoch, self._order.grant, now)
        return make_ready(alone(epoch, grant), grant.subject, now, self._pseudonym_key)

    def _decide(self, partition: int, run: Run, in_force: _InForce, writer: Writer, quotas: Quotas) -> _InForce:
        """One transaction: these records, decided for the grant alone. Return what is in force at that time."""
        epoch, now = in_force.published.epoch, self._clock.now()
        if not in_force.ready.holds_at(now):
            in_force = replace(in_force, ready=self._make_ready(epoch))
        source = RunSource(in_force.topic, partition, epoch.number, self._instance, ms_of(now), self._order.id)
        made = step(run, in_force.ready, source, self._tagger, quotas.allow)
        ends = {(in_force.topic, partition): int(run.offset[-1]) + 1}
        group = Membership(f"{names.ROUTER_GROUP}.replay.{self._order.id}", -1, "")
        writer.decided(Decided([made], ends, group, quotas.begin()), epoch.ledger)
        quotas.committed()
        self._failures = 0
        self._not_before_s = max(self._not_before_s, time.monotonic()) + run.rows / in_force.pace
        self._pause(max(0.0, self._not_before_s - time.monotonic()))
        return in_force
