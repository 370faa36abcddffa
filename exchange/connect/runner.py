"""Puts all sources and sinks of one department together, from its file and the contract, and runs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from exchange import metrics
from exchange.bus.connection import Cluster
from exchange.connect.assembly import Assembly
from exchange.connect.config import SinkConfig, SourceConfig
from exchange.connect.database import Paths
from exchange.connect.load import FILE, Connector, ConnectorConfigError
from exchange.connect.overlap import overlaps
from exchange.connect.publish import Publisher
from exchange.connect.rejects import RejectFile
from exchange.connect.reporter import Reporter
from exchange.connect.schemas import Schemas
from exchange.connect.sink_parts import SinkParts
from exchange.connect.sink_worker import SinkWorker
from exchange.connect.source import Source
from exchange.connect.terms_watch import SinkTerms, SourceTerms, TermsWatch, sink_terms, source_terms
from exchange.connect.worker import SourceWorker, Worker
from exchange.contract.model import Epoch
from exchange.epoch_watch import EpochWatch
from exchange.epochs import epoch_in_force
from exchange.names import inbox_topic

WATCH_S = 0.1
WATCH_DAEMON_S = 1.0  # one that only a signal ends
STOP_S = 20.0


@dataclass(frozen=True)
class RunningConnector:
    """The workers of a connector that was started; all of them share `stop`, and `end` ends what else they share."""

    workers: tuple[Worker, ...]
    stop: threading.Event
    end: Callable[[], None] = lambda: None

    def health(self) -> metrics.Health:
        """Healthy unless a worker is failing."""
        states = {f"{w.kind} {w.subject}": w.words() for w in self.workers}
        failing = {metrics.Part(w.kind, w.subject): w.error is not None for w in self.workers}
        return metrics.Health(ok=not any(failing.values()), facts=states, failing=failing)

    def wait(self, *, until_idle: bool) -> None:
        """Return when stopped, or (`until_idle`) when nothing is left to do; raise what ended a worker."""
        while not self.stop.wait(WATCH_S if until_idle else WATCH_DAEMON_S):
            ended = [w for w in self.workers if not w.is_alive()]
            if len(ended) == len(self.workers) or (until_idle and self._has_nothing_to_do(ended)):
                self.stop.set()
        deadline = time.monotonic() + STOP_S
        for worker in self.workers:
            # A worker that hangs in its database ends with the process, which is as safe as a kill.
            worker.join(max(0.0, deadline - time.monotonic()))
        self.end()
        for worker in self.workers:
            if worker.ended_with is not None:
                raise worker.ended_with

    def _has_nothing_to_do(self, ended: Sequence[Worker]) -> bool:
        """Whether all are idle. What one makes of what another took in: all have looked since anyone worked last."""
        left = [worker for worker in self.workers if worker not in ended]
        if not all(worker.idle for worker in left):
            return False
        is_chain = any(worker.kind == "answerer" for worker in self.workers)
        return not is_chain or min(w.looked_s for w in left) > max(w.worked_s for w in self.workers)


def _none(_stop: threading.Event) -> Sequence[Worker]:
    return ()


def start(
    cluster: Cluster,
    connector: Connector,
    home: Path,
    stop: threading.Event,
    *,
    until_idle: bool = False,
    extra: Callable[[threading.Event], Sequence[Worker]] = _none,
) -> RunningConnector:
    """Start every source and sink in a thread of its own; raises ConfigError if one cannot be put together.

    A worker that fails starts again and does not disturb the others. All of them follow the contract. With
    `until_idle`, a worker gives up if waiting cannot help. `extra` makes further workers, and first of all: what they
    need in a database is there when a source looks for it.
    """
    if problems := overlaps(connector, Paths(connector.folder, home)):
        raise ConnectorConfigError(str(connector.folder / FILE), problems)
    with ExitStack() as shared:
        watch = shared.enter_context(EpochWatch(cluster))
        further = extra(stop)
        made = _Workers(cluster, connector, home, watch).make(epoch_in_force(cluster), stop, patient=not until_idle)
        made += further
        for worker in made:
            worker.start()
        return RunningConnector(tuple(made), stop, shared.pop_all().close)


class _Workers:
    """Makes the workers of one file, and what they run under an epoch."""

    def __init__(self, cluster: Cluster, connector: Connector, home: Path, watch: EpochWatch) -> None:
        self._cluster = cluster
        self._config = connector.config
        self._department = connector.config.department
        self._parts = Assembly(Paths(connector.folder, home), connector.config.database)
        self._home = home
        self._watch = watch

    def make(self, epoch: Epoch, stop: threading.Event, *, patient: bool) -> list[Worker]:
        """The workers, not started; raises ConfigError if under this epoch one could not work at all."""
        sources = [self._source(source, epoch, stop, patient=patient) for source in self._config.sources]
        sinks = [self._sink(sink, epoch, stop, patient=patient) for sink in self._config.sinks]
        return [*sources, *sinks]

    def _source(self, config: SourceConfig, epoch: Epoch, stop: threading.Event, *, patient: bool) -> Worker:
        rejects = RejectFile(self._home, config.subject)
        following = TermsWatch(
            self._cluster, self._watch, lambda epoch, _: source_terms(self._department, config.subject, epoch)
        )

        def parts(terms: SourceTerms, epoch: Epoch) -> tuple[Source, Publisher]:
            subject, schema_id = terms.subject, terms.writers[-1]
            schema = Schemas(self._cluster, epoch.schemas).of(schema_id)
            encoder = self._parts.encoder(config, subject, schema_id, schema)
            return self._parts.source(config, schema, encoder), Publisher(subject, encoder, rejects)

        # If it could not work later, refuse it now.
        parts(source_terms(self._department, config.subject, epoch), epoch)[0].close()
        return SourceWorker(
            self._cluster,
            lambda: parts(*following.begin()),
            self._department,
            config.subject,
            config.pause_s,
            stop,
            has_changed=following.has_changed,
            patient=patient,
        )

    def _sink(self, config: SinkConfig, epoch: Epoch, stop: threading.Event, *, patient: bool) -> Worker:
        def terms(epoch: Epoch, now: datetime) -> SinkTerms:
            return sink_terms(self._department, config.subject, epoch, now)

        self._parts.table(config, terms(epoch, datetime.now(UTC)).subject, ()).close()
        following = TermsWatch(self._cluster, self._watch, terms)
        rejects = RejectFile(self._home, inbox_topic(self._department, config.subject))
        sink_parts = SinkParts(self._cluster, self._department, config, self._parts, rejects)
        return SinkWorker(
            lambda: sink_parts.part(*following.begin(), following.confirm),
            Reporter(self._cluster, self._department, config.subject),
            self._department,
            config.subject,
            stop,
            has_changed=following.has_changed,
            patient=patient,
        )
