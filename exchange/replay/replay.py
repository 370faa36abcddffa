"""Replay: a separate router for one grant that decides retained records again, under the contract in force."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime

import numpy as np

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer, Membership
from exchange.bus.produce import FencedError, Producer
from exchange.contract.model import Epoch, Grant
from exchange.contract.period import in_force, ms_of
from exchange.document.nearest import nearest
from exchange.epochs import NoContractError, Published
from exchange.errors import ConfigError, TransientError
from exchange.ledger import entry as ledger
from exchange.records import hashes
from exchange.records.scan import Run
from exchange.records.warm_up import warm_up
from exchange.replay.due import Done, Order, Survey, survey
from exchange.replay.hypothesis import alone
from exchange.replay.retained import MAX_BATCHES, retained
from exchange.router.clock import BrokerClock
from exchange.router.epoch_watch import CONTRACT, EpochWatch
from exchange.router.quotas import Quotas
from exchange.router.ready import ReadySubject, make_ready
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
        self._tag_state = hashes.tag_state(ledger_key)
        self._pseudonym_key = pseudonym_key
        self._rate = self._pace = rate
        self._clock = BrokerClock(clock)
        self._pause = pause
        self._instance = f"replay.{order.grant}"
        self._rivals = Rivals(self._instance)
        self._current: Published | None = None
        self._topic = ""
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
                    self._attempt(watch, report)
                    assert self._current is not None
                    return self.survey(self._current.epoch).done
                except TransientError as error:
                    self._failures += 1
                    if isinstance(error, FencedError):
                        self._rivals.fenced(self._current)
                    if self._failures == TRIES:
                        raise
                    _log.warning("beginning again where the ledger ends", extra={"code": error.code})
                    self._pause(0.05 * 2**self._failures)

    def _attempt(self, watch: EpochWatch, report: Callable[[int], None]) -> None:
        transactional_id = f"{names.ROUTER_GROUP}.{self._instance}"
        with (
            Producer(self._cluster, transactional_id, timeout_s=TIMEOUT_S) as out,
            Consumer(self._cluster, max_batches=MAX_BATCHES) as source,
            ExitStack() as clients,
        ):
            # After opening the producer: whoever published an epoch before could not fence it, and what another replay
            # of the grant had open is decided by now.
            watch.catch_up(source.end_offsets([CONTRACT])[CONTRACT], TIMEOUT_S)
            writer = Writer(out, len(source.partitions(names.LEDGER_TOPIC)), self._clock)
            self._adopt(watch.newest, writer)
            assert self._current is not None
            quotas = clients.enter_context(Quotas(self._cluster, self._instance, self._clock))
            windows = {window.partition: window for window in self.survey(self._current.epoch).windows}
            spans = {partition: (window.first, window.end) for partition, window in windows.items()}
            for partition, run in retained(source, self._topic, spans):
                due = run.at(windows[partition].rows(run.offset))
                for part in _cut(due, min(TRANSACTION_RECORDS, self._pace)):
                    if watch.newest is not self._current:
                        self._adopt(watch.newest, writer)
                    self._decide(partition, part, writer, quotas)
                    report(part.rows)

    def _adopt(self, published: Published | None, writer: Writer) -> None:
        """Take a new epoch, between transactions, and record that in the ledger."""
        if published is None:
            raise NoContractError
        epoch, now = published.epoch, self._clock.now()
        self._grant = granted(epoch, self._order.grant, now)
        topic = names.subject_topic(self._grant.subject)
        if self._topic not in ("", topic):
            message = f"grant {self._grant.id} is for {self._grant.subject} since epoch {epoch.number}"
            raise NotGrantedError(message, remedy="look at the grant, and replay it anew")
        self._topic = topic
        writer.entries([ledger.adoption(epoch.number, self._instance, ms_of(now), published.offset)], epoch.ledger)
        self._current, self._ready = published, self._make_ready(epoch)
        self._pace = min(self._rate, max(1, (self._grant.quota.records_per_second or 2 * self._rate) // 2))

    def _make_ready(self, epoch: Epoch) -> ReadySubject:
        now = self._clock.now()
        grant = granted(epoch, self._order.grant, now)
        return make_ready(alone(epoch, grant), grant.subject, now, self._pseudonym_key)

    def _decide(self, partition: int, run: Run, writer: Writer, quotas: Quotas) -> None:
        """Decide these records for the grant alone, in one transaction."""
        assert self._current is not None
        epoch, now = self._current.epoch, self._clock.now()
        if not self._ready.holds_at(now):
            self._ready = self._make_ready(epoch)
        source = RunSource(self._topic, partition, epoch.number, self._instance, ms_of(now), self._order.id)
        made = step(run, self._ready, source, self._tag_state, quotas.allow)
        ends = {(self._topic, partition): int(run.offset[-1]) + 1}
        group = Membership(f"{names.ROUTER_GROUP}.replay.{self._order.id}", -1, "")
        writer.decided(Decided([made], ends, group, quotas.begin()), epoch.ledger)
        quotas.committed()
        self._failures = 0
        self._not_before_s = max(self._not_before_s, time.monotonic()) + run.rows / self._pace
        self._pause(max(0.0, self._not_before_s - time.monotonic()))


def _cut(run: Run, most: int) -> Iterator[Run]:
    """The run in parts that each fit into a transaction."""
    return (run.at(np.arange(at, min(at + most, run.rows))) for at in range(0, run.rows, most))
