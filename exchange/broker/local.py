"""Starts, stops and inspects the one-node Kafka of a home folder."""

from __future__ import annotations

import base64
import contextlib
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from tempfile import NamedTemporaryFile

from exchange import credentials, names, private
from exchange.broker.certificates import Certificates
from exchange.broker.errors import (
    BrokerBusyError,
    BrokerDiedError,
    BrokerFolderError,
    InsecureDataError,
    PortTakenError,
)
from exchange.broker.jars import java_version, resolve
from exchange.broker.properties import BROKER, Ports, server_properties
from exchange.bus import Cluster, users
from exchange.bus.probe import cluster_id
from exchange.credentials import Security
from exchange.errors import ConfigError
from exchange.process import ProcessFile
from exchange.settings import Settings
from exchange.waiting import until

HEAP = "512m"
_LEAST_BYTES = 10 << 20  # with less on its disk, it does not come far
_HOST = "127.0.0.1"
_LOCAL_HOSTS = frozenset({_HOST, "localhost", "::1"})


@dataclass(frozen=True)
class BrokerStatus:
    """The local broker as it is now; `pid` is None if it does not run."""

    state: str
    """`running`: clients can connect. `starting`: the process exists, but cannot be reached yet. `stopped`."""
    bootstrap_servers: str
    pid: int | None
    data: str
    log: str


