"""kafka-python's network client without its costs per byte; it depends on internals of version 3.0.12.

kafka-python reads 4 KiB at a time: 50,000 system calls for 200 MB. It copies each response four times before it cuts
out the records, and each request twice before it sends it (see `pieces`). It asks its selector for unregistered
sockets so often that formatting the KeyError shows in profiles. If five requests are under way, its sender keeps
asking instead of waiting. Over TLS, it copies the rest of a request for each 16 KiB sent.

A client keeps the connection over which it first asked for brokers; kafka-python closes it and logs in again.

kafka-python retries a refused login, or a wrong broker, until it runs out of time. Here, either ends a new client at
once; for a client that already runs, `raise_refusal` reports it.
"""

from __future__ import annotations

import math
import selectors
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import kafka.errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport
from kafka.protocol.producer import ProduceRequest

from exchange.bus import pieces
from exchange.bus.pieces import Piece

RECEIVE_BYTES = 1 << 20
METADATA_BACKOFF_MS = 20
_TLS_RECORD_BYTES = 1 << 14
_TLS_ALERT = b"\x15\x03"  # read as a response's size, this would be 336 MiB


class UntrustedBrokerError(kafka.errors.KafkaError):
    """The other side does not speak TLS, or its certificate is not accepted."""


class _TlsAlertError(kafka.errors.KafkaProtocolError):
    """The other side answers in TLS, but this client does not use it."""


class Selector(selectors.DefaultSelector):
    """The platform's selector with a `get_key` that fails cheaply."""

    _fd_to_key: dict[int, selectors.SelectorKey]

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._fd_to_key[fileobj if isinstance(fileobj, int) else fileobj.fileno()]


class NetClient(KafkaNetClient):
    """A client for kafka-python's parameter `kafka_client`."""

    def __init__(self, **configs: Any) -> None:
        net = NetworkSelector(**configs | {"selector": Selector})
        manager = _Manager(net, **configs)
        # With the default, every client waits 100 ms between its first and its second request for metadata.
        manager.cluster.config["retry_backoff_ms"] = METADATA_BACKOFF_MS
        super().__init__(net=net, manager=manager)

    def connection_delay(self, node_id: Any) -> float:
        """Seconds to wait; infinite while the connection has as many requests under way as it may have.

        If it were 0, the sender would ask again and again whether it can send one more, and use half a processor.
        """
        connection = self._manager._conns.get(node_id)
        is_full = connection is not None and connection.connected and connection.paused
        return math.inf if is_full else super().connection_delay(node_id)

    def poll(self, timeout_ms: float | None = None, future: Any = None) -> Any:
        """As its own; while no broker can be reached, a sender would do so two hundred times a second."""
        if timeout_ms is not None and future is None:
            timeout_ms = max(timeout_ms, self._manager.pause_s() * 1000)
        return super().poll(timeout_ms=timeout_ms, future=future)


def raise_refusal(client: Any) -> None:
    """Raise the error of the last attempt to connect if the refusal is final: the client would retry for ever."""
    for refusal in list(client._manager._auth_failures.values()):
        raise refusal


class _Manager(KafkaConnectionManager):
    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().bootstrap(*args, **kwargs)
        except BaseException:
            # kafka-python has no client to close yet, and would keep this one's thread and sockets for ever.
            self.close()
            self._net.close()
            raise

    def is_cut_off(self) -> bool:
        """Whether it has lost every broker, and reached none since."""
        nodes = [broker.node_id for broker in self.cluster.brokers()]
        return bool(nodes) and all(node in self._backoff for node in nodes)

    def pause_s(self) -> float:
        """So long it makes no attempt to reach a broker, because it has lost all; 0 if that is due, or it has one."""
        nodes = [broker.node_id for broker in self.cluster.brokers()] if self._backoff else []
        return min((super(_Manager, self).connection_delay(node) for node in nodes), default=0.0)

    def connection_delay(self, node_id: Any) -> float:
        # Else the loop that refreshes metadata asks ten times in that time whether there is a broker.
        delay: float = super().connection_delay(node_id)
        return max(delay, self.pause_s()) if node_id == "metadata" else delay

    def maybe_raise_auth_failure(self, node_id: Any) -> None:
        # Later, this would raise in the loop that refreshes metadata, which then does not pause.
        if not self.bootstrapped:
            super().maybe_raise_auth_failure(node_id)

    def get_connection(self, node_id: Any, *args: Any, **kwargs: Any) -> Any:
        conn = super().get_connection(node_id, *args, **kwargs)
        if self.cluster.is_bootstrap(node_id):
            conn.close = partial(self._keep, conn)
        return conn

    def _keep(self, conn: Any, error: Exception | None = None) -> None:
        """Replaces closing: the client's first connection becomes its connection to the broker at this address.

        Logging in a second time would take ten round trips.
        """
        del conn.close
        began = self.cluster.broker_metadata(conn.node_id)
        known = {(node.host, node.port): node.node_id for node in self.cluster.brokers()}
        node_id = known.get((began.host, began.port)) if conn.connected and not error and not self.closed else None
        if node_id is None or node_id in self._conns:
            conn.close(error)
            return
        conn.node_id = node_id
        conn.close_future.add_both(lambda _: self._conns.pop(node_id, None))
        conn.close_future.add_errback(lambda _: self.cluster.request_update())
        self._conns[node_id] = conn

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        try:
            transport = await super()._build_transport(node, timeout_at)
        except kafka.errors.KafkaConnectionError as error:
            if (reason := _distrust(error.__context__)) is not None:
                self._auth_failures[node.node_id] = UntrustedBrokerError(f"{node.host}:{node.port} {reason}")
            raise
        if isinstance(transport, KafkaSSLTransport):
            transport._sock_recv = partial(_receive_tls, transport._sock)
        else:
            transport._sock_recv = partial(_receive, transport._sock)
        transport.write = partial(_write, transport.write)
        return transport

    async def _connect(self, node: Any, conn: Any, *args: Any, **kwargs: Any) -> None:
        made = conn.connection_made

        def connection_made(transport: Any) -> None:
            made(transport)
            conn.parser.receive_bytes = _Frames(conn.parser).receive
            conn.parser.send_request = partial(_encode, conn.parser, conn.parser.send_request)
            conn.parser.send_bytes = partial(_encoded, conn.parser)

        conn.connection_made = connection_made
        await super()._connect(node, conn, *args, **kwargs)
        failure = conn.init_future.exception
        if isinstance(failure, kafka.errors.SaslAuthenticationFailedError):
            told = f"the broker does not let {self.config['sasl_plain_username']} in with this password"
        elif isinstance(failure, _TlsAlertError):
            told = f"{node.host}:{node.port} wants TLS and a login, and this client has no credentials"
        else:
            return
        self._auth_failures[node.node_id] = kafka.errors.SaslAuthenticationFailedError(told)


