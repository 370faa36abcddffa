"""The demo of a small city, as tests run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exchange.bus import Cluster

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Demo:
    """A demo that was run with --keep."""

    cluster: Cluster
    environment: Mapping[str, str]
    output: str
    broker_home: Path
    command_lines: frozenset[bytes] = field(repr=False)

    @property
    def home(self) -> Path:
        return Path(self.environment["EXCHANGE_HOME"])

    @property
    def addresses(self) -> dict[str, str]:
        """Where each daemon serves its metrics, by its name, as its log says."""
        started = {
            log.stem: re.findall(r'.*"message": "started".*', log.read_text()) for log in self.home.glob("run/*.log")
        }
        return {name: json.loads(lines[-1])["address"] for name, lines in started.items()}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_exchange(self.environment, *arguments)


def run_exchange(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the exchange, which may take ten minutes."""
    command = [sys.executable, "-m", "exchange", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