class LocalBroker:
    """The Kafka of one home folder. Each home has at most one; several homes can run side by side on different ports.

    Everything is in `<home>/broker`: jars, data (kept between runs), certificates, log and pid file. `jars` names
    another folder, to share them between homes. The services' credential files are created in `<home>/credentials` on
    the first start. A broker that is not `secure` has no such files and lets everyone on this machine do everything: it
    exists only to be measured against others.
    """

    def __init__(
        self,
        home: Path,
        port: int = 9092,
        *,
        java: str = "java",
        maven: str = "mvn",
        jars: Path | None = None,
        secure: bool = True,
    ) -> None:
        self._home = home.resolve()
        self._folder = self._home / "broker"
        self._port = port
        self._java = java
        self._maven = maven
        self._jars = jars or self._folder / "jars"
        self._data = self._folder / "data"
        self._log = self._folder / "broker.log"
        self._properties = self._folder / "server.properties"
        self._certificates = Certificates(self._folder / "tls", BROKER) if secure else None
        self._process = ProcessFile(self._folder / "broker.pid")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address to which clients connect."""
        return f"{_HOST}:{self._port}"

    def cluster(self, client_id: str, principal: str = names.ADMIN_PRINCIPAL) -> Cluster:
        """The cluster with this principal's login; raises CredentialsError if there is no credential file for it."""
        return Cluster(self.bootstrap_servers, client_id, self._security(principal) if self._certificates else None)

    def status(self) -> BrokerStatus:
        """What runs now, according to the process and to the broker itself."""
        running = self._process.running()
        if running is None:
            return BrokerStatus("stopped", self.bootstrap_servers, None, str(self._data), str(self._log))
        address = f"{_HOST}:{running.port or self._port}"
        state = "running" if self._answers(address) else "starting"
        return BrokerStatus(state, address, running.pid or None, str(self._data), str(self._log))

    def start(self, *, timeout_s: float = 180.0, progress: Callable[[str], None] = lambda _: None) -> BrokerStatus:
        """Return once a client can connect; if the broker already runs, leave it alone.

        Data of an earlier run is used again, even if that run was killed.
        Raises `JavaError`, `MavenError`, `PortTakenError`, `BrokerBusyError`, `BrokerDiedError` or `InsecureDataError`;
        BrokerFolderError if its folder cannot be written.
        """
        try:
            return self._start(timeout_s, progress)
        except OSError as error:
            raise BrokerFolderError(f"{error.filename or self._folder}: {error.strerror}") from error

    def _start(self, timeout_s: float, progress: Callable[[str], None]) -> BrokerStatus:
        private.folder(self._folder).chmod(0o700)  # the data in it are records of all departments
        self._require_secure_data()
        deadline = time.monotonic() + timeout_s
        while True:
            running = self._process.running()
            if running is not None and running.port not in (0, self._port):
                raise BrokerBusyError(f"the broker of {self._folder.parent} already runs, on port {running.port}")
            ours = self._spawn(progress) if running is None else False
            status = self._wait_until_reachable(deadline)
            if status.state == "running":
                self._issue_services()
                return status
            if ours or status.state == "starting":
                what = (
                    "ended while starting" if status.state == "stopped" else f"did not answer within {timeout_s:.0f} s"
                )
                full = "make room: its disk is full; then " if disk_usage(self._folder).free < _LEAST_BYTES else ""
                raise BrokerDiedError(f"the broker {what}", remedy=f"{full}read the end of {self._log}")
            # The process was on its way down, and someone else had started it: start our own now.

    def stop(self, *, timeout_s: float = 30.0) -> bool:
        """Return once the broker has ended; kill it if it does not end in time. False if none ran."""
        ran = self._process.end(timeout_s)
        if self._child is not None:
            self._child.wait()
            self._child = None
        return ran

    def _answers(self, address: str) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(_split(address), timeout=1.0):
            found = replace(self.cluster("exchange.broker"), bootstrap_servers=address)
            return cluster_id(found) == self._cluster_id()
        return False

    def _security(self, principal: str) -> Security:
        return credentials.load(credentials.file_of(self._home, principal))

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
                    f"port {self._port} is taken by something that is not the broker of {self._folder.parent}"
                ) from error

    def _spawn(self, progress: Callable[[str], None]) -> bool:
        """Start the process; False if someone else did so at the same moment."""
        java_version(self._java)
        resolve(self._jars, self._maven, progress)
        self._require_free_port()
        ports = self._configure(progress)
        if self._was_killed() and not self._fence(ports, progress):
            return False
        progress(f"starting Kafka on {self.bootstrap_servers}")
        command = self._java_command("kafka.Kafka", str(self._properties))
        self._child = self._process.spawn(command, self._port, self._log)
        return self._child is not None

    def _was_killed(self) -> bool:
        """Whether the broker ran before and did not end by itself."""
        return (self._data / "__cluster_metadata-0").exists() and not (self._data / ".kafka_cleanshutdown").exists()

    def _fence(self, ports: Ports, progress: Callable[[str], None]) -> bool:
        """Run the controller alone until it has fenced the broker that was killed; False as in `_spawn`.

        If a Kafka 4.3 starts at once, it first takes its partitions to have a leader and then, when its old session
        expires, to be deleted. It then forgets to end transactions that were being committed or aborted when it was
        killed, which hides the records after them, or shows records twice. See docs/decisions/007-a-killed-broker.md.
        """
        progress("fencing the broker that was killed")
        properties, log = self._folder / "controller.properties", self._folder / "controller.log"
        properties.write_text(server_properties(self._data, ports, self._certificates, only_controller=True))
        log.unlink(missing_ok=True)
        shown = "org.apache.kafka.controller.ReplicationControlManager"
        command = self._java_command("kafka.Kafka", str(properties), shown=shown)
        if self._process.spawn(command, self._port, log) is None:
            return False

        def told(words: bytes, wait_s: float) -> bool:
            return self._comes(lambda: words in log.read_bytes(), wait_s)

        def wrote() -> bool:
            size = self._metadata_bytes()
            return self._comes(lambda: self._metadata_bytes() > size, 5.0)

        if told(b"Performing controller activation", 60.0) and told(b"Fencing broker 1 ", 3.0):
            _ = wrote() and wrote()  # it writes ten times a second: what it said before is surely in the second piece
        self._process.end(30.0)
        return True

    def _metadata_bytes(self) -> int:
        return sum(file.stat().st_size for file in (self._data / "__cluster_metadata-0").glob("*.log"))

    def _comes(self, seen: Callable[[], bool], wait_s: float) -> bool:
        """Wait until `seen()` holds; False if the process ends or `wait_s` pass before that."""
        until(lambda: seen() or not self._process.running(), wait_s, 0.02)
        return seen()

    def _require_secure_data(self) -> None:
        admin = credentials.file_of(self._home, names.ADMIN_PRINCIPAL)
        if self._certificates is None or self._cluster_id() is None or admin.exists():
            return
        if self._certificates.authority.exists():
            raise InsecureDataError(f"{admin} is lost", remedy="restore it from a backup")
        raise InsecureDataError(
            f"{self._data} is that of a broker without security: what is in it was open to every program here",
            remedy=f"run `exchange down`, then move {self._home} out of the way: the ledger and the readers' databases "
            "in it belong to that data; or stay with the version that made it",
        )

    def _configure(self, progress: Callable[[str], None]) -> Ports:
        """Write server.properties for this run, and format the data folder before the first run."""
        if self._certificates is not None:
            self._secure(self._certificates, progress)
        ports = Ports(self._port, *_free_ports(2))
        self._properties.write_text(server_properties(self._data, ports, self._certificates))
        if self._cluster_id() is None:
            progress("formatting the broker's storage")
            self._format()
        return ports

    def _secure(self, certificates: Certificates, progress: Callable[[str], None]) -> None:
        """Renew certificates; put the authority's beside the credential files, and create the administrator's file."""
        if certificates.renew():
            progress("making the broker's certificate")
        admin = credentials.file_of(self._home, names.ADMIN_PRINCIPAL)
        authority = admin.parent / "ca.pem"
        if not admin.exists():
            security = Security(username=names.ADMIN_PRINCIPAL, password=users.new_password(), ca=authority)
            credentials.save(admin, security)
        authority.write_bytes(certificates.authority.read_bytes())

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = [f"--cluster-id={cluster}", "--ignore-formatted", "--config", str(self._properties)]
        if self._certificates is not None:
            admin = self._security(names.ADMIN_PRINCIPAL)
            arguments += ["--add-scram", f"{admin.mechanism}=[name={admin.username},password={admin.password}]"]
        # Arguments go into a file, one per line, because everyone on the machine can read a command line.
        with NamedTemporaryFile("w", dir=self._folder, prefix="format.") as file:
            file.write("\n".join(arguments))
            file.flush()
            command = self._java_command("kafka.tools.StorageTool", "format", f"@{file.name}")
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise BrokerDiedError(
                f"Kafka could not format {self._data}: {(answer.stderr or answer.stdout).strip().splitlines()[-1]}",
                remedy="check the folder's rights and free space",
            )

    def _issue_services(self) -> None:
        if self._certificates is not None:
            files = {
                name: credentials.file_of(self._home, name) for name in (names.ROUTER_PRINCIPAL, names.LEDGER_PRINCIPAL)
            }
            if missing := {name: path for name, path in files.items() if not path.exists()}:
                users.issue(self.cluster("exchange.broker"), missing)

    def _wait_until_reachable(self, deadline: float) -> BrokerStatus:
        while (status := self.status()).state == "starting" and time.monotonic() < deadline:
            time.sleep(0.1)
        return status

    def _java_command(self, main_class: str, *arguments: str, shown: str = "") -> list[str]:
        return [
            self._java,
            f"-Xmx{HEAP}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *([f"-Dorg.slf4j.simpleLogger.log.{shown}=info"] if shown else []),
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


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((_HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def configured(settings: Settings, port: int | None = None) -> LocalBroker:
    """The local Kafka of the settings; ConfigError where they name another machine."""
    return LocalBroker(
        settings.home, port or _configured_port(settings.bootstrap_servers), java=settings.java, maven=settings.maven
    )


def _configured_port(bootstrap_servers: str) -> int:
    host, _, port = bootstrap_servers.split(",", maxsplit=1)[0].rpartition(":")
    if host.strip("[]") not in _LOCAL_HOSTS or not port.isdigit():
        raise ConfigError(
            f"EXCHANGE_BOOTSTRAP_SERVERS names {bootstrap_servers}, which is not on this machine",
            remedy="unset it to use the local broker, or give --port",
        )
    return int(port)
