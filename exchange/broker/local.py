"""Start, stop and look at the one-node Kafka of a home folder."""

from __future__ import annotations

import base64
import contextlib
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exchange.broker.errors import BrokerBusyError, BrokerDiedError, PortTakenError
from exchange.broker.jars import java_version, resolve
from exchange.broker.process import ProcessFile
from exchange.broker.properties import server_properties
from exchange.bus import Cluster
from exchange.bus.probe import cluster_id

HEAP = "512m"
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class BrokerStatus:
    """The local broker as it is now; `pid` is None when it does not run."""

    state: str
    """`running`: clients can connect; `starting`: the process is there, not yet reachable; `stopped`."""
    bootstrap_servers: str
    pid: int | None
    data: str
    log: str


class LocalBroker:
    """The Kafka of one home folder: at most one runs per home, any number side by side on different ports.

    Everything lives in `<home>/broker`: jars, data (kept between runs), log and pid file.
    `jars` names another folder to share them between homes.
    """

    def __init__(
        self, home: Path, port: int = 9092, *, java: str = "java", maven: str = "mvn", jars: Path | None = None
    ) -> None:
        self._folder = home.resolve() / "broker"
        self._port = port
        self._java = java
        self._maven = maven
        self._jars = jars or self._folder / "jars"
        self._data = self._folder / "data"
        self._log = self._folder / "broker.log"
        self._properties = self._folder / "server.properties"
        self._process = ProcessFile(self._folder / "broker.pid")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"{_HOST}:{self._port}"

    def status(self) -> BrokerStatus:
        """What runs now, asked of the process and of the broker itself."""
        running = self._process.running()
        if running is None:
            return BrokerStatus("stopped", self.bootstrap_servers, None, str(self._data), str(self._log))
        address = f"{_HOST}:{running.port or self._port}"
        state = "running" if self._answers(address) else "starting"
        return BrokerStatus(state, address, running.pid or None, str(self._data), str(self._log))

    def start(self, *, timeout_s: float = 180.0, progress: Callable[[str], None] = lambda _: None) -> BrokerStatus:
        """Return once a client can connect; a broker that already runs is left alone.

        Data of an earlier run is used again, also when that run was killed.
        Raises `JavaError`, `MavenError`, `PortTakenError`, `BrokerBusyError` or `BrokerDiedError`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + timeout_s
        while True:
            running = self._process.running()
            if running is not None and running.port not in (0, self._port):
                raise BrokerBusyError(
                    f"the broker of {self._folder.parent} already runs, on port {running.port}",
                    remedy="run `exchange broker stop` first, or use that port",
                )
            ours = self._spawn(progress) if running is None else False
            status = self._wait_until_reachable(deadline)
            if status.state == "running":
                return status
            if ours or status.state == "starting":
                what = (
                    "ended while starting" if status.state == "stopped" else f"did not answer within {timeout_s:.0f} s"
                )
                raise BrokerDiedError(f"the broker {what}", remedy=f"read the end of {self._log}")
            # It was on its way down, started by somebody else: now start our own.

    def stop(self, *, timeout_s: float = 30.0) -> bool:
        """Return once the broker is gone, killed where it does not end in time; False where none ran."""
        ran = self._process.end(timeout_s)
        if self._child is not None:
            self._child.wait()
            self._child = None
        return ran

    def _answers(self, address: str) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(_split(address), timeout=1.0):
            return cluster_id(Cluster(address, "exchange.broker")) == self._cluster_id()
        return False

    def _cluster_id(self) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            for line in (self._data / "meta.properties").read_text().splitlines():
                if line.startswith("cluster.id="):
                    return line.removeprefix("cluster.id=")
        return None

    def _require_free_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, self._port))
            except OSError as error:
                raise PortTakenError(
                    f"port {self._port} is taken by something that is not the broker of {self._folder.parent}",
                    remedy="stop that program, or choose another port with --port or EXCHANGE_BOOTSTRAP_SERVERS",
                ) from error

    def _spawn(self, progress: Callable[[str], None]) -> bool:
        """Start the process; False where somebody else did so in this moment."""
        java_version(self._java)
        resolve(self._jars, self._maven, progress)
        self._require_free_port()
        self._configure(progress)
        progress(f"starting Kafka on {self.bootstrap_servers}")
        command = self._java_command("kafka.Kafka", str(self._properties))
        self._child = self._process.spawn(command, self._port, self._log)
        return self._child is not None

    def _configure(self, progress: Callable[[str], None]) -> None:
        """Write server.properties for this run, and format the data folder before the first."""
        self._properties.write_text(server_properties(self._data, self._port, _free_port()))
        if self._cluster_id() is not None:
            return
        progress("formatting the broker's storage")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java_command(
            "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--ignore-formatted"
        )
        answer = subprocess.run(
            [*command, "--config", str(self._properties)], capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            raise BrokerDiedError(
                f"Kafka could not format {self._data}: {(answer.stderr or answer.stdout).strip().splitlines()[-1]}",
                remedy="check the folder's rights and free space",
            )

    def _wait_until_reachable(self, deadline: float) -> BrokerStatus:
        while (status := self.status()).state == "starting" and time.monotonic() < deadline:
            time.sleep(0.1)
        return status

    def _java_command(self, main_class: str, *arguments: str) -> list[str]:
        return [
            self._java,
            f"-Xmx{HEAP}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "-cp",
            f"{self._jars}/*",
            main_class,
            *arguments,
        ]


def _split(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
