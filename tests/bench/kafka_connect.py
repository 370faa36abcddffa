"""Kafka Connect as a peer: a distributed worker whose sources are exactly once, and the connectors that it runs."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import java_peers, measure
from tests.bench.measure import CandidateFailedError
from tests.rigs.brokers import free_port

_PATIENCE_S = 90.0
_JSON = "org.apache.kafka.connect.json.JsonConverter"


class Connect:
    """A worker in a group of its own: a connector that was created once runs whenever the worker runs."""

    def __init__(self, servers: str, name: str, folder: Path, log: Path) -> None:
        self._address = f"http://127.0.0.1:{free_port()}"
        self._log = log
        properties = folder / f"{name}.properties"
        settings = _settings(servers, name) | {"listeners": self._address}
        properties.write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        self.command = java_peers.java_connect(properties)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The worker's process, which answers, until the block ends."""
        with measure.running(self.command, {}, self._log) as process:
            self._wait(lambda: self._ask("GET", "/connectors") is not None, process)
            yield process

    def create(self, name: str, config: Mapping[str, str], process: subprocess.Popen[bytes]) -> None:
        """Create a connector, and wait until it and its task run; CandidateFailedError if they do not."""
        self._wait(lambda: self._ask("PUT", f"/connectors/{name}/config", config) is not None, process)

        def runs() -> bool:
            status = self._ask("GET", f"/connectors/{name}/status")
            states = [part["state"] for part in (status["connector"], *status["tasks"])] if status else []
            if "FAILED" in states:
                raise CandidateFailedError(f"the connector failed, see {self._log}")
            return len(states) > 1 and set(states) == {"RUNNING"}

        self._wait(runs, process)

    def _wait(self, holds: Any, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not holds():
            if process.poll() is not None or time.monotonic() > deadline:
                raise CandidateFailedError(f"the worker does not answer, see {self._log}")
            time.sleep(0.1)

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        """The answer; None if there is none now: the worker starts, or its group is forming."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (404, 409, 503):
                return None
            raise CandidateFailedError(f"{method} {path}: {error.read().decode()[:500]}") from error
        except OSError:
            return None


def _settings(servers: str, name: str) -> dict[str, str]:
    """Of a worker; large batches, as the other peers have them."""
    topics = {
        f"{kind}.storage.{what}": value
        for kind in ("config", "offset", "status")
        for what, value in (("topic", f"{name}-{kind}"), ("replication.factor", "1"))
    }
    return topics | {
        "bootstrap.servers": servers,
        "group.id": name,
        "exactly.once.source.support": "enabled",
        "offset.storage.partitions": "1",
        "status.storage.partitions": "1",
        "key.converter": _JSON,
        "key.converter.schemas.enable": "false",
        "value.converter": _JSON,
        "value.converter.schemas.enable": "false",
        "plugin.discovery": "service_load",
        "producer.batch.size": str(512 << 10),
        "producer.linger.ms": "5",
        "producer.retry.backoff.ms": "5",
        "producer.buffer.memory": str(256 << 20),
        "producer.max.request.size": str(8 << 20),
    }
