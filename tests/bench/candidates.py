"""Who is measured: how each candidate is made ready and started, and at which workloads it takes part."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import java_peers
from tests.bench.workload import Task

PEERS = Path(__file__).parent / "peers"
QUIX = Path("build/bench/quix")
ALL = ("W0", "W1", "W2", "W3", "W4")


@dataclass(frozen=True)
class Start:
    """What a candidate needs to start: the broker, a name that no earlier run had, and a folder for its files."""

    servers: str
    name: str
    folder: Path
    task: Task

    def task_file(self) -> str:
        """The task, written for a peer to read."""
        path = self.folder / f"{self.name}.json"
        path.write_text(self.task.as_json(self.servers, self.name, self.folder))
        return str(path)


@dataclass(frozen=True)
class Candidate:
    """`command` starts it; `prepare` is called once before; it takes part in `workloads`."""

    title: str
    workloads: tuple[str, ...]
    command: Callable[[Start], list[str]]
    prepare: Callable[[], None] = lambda: None
    sinks: Callable[[Start], dict[str, int]] = lambda start: start.task.expected
    """The topics it writes, each with its records in the end."""
    remembers: bool = False
    """Whether its subject has a key in W4, so that it takes back the rows that leave a filter."""


def _router(module: str) -> Callable[[Start], list[str]]:
    return lambda start: [sys.executable, "-m", module, "router", "run", "--instance", start.name]


def _python(module: str) -> Callable[[Start], list[str]]:
    return lambda start: [sys.executable, "-m", f"tests.bench.peers.{module}", start.task_file()]


def _limit(start: Start) -> list[str]:
    return [*_python("broker_limit")(start), str(start.task.source.record_bytes)]


def _streams(start: Start) -> list[str]:
    return java_peers.java("bench.Forward", start.task_file())


def _mirror(start: Start) -> list[str]:
    path = start.folder / f"{start.name}.properties"
    path.write_text(java_peers.mirror_properties(start.servers, start.name, start.task.source.topic))
    return java_peers.java("org.apache.kafka.connect.mirror.MirrorMaker", str(path))


def _mirrored(start: Start) -> dict[str, int]:
    return {f"{start.name}.{start.task.source.topic}": start.task.loaded.records}


def _quix(start: Start) -> list[str]:
    return [str(QUIX / "bin" / "python"), str(PEERS / "quix.py"), start.task_file()]


def _prepare_quix() -> None:
    """A venv of its own: its pins of confluent-kafka and pydantic exclude ours."""
    wanted = PEERS / "quix.txt"
    installed = QUIX / "installed.txt"
    if installed.exists() and installed.read_bytes() == wanted.read_bytes():
        return
    subprocess.run([sys.executable, "-m", "venv", str(QUIX)], check=True)
    subprocess.run([str(QUIX / "bin" / "pip"), "install", "--quiet", "-r", str(wanted)], check=True)
    installed.write_bytes(wanted.read_bytes())


ROUTER, WITHOUT_LEDGER, WITHOUT_KEY, LIMIT = "router", "router-no-ledger", "router-no-key", "limit"
STREAMS, CONFLUENT = "streams", "confluent"
CANDIDATES = {
    # W1 with the ledger on is W3.
    ROUTER: Candidate("router", ("W0", "W2", "W3", "W4"), _router("exchange"), remembers=True),
    WITHOUT_LEDGER: Candidate("router without ledger", ("W0", "W1", "W2"), _router("tests.bench.route_without_ledger")),
    WITHOUT_KEY: Candidate("router without key", ("W4",), _router("exchange")),
    STREAMS: Candidate("Kafka Streams", ALL, _streams, java_peers.build),
    "mirrormaker": Candidate("MirrorMaker 2", ("W0",), _mirror, java_peers.build, _mirrored),
    CONFLUENT: Candidate("confluent-kafka", ("W0", "W1", "W2", "W3"), _python("confluent")),
    "quix": Candidate("Quix Streams", ("W0", "W1", "W2"), _quix, _prepare_quix),
    "kafka-python": Candidate("kafka-python", ("W0", "W1", "W2"), _python("kafka_python")),
    LIMIT: Candidate("broker limit", ("W0", "W1", "W3"), _limit),
}
