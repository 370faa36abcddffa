"""The small server of a daemon that shows its metrics and its health."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from exchange.errors import ConfigError
from exchange.metrics import Health, exposition

SERVED_AT_ONCE = 32
PATIENCE_S = 5.0


class MetricsPortError(ConfigError):
    """The metrics cannot be served on that address."""

    code = "metrics-port"
    remedy = "choose another --metrics-port (0 picks a free one) or EXCHANGE_METRICS_HOST"


@dataclass(frozen=True)
class MetricsServer:
    """A running server; `address` is `host:port` with the port really bound."""

    address: str
    _server: ThreadingHTTPServer

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()


def serve(host: str, port: int, health: Callable[[], Health]) -> MetricsServer:
    """Serve `/metrics` and `/healthz` (200, or 503 if `health` says no) from a thread; port 0 picks a free one.

    Whoever reaches the port can occupy at most 32 threads: further connections are closed, and so are those that say
    nothing for 5 seconds.

    Raises `MetricsPortError` if the address cannot be bound.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S
        server_version, sys_version = "exchange", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, *exposition(health(), self.headers.get("Accept", "")))
            elif path == "/healthz":
                now = health()
                status = HTTPStatus.OK if now.ok else HTTPStatus.SERVICE_UNAVAILABLE
                body = {"status": "ok" if now.ok else "failing", **now.facts}
                self._answer(status, "application/json", json.dumps(body, ensure_ascii=False).encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics or /healthz\n")

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the library names it
            logging.getLogger("exchange.metrics").debug("request served")

    try:
        server = _Server((host, port), Handler)
    except OSError as error:
        raise MetricsPortError(f"metrics cannot be served on {host}:{port}: {error.strerror or error}") from error
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True).start()
    return MetricsServer(f"{host}:{server.server_port}", server)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 4 * SERVED_AT_ONCE  # so that Prometheus need not wait while many connect at once

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.BoundedSemaphore(SERVED_AT_ONCE)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        # Mostly a client that went away; what it sent does not belong in the log.
        logging.getLogger("exchange.metrics").debug("request failed", exc_info=True)
