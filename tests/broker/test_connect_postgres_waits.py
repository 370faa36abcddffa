"""What a PostgreSQL server refuses, locks and leaves unanswered: the cause is said, and waiting ends."""

from __future__ import annotations

import logging
import socket
import threading
import time

import psycopg
import pytest
from sqlalchemy import make_url

from exchange.connect import postgres
from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, waiting
from exchange.connect.source import Bad
from exchange.errors import ExchangeError
from exchange.logs import JsonFormatter
from tests.rigs.sql_source import SECRET, plain, run, source, sweep


class Server:
    """A server of PostgreSQL's protocol that answers each start of a connection with `answer`, or (b"") nothing."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.url = (
            f"postgresql://a:{SECRET}@127.0.0.1:{self._socket.getsockname()[1]}/x?sslmode=disable&connect_timeout=2"
        )
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.recv(4096)
            client.sendall(self._answer)
            if self._answer:
                client.close()
            else:
                self._held.append(client)

    def close(self) -> None:
        for one in (self._socket, *self._held):
            one.close()


def refusal(state: str, message: str) -> bytes:
    fields = b"".join(kind + text.encode() + b"\0" for kind, text in ((b"S", "FATAL"), (b"C", state), (b"M", message)))
    return b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0"


@pytest.mark.parametrize(
    ("state", "message", "cause", "waits"),
    [
        ("28P01", 'password authentication failed for user "a"', "the login is refused", False),
        ("28000", 'role "a" does not exist', "the login is refused", False),
        ("28000", 'no pg_hba.conf entry for host "::1", user "a", database "x"', "the login is refused", False),
        ("3D000", 'database "x" does not exist', "there is no such database", False),
        ("42501", 'permission denied for database "x"', "a right is missing", False),
        ("53300", "sorry, too many clients already", "too many connections", True),
        ("53300", "remaining connection slots are reserved", "too many connections", True),
        ("57P03", "the database system is starting up", "starting or shutting down", True),
        ("57P03", "the database system is not yet accepting connections", "starting or shutting down", True),
        ("28P01", '用户 "a" Password 认证失败 (FATAL)', "用户", True),
    ],
)
def test_a_refused_connection_says_why(state: str, message: str, cause: str, waits: bool) -> None:
    server = Server(refusal(state, message))
    with pytest.raises(ExchangeError) as caught:
        source(server.url).open({})
    server.close()
    assert isinstance(caught.value, DatabaseUnavailableError) is waits
    assert cause in caught.value.message
    assert message in caught.value.message
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "cause", "waits"),
    [
        ("postgresql://a@127.0.0.1:1/x", "does not answer", True),
        ("postgresql://a@no-such-host.invalid/x", "no such host", False),
        ("postgresql://a@/x?host=/no/such/folder", "does not answer", True),
        ("postgresql://a@127.0.0.1:1/x?no_such_option=1", "the database URL is not right", False),
        ("postgresql://a@127.0.0.1:1/x?sslmode=perhaps", "the database URL is not right", False),
        (f"postgresql://a:b@127.0.0.1:{SECRET}x/x", "the database URL cannot be read", False),
    ],
)
def test_a_server_that_is_not_there_says_why(url: str, cause: str, waits: bool) -> None:
    with pytest.raises(ExchangeError) as caught:
        source(url).open({})
    assert isinstance(caught.value, DatabaseUnavailableError) is waits
    assert cause in caught.value.message
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "cause", "waits"),
    [
        ("08006", "the connection was lost", True),
        ("22003", "", None),
        ("25006", "read-only", False),
        ("40001", "another transaction was in the way", True),
        ("40P01", "another transaction was in the way", True),
        ("42501", "a right is missing", False),
        ("42703", "a function or trigger of the database fails", False),
        ("53100", "the disk of the database is full", True),
        ("53200", "out of memory", True),
        ("55P03", "holds a lock", True),
        ("57014", "took too long", True),
        ("57P01", "starting or shutting down", True),
        ("58030", "cannot read or write its files", False),
        ("P0001", "a function or trigger", False),
        ("XX000", "the database refuses", False),
        ("XX001", "the database is damaged", False),
        ("ABCDE", "the database refuses", False),
    ],
)
def test_an_error_is_sorted_by_its_state_and_never_shows_what_a_function_says(
    postgres_database: str, state: str, cause: str, waits: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    run(
        postgres_database,
        "CREATE FUNCTION f(id int) RETURNS text LANGUAGE plpgsql STABLE AS "
        f"$$ BEGIN RAISE EXCEPTION 'no: {SECRET}' USING ERRCODE = '{state}', DETAIL = '{SECRET}'; END $$",
        "CREATE TABLE s (id int, at timestamptz)",
        "INSERT INTO s VALUES (1, '2025-01-01')",
        "CREATE VIEW t AS SELECT id, at, f(id) FROM s",
    )
    if waits is None:
        [row] = sweep(source(postgres_database), {})
        assert isinstance(row, Bad)
        assert SECRET not in row.reason
        return
    with pytest.raises(ExchangeError) as caught:
        sweep(source(postgres_database), {})
    assert isinstance(caught.value, DatabaseUnavailableError) is waits
    assert cause in caught.value.message
    assert state in caught.value.message
    record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), (type(caught.value), caught.value, None))
    assert SECRET not in str(caught.value) + JsonFormatter().format(record)


def test_a_missing_right_names_the_table(postgres_database: str) -> None:
    run(
        postgres_database,
        "CREATE TABLE t (id int, at timestamptz)",
        "DROP ROLE IF EXISTS weak",
        "CREATE ROLE weak LOGIN",
    )
    url = make_url(postgres_database).set(username="weak").render_as_string(hide_password=False)
    with pytest.raises(DatabaseConfigError, match="permission denied for table t"):
        source(url).open({})
    run(postgres_database, "DROP ROLE weak")


def test_a_locked_table_says_so_in_time(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOCK_S", 1)
    run(postgres_database, "CREATE TABLE t (id int, at timestamptz)")
    with psycopg.connect(plain(postgres_database)) as holder:
        holder.execute("LOCK TABLE t")
        seen: list[tuple[str, float] | None] = []
        caught: list[Exception] = []

        def look() -> None:
            try:
                source(postgres_database).open({})
            except ExchangeError as error:
                caught.append(error)

        thread = threading.Thread(target=look)
        thread.start()
        while thread.is_alive():
            seen.append(waiting(thread.ident))
        assert ("open a.b",) in {s[:1] for s in seen if s}
    assert isinstance(caught[0], DatabaseUnavailableError)
    assert "another program holds a lock" in str(caught[0])


def test_a_statement_that_takes_too_long_ends(postgres_database: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="took too long"):
        sweep(source(postgres_database, query="SELECT 1 AS id, now() AS at, pg_sleep(60)", timeout_s=0.5), {})


def test_a_server_that_accepts_and_never_answers_is_given_up() -> None:
    server = Server(b"")
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError, match="timeout"):
        source(server.url).open({})
    server.close()
    assert time.monotonic() - began < 30


class Proxy:
    """A way to a server that can be cut in the middle, so that neither side hears of it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.hangs = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._socket.accept()
            server = socket.create_connection(("127.0.0.1", self._port))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        while data := one.recv(65536):
            if not self.hangs.is_set():
                other.sendall(data)


def test_a_server_that_hangs_in_the_middle_is_given_up(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ANSWER_SPARE_S", 0.5)
    run(postgres_database, "CREATE TABLE t (id int, at timestamptz)")
    url = make_url(postgres_database)
    assert url.port is not None
    proxy = Proxy(url.port)
    of = source(url.set(port=proxy.port).render_as_string(hide_password=False), timeout_s=0.5)
    of.open({})
    proxy.hangs.set()
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        list(of.pages())
    assert time.monotonic() - began < 60
