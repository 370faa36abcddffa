"""Where commands of the exchange are run: a folder, and the settings that point to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from exchange.bus import Cluster
from tests.rigs.clients import environment, librdkafka

ROOT = Path(__file__).resolve().parents[2]


class Place:
    """A project folder and its settings; `exchange` is run in it as a user would."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder = folder
        self.cluster = cluster
        self.kafka = librdkafka(cluster)
        self.home = folder / "home"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **environment(cluster, folder),
            "EXCHANGE_HOME": str(self.home),
            "EXCHANGE_CONTRACT": str(folder / "topics.yaml"),
            "EXCHANGE_CONNECTORS": str(folder / "connectors"),
        }
        folder.mkdir(parents=True, exist_ok=True)

    def exchange(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run one command to its end; AssertionError with its output where it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "exchange", *arguments],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"exchange {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done.stdout
