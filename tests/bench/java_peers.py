"""Build the Java peers with Maven, and the commands that start them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from exchange.settings import Settings

PROJECTS = Path(__file__).parent
BUILT = Path("build/bench")
_HEAP = "-Xmx2g"


class BuildFailedError(Exception):
    """Maven could not build the peers; the message is its own."""


def build() -> None:
    """Compile our program and copy all its jars into build/bench, unless that was done after the last change."""
    _maven("streams", "package")


def fetch_connect() -> None:
    """The same for Kafka Connect, which has no program of ours."""
    _maven("connect")


def _maven(project: str, *goals: str) -> None:
    jars = BUILT / project / "dependency"
    sources = [path for path in (PROJECTS / project).rglob("*") if path.is_file()]
    if jars.exists() and jars.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    shutil.rmtree(jars, ignore_errors=True)
    command = [Settings().maven, "-B", "-q", "-f", str(PROJECTS / project / "pom.xml"), *goals]
    command.append("dependency:copy-dependencies")
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        shutil.rmtree(jars, ignore_errors=True)
        raise BuildFailedError((done.stdout + done.stderr).strip()[-2000:])


def java(main_class: str, *arguments: str) -> list[str]:
    """The command that runs a class of our program or of its jars."""
    return _java(
        f"{BUILT / 'streams' / 'bench-peers.jar'}:{BUILT / 'streams' / 'dependency'}/*", main_class, *arguments
    )


def java_connect(properties: Path) -> list[str]:
    """The command that runs a distributed worker of Kafka Connect."""
    main_class = "org.apache.kafka.connect.cli.ConnectDistributed"
    return _java(f"{BUILT / 'connect' / 'dependency'}/*", main_class, str(properties))


def _java(classpath: str, main_class: str, *arguments: str) -> list[str]:
    log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [Settings().java, _HEAP, "-XX:+UseParallelGC", log, "-cp", classpath, main_class, *arguments]


def mirror_properties(servers: str, alias: str, topic: str) -> str:
    """MirrorMaker 2, dedicated and exactly once, that copies `topic` to `<alias>.<topic>` on the same broker.

    Large polls make large transactions, which is what makes it fast; nothing but the copying runs.
    """
    flow = f"{alias}->target"
    settings = {
        "clusters": f"{alias}, target",
        f"{alias}.bootstrap.servers": servers,
        "target.bootstrap.servers": servers,
        "target.exactly.once.source.support": "enabled",
        "dedicated.mode.enable.internal.rest": "true",
        "listeners": "http://127.0.0.1:0",
        f"{flow}.enabled": "true",
        f"target->{alias}.enabled": "false",
        f"{flow}.topics": topic.replace(".", "\\\\."),
        f"{flow}.tasks.max": "1",
        f"{flow}.transaction.boundary": "interval",
        f"{flow}.transaction.boundary.interval.ms": "100",
        f"{flow}.consumer.isolation.level": "read_committed",
        f"{flow}.consumer.max.poll.records": "20000",
        f"{flow}.consumer.fetch.max.bytes": str(50 << 20),
        f"{flow}.consumer.max.partition.fetch.bytes": str(8 << 20),
        "target.producer.batch.size": str(512 << 10),
        "target.producer.linger.ms": "5",
        "target.producer.retry.backoff.ms": "5",
        "target.producer.buffer.memory": str(256 << 20),
        "target.producer.max.request.size": str(8 << 20),
        "emit.heartbeats.enabled": "false",
        "offset.lag.max": "1000000",
        "sync.topic.configs.enabled": "false",
        "sync.topic.acls.enabled": "false",
        "replication.factor": "1",
        "offset-syncs.topic.replication.factor": "1",
        "checkpoints.topic.replication.factor": "1",
        "heartbeats.topic.replication.factor": "1",
        "config.storage.replication.factor": "1",
        "offset.storage.replication.factor": "1",
        "offset.storage.partitions": "1",
        "status.storage.replication.factor": "1",
        "status.storage.partitions": "1",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())
