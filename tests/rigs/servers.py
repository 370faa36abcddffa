"""A database server of the tests' own: how it starts, answers, is killed and ends."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from tests.rigs.brokers import free_port
from tests.rigs.plain import wait_until


class DatabaseServer(ABC):
    """Its data are in `folder`; it runs from `start` to `stop`, or to a `kill`."""

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.kills = 0
        self._folder, self._port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {}  # as which it runs, for subprocess

    @abstractmethod
    def start(self) -> None:
        """Start it, without waiting until it answers."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes a connection."""

    @abstractmethod
    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to all that it consists of."""

    @abstractmethod
    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Ask it to end, as it ends soonest without losing what is committed."""

    def _serve(self, command: Sequence[str | Path]) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._user)

    def has_started(self) -> bool:
        """Whether it answers; AssertionError if it has ended."""
        self._running()
        return self._answers()

    def kill(self) -> None:
        """SIGKILL to the server and to all processes that it has, which otherwise would outlive it."""
        process = self._running()
        self._kill(process)
        process.wait()
        self.kills += 1

    def stop(self) -> None:
        """End it, if it runs: connections are closed, what is committed is kept."""
        if self._process is not None and self._process.poll() is None:
            self._end(self._process)
            self._process.wait(timeout=30)

    @property
    def pid(self) -> int:
        """Its first process, the parent of all others."""
        assert self._process is not None
        return self._process.pid

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} has ended: {self._log.read_text()[-2000:]}"
        return self._process

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"


SERVER = TypeVar("SERVER", bound=DatabaseServer)


@contextmanager
def running(make: Callable[[Path], SERVER], prefix: str, timeout_s: float) -> Iterator[SERVER]:
    """A server that answers, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"exchange-{prefix}-"))
    try:
        server = make(folder)
        server.start()
        try:
            wait_until(server.has_started, f"{server.name} answers", timeout_s)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
