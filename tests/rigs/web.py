"""A web service on a port of this machine: an API that gives rows, or an address that takes events."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    params: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Reply:
    """What is answered; a value that is not bytes is sent as JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Web:
    """The service; `answer` is what it does with a request, `asked` are all that came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda asked: Reply([])


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A service that runs until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: else each answer waits for the client's delayed acknowledgement

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("content-length", 0))
            body = self.rfile.read(size)
            if len(body) < size:  # who asked was killed meanwhile
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
            web.asked.append(asked)
            reply = web.answer(asked)
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(reply.data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    web = Web(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Api:
    """Answers that give rows with `vin`, `year`, `state`, `at` and `serial`, in the order of `at`, page by page."""

    def __init__(self, by: str | None, size: int = 10) -> None:
        self.by, self.size = by, size
        self.rows: dict[int, dict[str, Any]] = {}
        self.clock = 0

    def put(self, serial: int, state: str = "on", *, step: int = 1) -> None:
        self.clock += step
        self.rows.pop(serial, None)
        self.rows[serial] = {"vin": f"v{serial}", "year": 2020, "state": state, "at": self.clock}

    def answer(self, asked: Asked) -> Reply:
        since = int(asked.params.get("from", 0))
        rows = sorted((row for row in self.rows.values() if row["at"] >= since), key=lambda row: row["at"])
        size, params = self.size, asked.params
        match self.by:
            case "number":
                start = (int(params["page"]) - 1) * size
            case "offset":
                start = int(params["skip"])
            case _:
                start = int(params.get("token", 0))
        found: dict[str, Any] = {"data": {"items": rows[start : start + size]}}
        more = start + size if start + size < len(rows) else None
        headers = {}
        if self.by == "token":
            found["next"] = more
        if self.by == "link" and more:
            headers = {"Link": f'<{asked.path}?from={since}&token={more}>; rel="next", </x>; rel="prev"'}
        return Reply(found, headers=headers)
