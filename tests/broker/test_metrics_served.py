"""What a daemon's metrics port really answers, judged by Prometheus' own tool."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from exchange import metrics
from exchange.metrics import Health, MetricsPortError

DOCS = Path(__file__).parents[2] / "docs"


class Doctor:
    """A health that tests can change."""

    now = Health(ok=True, facts={"epoch": 3})

    def __call__(self) -> Health:
        return self.now


@pytest.fixture
def doctor() -> Doctor:
    return Doctor()


@pytest.fixture
def address(doctor: Doctor) -> Iterator[str]:
    server = metrics.serve("127.0.0.1", 0, doctor)
    yield server.address
    server.close()


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing = "promtool is not there. Remedy: install Prometheus (Debian: apt-get install prometheus)"
        # `.ci/run` installs it: there, a missing one is a mistake.
        pytest.fail(missing, pytrace=False) if os.environ.get("CI") else pytest.skip(missing)
    return found


def test_promtool_is_content_with_what_is_served(address: str, promtool: str) -> None:
    # promtool sees metrics with samples only.
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            metric.labels(*metric._labelnames)
    status, body = _get(f"http://{address}/metrics")
    assert status == 200
    assert b'exchange_records_total{outcome="outcome",subject="subject"} 0.0' in body
    names = {line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith("exchange_") for name in names)
    verdict = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)
    assert (verdict.returncode, verdict.stdout, verdict.stderr) == (0, b"", b"")


def test_promtool_is_content_with_the_alerts(promtool: str) -> None:
    verdict = subprocess.run([promtool, "check", "rules", DOCS / "alerts.yml"], capture_output=True, check=False)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def test_health_is_a_status_with_its_facts(address: str, doctor: Doctor) -> None:
    assert _get(f"http://{address}/healthz") == (200, b'{"status": "ok", "epoch": 3}')
    doctor.now = Health(ok=False, facts={"reason": "bus_unavailable"})
    status, body = _get(f"http://{address}/healthz")
    assert status == 503
    assert json.loads(body) == {"status": "failing", "reason": "bus_unavailable"}


def test_a_taken_port_is_refused(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(MetricsPortError, match="--metrics-port"):
        metrics.serve("127.0.0.1", other.getsockname()[1], doctor)


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
