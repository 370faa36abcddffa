"""Processes of the exchange, as a benchmark starts them and waits for them."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from tests.bench import measure
from tests.bench.measure import CandidateFailedError
from tests.rigs.brokers import free_port
from tests.rigs.project import Project

_PATIENCE_S = 90.0
_LOOK_S = 0.02


@contextmanager
def running(project: Project, log: Path, *arguments: str) -> Iterator[Popen[bytes]]:
    """`exchange` with these arguments, which says of itself that it is well, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "exchange", *arguments, "--metrics-port", str(port)]
    with measure.running(command, project.environment() | {"EXCHANGE_LOG_LEVEL": "WARNING"}, log) as process:
        deadline = time.monotonic() + _PATIENCE_S
        while not _is_well(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise CandidateFailedError(f"exchange {' '.join(arguments)} is not well, see {log}")
            time.sleep(_LOOK_S)
        yield process


def _is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2.0):
            return True
    except OSError:  # it does not listen yet, or answers that it is not well
        return False
