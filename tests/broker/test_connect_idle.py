"""What a connector takes while it has nothing to do."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from exchange.bus import Cluster
from tests.rigs.daemons import Daemon
from tests.rigs.deliveries import drain
from tests.rigs.place import Place
from tests.rigs.plain import wait_until
from tests.rigs.project import Project

MOST_MB = 125  # docs/performance.md has the figure; allocators and Python versions differ


@pytest.fixture
def project(own_cluster: Cluster, tmp_path: Path, unique: str) -> Project:
    """Of which all is published, and no router delivers it."""
    made = Project(tmp_path, own_cluster, f"{unique}a", f"{unique}b")
    made.apply()
    with sqlite3.connect(tmp_path / "source.db") as database:
        database.execute("CREATE TABLE income (resident_id, employer, year, amount, paid_on, recorded_at, serial)")
        database.execute("INSERT INTO income VALUES ('1', NULL, 2024, 1, '2025-02-28', '2025-03-01 08:00:00', 1)")
    source = {"subject": made.subject, "table": "income", "cursor": {"time": "recorded_at", "id": "serial"}}
    made.connector(made.owner, database=f"sqlite:///{tmp_path}/source.db", sources=[source])
    made.connector(made.reader, database=f"sqlite:///{tmp_path}/reader.db", sinks=[{"subject": made.subject}])
    drain(made, made.owner)
    return made


@contextmanager
def idle(place: Place, department: str) -> Iterator[int]:
    """The process of the department's connector, once it has nothing to do."""
    daemon = Daemon(place, department, ["connector", "run", department, "--metrics-port", "0"])
    with ExitStack() as stack:
        stack.callback(daemon.end)
        daemon.start()
        wait_until(daemon.has_started, f"{department} starts")
        lines = map(json.loads, (place.folder / f"{department}.log").read_text().splitlines())
        address = next(line["address"] for line in lines if line["message"] == "started")

        def has_nothing_to_do() -> bool:
            try:
                with urllib.request.urlopen(f"http://{address}/healthz", timeout=30) as answer:
                    said = json.load(answer)
            except urllib.error.HTTPError:  # it starts
                return False
            return [state for name, state in said.items() if name != "status"] == ["idle"]

        wait_until(has_nothing_to_do, f"{department} is idle")
        yield daemon.pid


@pytest.mark.parametrize("side", ["owner", "reader"])
def test_a_connector_that_has_nothing_to_do_loads_no_kernels(project: Project, side: str) -> None:
    with idle(Place(project.folder, project.cluster), getattr(project, side)) as process:
        assert "llvmlite" not in Path(f"/proc/{process}/maps").read_text()  # numba's compiler
        status = Path(f"/proc/{process}/status").read_text()
        held_mb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
        assert held_mb < MOST_MB
