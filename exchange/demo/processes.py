"""The exchange's daemons as child processes: start, inspect and stop them, and read the end of their logs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

from exchange import metrics, private
from exchange.printable import printable
from exchange.process import ProcessFile, Running

PATIENCE_S = 20.0
FIRST_PORT = 9400
TAIL_LINES = 12


@dataclass(frozen=True)
class Daemon:
    """One daemon: its name, and the arguments of `exchange` that run it."""

    name: str
    arguments: tuple[str, ...]


class Processes:
    """The daemons of one home folder, each found by a locked pid file in `<home>/run`."""

    def __init__(self, home: Path, host: str) -> None:
        self._folder = private.folder(home.resolve() / "run")
        self._host = host
        self._children: list[subprocess.Popen[bytes]] = []

    def running(self) -> dict[str, Running]:
        """The daemons that run now, by name; `port` is that of their metrics."""
        for child in self._children:
            child.poll()
        files = ((path.stem, ProcessFile(path)) for path in sorted(self._folder.glob("*.pid")))
        return {name: running for name, file in files if (running := file.running()) is not None}

    def start(self, daemons: Sequence[Daemon]) -> list[str]:
        """Start the daemons that do not run yet, each with a metrics port of its own; return their names."""
        before = self.running()
        ports = self._free_ports({running.port for running in before.values()})
        started = []
        for daemon in daemons:
            if daemon.name in before:
                continue
            port = next(ports)
            command = [sys.executable, "-m", "exchange", *daemon.arguments, "--metrics-port", str(port)]
            child = self._file(daemon.name).spawn(command, port, self.log(daemon.name), Path.cwd())
            if child is not None:
                self._children.append(child)
                started.append(daemon.name)
        return started

    def stop(self, names: Sequence[str]) -> None:
        """Return once these daemons have ended; kill those that do not end in time."""
        if names:
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(lambda name: self._file(name).end(PATIENCE_S), names))
        for child in self._children:
            child.poll()

    def log(self, name: str) -> Path:
        """The path of that daemon's log."""
        return self._folder / f"{name}.log"

    def tail(self, name: str) -> str:
        """The end of that daemon's log."""
        try:
            return printable("\n".join(self.log(name).read_text(errors="replace").splitlines()[-TAIL_LINES:]))
        except FileNotFoundError:
            return ""

    def address(self, running: Running) -> str:
        """The address of that daemon's metrics."""
        return f"http://{self._host}:{running.port}/metrics"

    def samples(self, name: str) -> dict[str, float]:
        """The daemon's metrics, summed by family and outcome; empty if it does not answer."""
        is_well, answer = self._get(name, "metrics")
        return metrics.sums(answer.decode()) if is_well else {}

    def facts(self, name: str) -> dict[str, object]:
        """What the daemon says about its health; empty if it does not answer or is not healthy."""
        is_well, said = self.health(name)
        return said if is_well else {}

    def health(self, name: str) -> tuple[bool, dict[str, object]]:
        """Whether the daemon is healthy, and what it says about that; empty if it does not answer."""
        is_well, answer = self._get(name, "healthz")
        return is_well, json.loads(answer) if answer else {}

    def _get(self, name: str, page: str) -> tuple[bool, bytes]:
        """Whether the daemon answers 200, and the page."""
        running = self._file(name).running()
        if running is None or not running.port:
            return False, b""
        try:
            with urllib.request.urlopen(f"http://{self._host}:{running.port}/{page}", timeout=2.0) as answer:
                return True, bytes(answer.read())
        except HTTPError as answer:
            return False, bytes(answer.read())
        except OSError:
            return False, b""

    def _file(self, name: str) -> ProcessFile:
        return ProcessFile(self._folder / f"{name}.pid")

    def _free_ports(self, taken: set[int]) -> Iterator[int]:
        for port in range(FIRST_PORT, 65_536):
            if port not in taken:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind((self._host, port))
                    except OSError:
                        continue
                yield port
