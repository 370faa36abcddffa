"""The connection on which PostgreSQL sends a slot's changes: psycopg has no words for it, libpq has all that it takes.

Messages: https://www.postgresql.org/docs/current/protocol-replication.html
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable

import psycopg
from psycopg import pq

from exchange.connect.cdc.captured import lsn, lsn_text
from exchange.connect.cdc.pgoutput import stream_us
from exchange.connect.postgres import Connection

AT_ONCE = 1000  # messages in memory at most, beside the page that they become
AT_ONCE_BYTES = 8 << 20
ASK_S = 1.0  # how often it asks how far the server has come
FREE_S = 5.0
SILENCE_S = 60.0  # a server that answers nothing for so long is gone
_STATUS = struct.Struct(">cQQQqB")
_CHANGES = ord("w")
_HEADER_BYTES = 25  # of a message with changes: kind, start and end in the log, time
_KEEPALIVE = struct.Struct(">QqB")


class Stream:
    """The changes of one slot, and the way to say how far they were taken; raises psycopg's errors.

    `sent` is how far in the log the server has come: every change before it was received.
    """

    def __init__(self, connection: Connection, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self.sent = 0
        self._confirmed = 0
        self._heard = self._asked = monotonic()

    def system(self) -> str:
        """What tells this server's data from that of all others."""
        row = self._connection.execute("IDENTIFY_SYSTEM").fetchone()
        assert row is not None
        return str(row[0])

    def create_slot(self, name: str) -> tuple[int, str]:
        """Make a slot; return from where in the log it has changes, and the name of the snapshot of just that moment.

        The snapshot can be taken over until the next command. It waits for all transactions that are writing now.
        """
        made = f"CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput EXPORT_SNAPSHOT"
        row = self._connection.execute(made.encode()).fetchone()
        assert row is not None
        return lsn(row[1]), str(row[2])

    def start(self, name: str, publication: str, begin: int) -> None:
        """Begin to receive what was committed at that place in the log or later, and not confirmed yet.

        A server that was killed has forgotten what was confirmed lately. Waits a while for a connection that ends to
        free the slot.
        """
        deadline = self._monotonic() + FREE_S
        while True:
            try:
                return self._start(name, publication, begin)
            except psycopg.errors.ObjectInUse:
                if self._monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _start(self, name: str, publication: str, begin: int) -> None:
        options = f"proto_version '1', publication_names '{publication}'"
        libpq = self._connection.pgconn
        libpq.send_query(f"START_REPLICATION SLOT {name} LOGICAL {lsn_text(begin)} ({options})".encode())
        while libpq.flush():
            select.select([], [libpq.socket], [], ASK_S)
        while libpq.is_busy():
            self._wait()
        result = libpq.get_result()
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            while libpq.get_result() is not None:
                pass
            raise _error(result, libpq)
        self._heard = self._monotonic()
        self._ask()

    def wait(self, seconds: float) -> None:
        """Return when something has arrived, or after that time."""
        select.select([self._connection.pgconn.socket], [], [], seconds)

    def receive(self) -> list[bytes]:
        """The messages that have arrived, in order, without waiting; not more than fit into memory."""
        libpq = self._connection.pgconn
        messages: list[bytes] = []
        held, came = 0, False
        while len(messages) < AT_ONCE and held < AT_ONCE_BYTES:
            size, data = libpq.get_copy_data(1)
            if size < 0:
                raise _error(libpq.get_result(), libpq)
            if size == 0:
                if came:
                    break
                libpq.consume_input()
                came = True
                continue
            came = False
            if data[0] == _CHANGES:
                messages.append(bytes(data[_HEADER_BYTES:]))
                held += size
            else:
                self.sent, _, wants_answer = _KEEPALIVE.unpack_from(data, 1)
                if wants_answer:
                    self._asked = float("-inf")
                self._heard = self._monotonic()
        if messages:
            self._heard = self._monotonic()
        return messages

    def confirm(self, taken: int) -> None:
        """Say that everything before that place is kept safe here; every so often, ask how far the server is."""
        now = self._monotonic()
        if now - self._heard > SILENCE_S:
            raise psycopg.OperationalError("the server has not answered for a minute")
        if taken > self._confirmed or now - self._asked >= ASK_S:
            self._confirmed = max(taken, self._confirmed)
            self._ask()

    def close(self) -> None:
        """End the connection; the server frees the slot."""
        self._connection.close()

    def _ask(self) -> None:
        self._asked = self._monotonic()
        at = self._confirmed
        now_us = stream_us(time.time())
        libpq = self._connection.pgconn
        libpq.put_copy_data(_STATUS.pack(b"r", at, at, at, now_us, 1))
        libpq.flush()

    def _wait(self) -> None:
        libpq = self._connection.pgconn
        select.select([libpq.socket], [], [], ASK_S)
        if self._monotonic() - self._heard > SILENCE_S:
            raise psycopg.OperationalError("the server has not answered for a minute")
        libpq.consume_input()


def _error(result: pq.abc.PGresult | None, libpq: pq.abc.PGconn) -> psycopg.Error:
    if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
        return psycopg.errors.error_from_result(result)
    return psycopg.OperationalError("the server ended the stream")
