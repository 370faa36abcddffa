"""kafka-python's network client with costs per byte taken out; it leans on internals of 3.0.12.

Its transport reads 4 KiB at a time, which is 50,000 system calls for 200 MB; each response is copied
four times before its records are cut out of it, each request twice before it is sent (`pieces`); its
selector is asked for sockets that are not registered so often that formatting the KeyError shows in
profiles; and its sender does not wait where five requests are under way, but asks on. Over TLS it
copies the rest of a request for each 16 KiB of it that are sent.

The connection that a client asks for the brokers with is kept, where kafka-python closes it and logs in anew.

A refused login, or a broker that is not the right one, it would try again until it is out of time;
here that ends a new client at once, and `raise_refusal` tells of it where one runs already.
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
_TLS_ALERT = b"\x15\x03"  # as a response's size this would be 336 MiB


class UntrustedBrokerError(kafka.errors.KafkaError):
    """The other side speaks no TLS, or its certificate is not what it has to be."""


class _TlsAlertError(kafka.errors.KafkaProtocolError):
    """The other side answers in TLS."""


class Selector(selectors.DefaultSelector):
    """The platform's selector with a `get_key` that fails cheaply."""

    _fd_to_key: dict[int, selectors.SelectorKey]

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._fd_to_key[fileobj if isinstance(fileobj, int) else fileobj.fileno()]


class NetClient(KafkaNetClient):
    """A client for kafka-python's `kafka_client` parameter."""

    def __init__(self, **configs: Any) -> None:
        net = NetworkSelector(**configs | {"selector": Selector})
        manager = _Manager(net, **configs)
        # Else every client waits 100 ms between its first and its second request for metadata.
        manager.cluster.config["retry_backoff_ms"] = METADATA_BACKOFF_MS
        super().__init__(net=net, manager=manager)

    def connection_delay(self, node_id: Any) -> float:
        """In seconds; no end of it while a connection has all the requests under way that it may have.

        With 0, the sender would ask again and again whether one more can be sent, on half a processor.
        """
        connection = self._manager._conns.get(node_id)
        is_full = connection is not None and connection.connected and connection.paused
        return math.inf if is_full else super().connection_delay(node_id)


def raise_refusal(client: Any) -> None:
    """Raise the error of the last attempt to connect where that was refused for good: the client tries for ever."""
    for refusal in list(client._manager._auth_failures.values()):
        raise refusal


class _Manager(KafkaConnectionManager):
    def maybe_raise_auth_failure(self, node_id: Any) -> None:
        # Later on it would be raised in the loop that refreshes metadata, which takes no pause after it.
        if not self.bootstrapped:
            super().maybe_raise_auth_failure(node_id)

    def get_connection(self, node_id: Any, *args: Any, **kwargs: Any) -> Any:
        conn = super().get_connection(node_id, *args, **kwargs)
        if self.cluster.is_bootstrap(node_id):
            conn.close = partial(self._keep, conn)
        return conn

    def _keep(self, conn: Any, error: Exception | None = None) -> None:
        """Instead of its end: the connection that a client began with goes on as that to the broker of this address.

        To log in to it a second time would take ten round trips.
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
    """Why the other side of a failed handshake is not to be tried again; None where it may be, a broker that stops say.

    >>> _distrust(ConnectionResetError())
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "does not speak TLS"
    return None


class _Frames:
    """Cuts the stream into responses, each received into one buffer and decoded where it lies."""

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
    """A file-like buffer of known size; what is read from it shares its memory."""

    def __init__(self, size: int) -> None:
        self._view = memoryview(bytearray(size))
        self._filled = self._at = 0

    @property
    def is_full(self) -> bool:
        return self._filled == len(self._view)

    def fill(self, data: memoryview) -> int:
        """Take what still fits; return how many bytes that were."""
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
    """What the socket holds now, up to a mebibyte."""
    try:
        data = sock.recv(RECEIVE_BYTES)
    except (BlockingIOError, InterruptedError):
        return b"", None
    except OSError as error:
        return b"", kafka.errors.KafkaConnectionError(error)
    return data, None if data else kafka.errors.KafkaConnectionError("socket disconnected")


def _receive_tls(sock: ssl.SSLSocket) -> tuple[bytes, Exception | None]:
    """All that the socket holds now: the selector does not see what is already decrypted.

    The end comes with a later call than what came before it, which may be the reason for it.
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
    """In the place of the parser's `send_request`: records to produce are not copied."""
    if not isinstance(request, ProduceRequest):
        return encode(request)
    correlation_id = int(parser._next_correlation_id())
    request.with_header(correlation_id=correlation_id, client_id=parser._client_id)
    parser.bytes_to_send += pieces.encode(request)
    if request.expect_response():
        parser.in_flight_requests.append(request.header)
    return correlation_id


def _encoded(parser: Any) -> list[Piece]:
    """In the place of the parser's `send_bytes`, which would join the pieces."""
    encoded, parser.bytes_to_send = parser.bytes_to_send, []
    return list(encoded)


def _write(write: Callable[[memoryview], None], encoded: list[Piece]) -> None:
    for piece in encoded:
        write(memoryview(piece))
