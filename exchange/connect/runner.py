"""All sources and sinks of one department, put together from its file and the contract, and run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exchange import metrics
from exchange.bus.connection import Cluster
from exchange.bus.contract_topic import latest_epoch
from exchange.connect import database, user_code
from exchange.connect.config import ConnectorConfig, SinkConfig, SourceConfig
from exchange.connect.convert import converter
from exchange.connect.csv_source import CsvSource
from exchange.connect.database import DatabaseConfigError, Paths
from exchange.connect.load import Connector
from exchange.connect.publish import Encoder, Publisher
from exchange.connect.rejects import RejectFile
from exchange.connect.schemas import Schemas
from exchange.connect.sink import Sink
from exchange.connect.sink_table import SinkTable
from exchange.connect.source import Source
from exchange.connect.sql_source import SqlSource
from exchange.connect.worker import SinkWorker, SourceWorker, Worker
from exchange.contract.model import Epoch
from exchange.contract.names import inbox_topic
from exchange.errors import ConfigError
from exchange.schema.avro import Schema

WATCH_S = 0.1


class NotInContractError(ConfigError):
    """A connector names something that the contract in force does not give it."""

    code = "not-in-contract"


@dataclass(frozen=True)
class Running:
    """The workers of a connector that was started; `stop` is shared by all of them."""

    workers: tuple[Worker, ...]
    stop: threading.Event

    def health(self) -> metrics.Health:
        """Not well while any worker is failing."""
        states = {
            f"{w.kind} {w.subject}": type(w.error).__name__ if w.error else "idle" if w.idle else "working"
            for w in self.workers
        }
        return metrics.Health(ok=not any(w.error for w in self.workers), facts=states)

    def wait(self, *, until_idle: bool) -> None:
        """Return when stopped, or (`until_idle`) when nothing is left to do; raise what a worker ended with."""
        while not self.stop.wait(WATCH_S):
            ended = [w for w in self.workers if not w.is_alive()]
            if len(ended) == len(self.workers) or (until_idle and all(w.idle or w in ended for w in self.workers)):
                self.stop.set()
        for worker in self.workers:
            worker.join()
        # With `until_idle` an error that lasts ends its worker; others are only passing.
        for worker in self.workers:
            if worker.error is not None:
                raise worker.error


def start(
    cluster: Cluster, connector: Connector, home: Path, stop: threading.Event, *, until_idle: bool = False
) -> Running:
    """Start every source and sink in a thread of its own; ConfigError where one cannot be put together.

    A worker that fails begins again, and does not disturb the others. With `until_idle` it gives up
    where waiting cannot mend the failure.
    """
    found = latest_epoch(cluster)
    if found is None:
        raise NotInContractError("no contract was ever published", remedy="exchange apply")
    assembly = _Assembly(cluster, connector, found[0], home)
    workers = assembly.workers(stop, patient=not until_idle)
    for worker in workers:
        worker.start()
    return Running(tuple(workers), stop)


class _Assembly:
    """Puts sources and sinks together out of one file and one epoch."""

    def __init__(self, cluster: Cluster, connector: Connector, epoch: Epoch, home: Path) -> None:
        self._cluster = cluster
        self._config: ConnectorConfig = connector.config
        self._paths = Paths(connector.folder, home)
        self._epoch = epoch
        self._home = home
        self._schemas = Schemas(cluster, epoch.schemas)

    def workers(self, stop: threading.Event, *, patient: bool) -> list[Worker]:
        sources = [self._source(source, stop, patient=patient) for source in self._config.sources]
        sinks = [self._sink(sink, stop, patient=patient) for sink in self._config.sinks]
        return [*sources, *sinks]

    def _source(self, config: SourceConfig, stop: threading.Event, *, patient: bool) -> Worker:
        writers = self._epoch.writers.get(config.subject)
        if not writers or not config.subject.startswith(f"{self._config.department}."):
            raise NotInContractError(
                f"{self._config.department} does not own a subject {config.subject}",
                remedy="correct the connector's `subject`, or add it to topics.yaml and apply",
            )
        subject = self._epoch.contract.subject(config.subject)
        schema = self._schemas.of(writers[-1])
        null_text = config.csv.null if config.csv else None
        convert = converter(schema.definition, config.columns, timezone=config.timezone, null_text=null_text)
        transform = user_code.transform(self._paths.folder, config.transform) if config.transform else None
        encoder = Encoder(subject, writers[-1], schema, convert, transform)
        publisher = Publisher(subject, encoder, RejectFile(self._home, subject.id))
        make = self._maker(config, schema)
        make().close()
        return SourceWorker(
            self._cluster, publisher, make, subject.owner, subject.id, config.poll_s, stop, patient=patient
        )

    def _maker(self, config: SourceConfig, schema: Schema) -> _Maker:
        return _Maker(config, schema.definition["fields"], self._config.database, self._paths)

    def _sink(self, config: SinkConfig, stop: threading.Event, *, patient: bool) -> Worker:
        reader = self._config.department
        grants = [g for g in self._epoch.contract.grants if g.subject == config.subject and g.reader == reader]
        if not grants:
            raise NotInContractError(
                f"{reader} has no grant for {config.subject}", remedy="ask its owner for one, or remove the sink"
            )
        subject = self._epoch.contract.subject(config.subject)
        newest = max(grants, key=lambda grant: grant.from_)
        delivered = self._schemas.of(self._epoch.views.get(newest.id, self._epoch.writers[subject.id][-1]))
        rejects = RejectFile(self._home, inbox_topic(reader, subject.id))

        def make() -> Sink:
            engine = _engine(config, self._config.database, self._paths, writes=True)
            table = SinkTable(engine, config.table_name, config.key, subject.entity.field)
            return Sink(self._cluster, reader, subject, table, delivered, self._schemas.of, rejects)

        return SinkWorker(make, subject.id, stop, patient=patient)


@dataclass(frozen=True)
class _Maker:
    """Makes a new source object as a file describes it, each time that it is called."""

    config: SourceConfig
    fields: list[Mapping[str, object]]
    database: database.Database | None
    paths: Paths

    def __call__(self) -> Source:
        config = self.config
        if config.python is not None:
            return user_code.source(self.paths.folder, config.python, config.options)
        column = {str(f["name"]): config.columns.get(str(f["name"]), str(f["name"])) for f in self.fields}
        if config.csv is not None:
            required = [column[str(f["name"])] for f in self.fields if "default" not in f]
            return CsvSource(config, self.paths.path(config.csv.folder), [] if config.transform else required)
        engine = _engine(config, self.database, self.paths)
        return SqlSource(config, engine, None if config.transform else list(column.values()))


def _engine(
    config: SourceConfig | SinkConfig, fallback: database.Database | None, paths: Paths, *, writes: bool = False
) -> database.Engine:
    chosen = config.database or fallback
    if chosen is None:
        raise DatabaseConfigError(f"{config.subject} has no database", remedy="give `database: …` at the file's top")
    return database.engine(chosen, paths, writes=writes)
