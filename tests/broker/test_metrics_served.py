"""What a daemon's metrics port really answers, judged by Prometheus' own tool."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from prometheus_client.metrics import MetricWrapperBase

from exchange import metrics, metrics_server
from exchange.metrics import Health
from exchange.metrics_server import MetricsPortError
from tests.rigs.programs import program


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
    server = metrics_server.serve("127.0.0.1", 0, doctor)
    yield server.address
    server.close()


def test_promtool_is_content_with_what_is_served(address: str) -> None:
    # promtool sees metrics with samples only.
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            metric.labels(*metric._labelnames)
        elif isinstance(metric, metrics.OwnGauge):
            metric.set(0)
    status, body = _get(f"http://{address}/metrics")
    assert status == 200
    assert b'exchange_records_total{outcome="outcome",reader="reader",subject="subject"} 0.0' in body
    names = {line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith("exchange_") for name in names)
    verdict = subprocess.run([program("promtool"), "check", "metrics"], input=body, capture_output=True, check=False)
    assert (verdict.returncode, verdict.stdout, verdict.stderr) == (0, b"", b"")


def test_health_is_a_status_with_its_facts(address: str, doctor: Doctor) -> None:
    assert _get(f"http://{address}/healthz") == (200, b'{"status": "ok", "epoch": 3}')
    doctor.now = Health(ok=False, facts={"reason": "bus_unavailable"})
    status, body = _get(f"http://{address}/healthz")
    assert status == 503
    assert json.loads(body) == {"status": "failing", "reason": "bus_unavailable"}


def test_a_taken_port_is_refused(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(MetricsPortError, match="--metrics-port"):
        metrics_server.serve("127.0.0.1", other.getsockname()[1], doctor)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=a.b;escaping=evil\r\n\r\n",
        b"GET /metrics HTTP/99999999999999999999.1\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"\x1b[2J /metrics HTTP/1.1\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\n\r\n",
        b"GET /metrics/%2e%2e/healthz HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        bytes(range(256)) * 100 + b"\n",
    ],
    ids=lambda sent: repr(sent[:24]),
)
def test_hostile_requests_get_no_metrics_and_leave_no_trace(
    address: str, request_: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = _send(address, request_)
    assert b"exchange_" not in answer
    assert b"200 OK" not in answer
    assert b"\x1b" not in answer
    assert _get(f"http://{address}/healthz")[0] == 200
    assert capfd.readouterr() == ("", "")
    assert "etc/passwd" not in caplog.text
    assert "[2J" not in caplog.text


def test_silent_clients_take_a_few_threads_for_a_while(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "PATIENCE_S", 2.0)
    server = metrics_server.serve("127.0.0.1", 0, doctor)
    address = server.address
    before = threading.active_count()
    with ExitStack() as stack:
        clients = [stack.enter_context(_connected(address)) for _ in range(3 * metrics_server.SERVED_AT_ONCE)]
        clients[0].sendall(b"GET /metr")
        # Those that are one too many are closed at once, the others when they have said nothing for long enough.
        closed = sum(1 for client in clients if _is_closed(client, 0.05))
        assert closed >= 2 * metrics_server.SERVED_AT_ONCE - 1
        assert threading.active_count() - before <= metrics_server.SERVED_AT_ONCE
        assert all(_is_closed(client, metrics_server.PATIENCE_S + 5) for client in clients)
    assert _get(f"http://{address}/healthz")[0] == 200
    server.close()


def _connected(address: str) -> socket.socket:
    host, _, port = address.partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _send(address: str, data: bytes) -> bytes:
    """All that is answered; nothing where the connection was reset."""
    with _connected(address) as connection, suppress(ConnectionError):
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


def _is_closed(connection: socket.socket, timeout_s: float) -> bool:
    connection.settimeout(timeout_s)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
