"""The private broker of a benchmark, its topics, and one measured run on it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from exchange import names
from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.topic import Topic
from exchange.plan.topics import own
from exchange.settings import Settings
from tests.bench import measure, workload
from tests.bench.candidates import Candidate, Start
from tests.bench.workload import Loaded, Source, Task
from tests.rigs.brokers import free_port

LOGS = Path("build/bench/logs")
_OWN = {name: replace(topic, partitions=1) for name, topic in own(replication=1).items()}
_GROUP_PATIENCE_S = 60.0


class Rig:
    """One broker for all runs; a source is loaded once, inboxes and ledger are made anew for each run."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self._loaded: dict[Source, Loaded] = {}
        self._made: set[str] = set()
        self._runs = 0

    def load(self, sources: Sequence[Source], records: int) -> list[Loaded]:
        """The sources, loaded where they are not yet."""
        new = [source for source in sources if source not in self._loaded]
        if new:
            self.fresh(topic for s in new for topic in (s.topic, names.quarantine_topic(s.subject)))
            for loaded in workload.load(self.cluster, new, records):
                self._loaded[loaded.source] = loaded
        return [self._loaded[source] for source in sources]

    def fresh(self, topics: Iterable[str], partitions: int = 1) -> None:
        """Make these topics, empty also where they were there; the exchange's own have one partition."""
        wanted = list(topics)
        with Admin(self.cluster) as admin:
            if old := self._made.intersection(wanted):
                admin.delete(old)
            admin.create({topic: _OWN.get(topic, Topic(partitions, 1)) for topic in wanted})
        self._made.update(wanted)

    def drop(self, topics: Iterable[str]) -> None:
        """Delete topics, so that their space is free before the next run."""
        with Admin(self.cluster) as admin:
            admin.delete(old := self._made.intersection(topics))
        self._made -= old

    def forget(self, loaded: Iterable[Loaded]) -> None:
        """Delete sources that no later run needs."""
        sources = [one.source for one in loaded]
        self.drop([topic for s in sources for topic in (s.topic, names.quarantine_topic(s.subject))])
        for source in sources:
            del self._loaded[source]

    def environment(self) -> dict[str, str]:
        """How a router finds the broker."""
        return {
            "EXCHANGE_BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers,
            "EXCHANGE_HOME": str(self.folder),
            "EXCHANGE_LOG_LEVEL": "WARNING",
        }

    @contextmanager
    def prepared(
        self, candidate: Candidate, tasks: Sequence[Task], label: str, partitions: int = 1
    ) -> Iterator[tuple[Start, dict[str, int]]]:
        """Empty sinks, ledger and group, and the contract of these tasks; afterwards the sinks are gone again."""
        self._runs += 1
        start = Start(self.cluster.bootstrap_servers, f"{label}-{self._runs}", self.folder, tasks[0])
        sinks = candidate.sinks(start)
        for task in tasks[1:]:
            sinks = sinks | task.expected
        self._forget_group()
        held = [names.holdings_topic(task.source.subject) for task in tasks if task.key]
        self.fresh([*sinks, *held], partitions)
        self.fresh([names.LEDGER_TOPIC, names.CONTRACT_TOPIC])
        workload.publish_contract(self.cluster, tasks)
        try:
            yield start, sinks
        finally:
            self.drop([*sinks, *held])

    def run(self, candidate: Candidate, tasks: Sequence[Task], label: str, seconds: float) -> measure.Measured:
        """One measured run of a candidate on these tasks (peers know only one); CandidateFailedError where it fails."""
        with self.prepared(candidate, tasks, label) as (start, sinks):
            records = sum(task.loaded.records for task in tasks)
            log = LOGS / f"{start.name}.log"
            workload.touch(self.cluster, sinks)
            return measure.run(self.cluster, candidate.command(start), self.environment(), log, sinks, records, seconds)

    def _forget_group(self) -> None:
        """Delete the routers' group, once the last one has left it, so that the next starts at the beginning."""
        admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap_servers, "log_level": 3})
        deadline = time.monotonic() + _GROUP_PATIENCE_S
        while True:
            try:
                admin.delete_consumer_groups([names.ROUTER_GROUP], request_timeout=30)[names.ROUTER_GROUP].result()
                return
            except KafkaException as error:
                reason = error.args[0].name()
                if reason in ("GROUP_ID_NOT_FOUND", "COORDINATOR_NOT_AVAILABLE"):
                    return  # nobody has ever joined it
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)


@contextmanager
def rig() -> Iterator[Rig]:
    """A rig on a broker of its own, whose data is gone afterwards."""
    settings = Settings()
    LOGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder)
        jars = settings.home.resolve() / "broker" / "jars"
        broker = LocalBroker(home, free_port(), java=settings.java, maven=settings.maven, jars=jars, secure=False)
        broker.start()
        try:
            cluster = Cluster(broker.bootstrap_servers, "bench")
            _delete_soon(cluster, {"log.segment.delete.delay.ms": "1000"})
            yield Rig(cluster, home)
        finally:
            broker.stop()


def _delete_soon(cluster: Cluster, configs: Mapping[str, str]) -> None:
    """Let the broker give back deleted topics' space at once, so that it is not written out to disk."""
    admin = KafkaAdminClient(**cluster.config())
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", configs=dict(configs))], incremental=True)
    finally:
        admin.close()