def _distrust(error: BaseException | None) -> str | None:
    """Why a failed handshake should not be retried; None if it may be, for example because the broker is stopping.

    >>> _distrust(ConnectionResetError())
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "does not speak TLS"
    return None


class _Frames:
    """Cuts the stream into responses; each is received into one buffer and decoded there."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._frame = _Frame(4)
        self._is_head = True

    def receive(self, data: bytes) -> list[Any]:
        responses, at = [], 0
        view = memoryview(data)
        while at < len(view):
            at += self._frame.fill(view[at:])
            if not self._frame.is_full:
                break
            if self._is_head:
                head = self._frame.read()
                if head[:2] == _TLS_ALERT:
                    raise _TlsAlertError
                size = int.from_bytes(head, "big", signed=True)
                self._parser._validate_frame_size(size)
                self._frame = _Frame(size)
            else:
                responses.append(self._parser._process_response(self._frame))
                self._frame = _Frame(4)
            self._is_head = not self._is_head
        return responses


class _Frame:
    """A file-like buffer of known size; reading returns views of its memory."""

    def __init__(self, size: int) -> None:
        self._view = memoryview(bytearray(size))
        self._filled = self._at = 0

    @property
    def is_full(self) -> bool:
        return self._filled == len(self._view)

    def fill(self, data: memoryview) -> int:
        """Take as much of the data as fits; return its size in bytes."""
        size = min(len(data), len(self._view) - self._filled)
        self._view[self._filled : self._filled + size] = data[:size]
        self._filled += size
        return size

    def read(self, size: int | None = None) -> memoryview:
        start = self._at
        self._at = len(self._view) if size is None else min(start + size, len(self._view))
        return self._view[start : self._at]

    def seek(self, at: int) -> None:
        self._at = at

    def tell(self) -> int:
        return self._at


def _receive(sock: Any) -> tuple[bytes, Exception | None]:
    """What the socket holds now, up to one mebibyte."""
    try:
        data = sock.recv(RECEIVE_BYTES)
    except (BlockingIOError, InterruptedError):
        return b"", None
    except OSError as error:
        return b"", kafka.errors.KafkaConnectionError(error)
    return data, None if data else kafka.errors.KafkaConnectionError("socket disconnected")


def _receive_tls(sock: ssl.SSLSocket) -> tuple[bytes, Exception | None]:
    """All that the socket holds now, because the selector does not see data that is already decrypted.

    The end of the stream is reported by a later call than the data before it, which may be the reason for the end.
    """
    pieces = []
    end = None
    try:
        while data := sock.recv(_TLS_RECORD_BYTES):
            pieces.append(data)
        end = kafka.errors.KafkaConnectionError("socket disconnected")
    except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
    except OSError as error:
        end = kafka.errors.KafkaConnectionError(error)
    return b"".join(pieces), None if pieces else end


def _encode(parser: Any, encode: Callable[[Any], int], request: Any) -> int:
    """Replaces the parser's `send_request`, so that records to produce are not copied."""
    if not isinstance(request, ProduceRequest):
        return encode(request)
    correlation_id = int(parser._next_correlation_id())
    request.with_header(correlation_id=correlation_id, client_id=parser._client_id)
    parser.bytes_to_send += pieces.encode(request)
    if request.expect_response():
        parser.in_flight_requests.append(request.header)
    return correlation_id


def _encoded(parser: Any) -> list[Piece]:
    """Replaces the parser's `send_bytes`, which would join the pieces."""
    encoded, parser.bytes_to_send = parser.bytes_to_send, []
    return list(encoded)


def _write(write: Callable[[memoryview], None], encoded: list[Piece]) -> None:
    for piece in encoded:
        write(memoryview(piece))
