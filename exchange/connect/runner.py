"""Puts all sources and sinks of one department together, from its file and the contract, and runs them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from exchange import metrics
from exchange.bus.connection import Cluster
from exchange.connect.assembly import Assembly
from exchange.connect.config import SinkConfig, SourceConfig
from exchange.connect.database import Paths
from exchange.connect.delivered import Delivered, row_key
from exchange.connect.load import FILE, Connector, ConnectorConfigError
from exchange.connect.overlap import overlaps
from exchange.connect.publish import Publisher
from exchange.connect.rejects import RejectFile
from exchange.connect.schemas import Schemas
from exchange.connect.sink import Sink
from exchange.connect.worker import SinkWorker, SourceWorker, Worker
from exchange.contract.model import Epoch
from exchange.contract.period import delivering
from exchange.epochs import epoch_in_force, latest_epoch
from exchange.errors import ConfigError
from exchange.names import inbox_topic

WATCH_S = 0.1
STOP_S = 20.0


class NotInContractError(ConfigError):
    """A connector names something that the contract in force does not give its department."""

    code = "not-in-contract"
    remedy = "correct the connector's `subject`, or the contract, and apply"


@dataclass(frozen=True)
class RunningConnector:
    """The workers of a connector that was started; all of them share `stop`."""

    workers: tuple[Worker, ...]
    stop: threading.Event

    def health(self) -> metrics.Health:
        """Healthy unless a worker is failing."""
        states = {f"{w.kind} {w.subject}": w.state() for w in self.workers}
        failing = {metrics.Part(w.kind, w.subject): w.error is not None for w in self.workers}
        return metrics.Health(ok=not any(failing.values()), facts=states, failing=failing)

    def wait(self, *, until_idle: bool) -> None:
        """Return when stopped, or (`until_idle`) when nothing is left to do; raise what ended a worker."""
        while not self.stop.wait(WATCH_S):
            ended = [w for w in self.workers if not w.is_alive()]
            if len(ended) == len(self.workers) or (until_idle and all(w.idle or w in ended for w in self.workers)):
                self.stop.set()
        deadline = time.monotonic() + STOP_S
        for worker in self.workers:
            # A worker that hangs in its database ends with the process, which is as safe as a kill.
            worker.join(max(0.0, deadline - time.monotonic()))
        for worker in self.workers:
            if worker.ended_with is not None:
                raise worker.ended_with


def start(
    cluster: Cluster, connector: Connector, home: Path, stop: threading.Event, *, until_idle: bool = False
) -> RunningConnector:
    """Start every source and sink in a thread of its own; raises ConfigError if one cannot be put together.

    A worker that fails starts again and does not disturb the others. With `until_idle`, it gives up if waiting cannot
    help.
    """
    if problems := overlaps(connector, Paths(connector.folder, home)):
        raise ConnectorConfigError(str(connector.folder / FILE), problems)
    workers = _Workers(cluster, connector, epoch_in_force(cluster), home).make(stop, patient=not until_idle)
    for worker in workers:
        worker.start()
    return RunningConnector(tuple(workers), stop)


class _Workers:
    """Makes the workers of one file under one epoch."""

    def __init__(self, cluster: Cluster, connector: Connector, epoch: Epoch, home: Path) -> None:
        self._cluster = cluster
        self._config = connector.config
        self._department = connector.config.department
        self._parts = Assembly(Paths(connector.folder, home), connector.config.database)
        self._epoch = epoch
        self._home = home
        self._schemas = Schemas(cluster, epoch.schemas)

    def make(self, stop: threading.Event, *, patient: bool) -> list[Worker]:
        sources = [self._source(source, stop, patient=patient) for source in self._config.sources]
        sinks = [self._sink(sink, stop, patient=patient) for sink in self._config.sinks]
        return [*sources, *sinks]

    def _source(self, config: SourceConfig, stop: threading.Event, *, patient: bool) -> Worker:
        writers = self._epoch.writers.get(config.subject)
        if not writers or not config.subject.startswith(f"{self._department}."):
            raise NotInContractError(
                f"{self._department} does not own a subject {config.subject}",
                remedy="correct the connector's `subject`, or add it to topics.yaml and apply",
            )
        subject = self._epoch.contract.subject(config.subject)
        schema = self._schemas.of(writers[-1])
        encoder = self._parts.encoder(config, subject, writers[-1], schema)
        publisher = Publisher(subject, encoder, RejectFile(self._home, subject.id))
        make = partial(self._parts.source, config, schema, encoder)
        make().close()  # if it could not work later, refuse it now
        return SourceWorker(
            self._cluster, publisher, make, subject.owner, subject.id, config.pause_s, stop, patient=patient
        )

    def _sink(self, config: SinkConfig, stop: threading.Event, *, patient: bool) -> Worker:
        first = self._delivered(config.subject, self._epoch)
        if first is None:
            raise NotInContractError(
                f"{self._department} has no grant for {config.subject}",
                remedy="ask its owner for one, or remove the sink",
            )
        subject = self._epoch.contract.subject(config.subject)
        rejects = RejectFile(self._home, inbox_topic(self._department, subject.id))
        self._parts.table(config, subject, first.key).close()

        def delivered() -> Delivered:
            found = latest_epoch(self._cluster)
            return (found and self._delivered(subject.id, found.epoch)) or first

        def make() -> Sink:
            table = self._parts.table(config, subject, delivered().key)
            return Sink(self._cluster, self._department, subject, table, delivered, self._schemas.of, rejects)

        return SinkWorker(make, self._department, subject.id, stop, patient=patient)

    def _delivered(self, subject_id: str, epoch: Epoch) -> Delivered | None:
        """What the department gets of the subject under that epoch; None without a grant."""
        grant = delivering(epoch.contract, subject_id, self._department, datetime.now(UTC))
        if grant is None:
            return None
        schema = self._schemas.of(epoch.views.get(grant.id, epoch.writers[subject_id][-1]))
        subject, given = epoch.contract.subject(subject_id), epoch.given(grant)
        return Delivered(schema, subject.key if given is None else row_key(subject, grant, given))
