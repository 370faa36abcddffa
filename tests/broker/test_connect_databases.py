"""Departments' PostgreSQL as it really is: odd values, odd encodings, refusals, locks and servers that hang."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from exchange.bus import Cluster
from exchange.connect import cursor as cursor_topic
from exchange.connect import postgres
from exchange.connect.columns import PROGRESS
from exchange.connect.config import Cursor, Database, SinkConfig, SourceConfig
from exchange.connect.convert import converter
from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, Paths, engine, waiting
from exchange.connect.publish import Encoder
from exchange.connect.rehearsal import rehearse
from exchange.connect.source import Bad, Page
from exchange.connect.sql_source import SqlSource
from exchange.connect.window import Window
from exchange.contract.model import Subject
from exchange.errors import ConfigError, ExchangeError
from exchange.logs import JsonFormatter
from exchange.schema import avro
from tests.connect_project import Project

SECRET = "440106199001010014"
HERE = Paths(Path(), Path())


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        yield connection


def run(url: str, *statements: str) -> None:
    with connected(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def source(url: str, *, fetch_rows: int | None = None, timeout_s: float = 300, **config: Any) -> SqlSource:
    origin = {} if "query" in config else {"table": "t"}
    made = SourceConfig(subject="a.b", cursor=Cursor(time="at", id="id"), **{"page_rows": 100, **origin, **config})
    return SqlSource(made, engine(Database(url=url, timeout_s=timeout_s), HERE), None, fetch_rows=fetch_rows)


def sweep(of: SqlSource, progress: dict[str, bytes]) -> list[Any]:
    """The rows of one sweep of a newly opened source; `progress` is moved on."""
    of.open(progress)
    rows = []
    for page in of.pages():
        rows += page.rows
        for name, value in page.progress.items():
            if value is None:
                progress.pop(name, None)
            else:
                progress[name] = value
    of.close()
    return rows


def rejected(page: Page, kind: Any) -> list[tuple[str, str]]:
    """What is set aside of a page whose column v is to fill a field of that Avro type."""
    text = f'{{"type": "record", "name": "R", "fields": [{{"name": "v", "type": {kind}}}]}}'
    schema = avro.parse(text)
    subject = Subject.model_validate(
        {"name": "b", "owner": "a", "title": {"zh": "a", "en": "a"}, "schema": "x", "share": "open",
         "entity": {"field": "v", "kind": "person"}}
    )  # fmt: skip
    return Encoder(subject, 1, schema, converter(schema.definition, {})).encode(page).rejected


TIMESTAMP = '{"type": "long", "logicalType": "timestamp-micros"}'
DATE = '{"type": "int", "logicalType": "date"}'
TIME = '{"type": "long", "logicalType": "time-micros"}'
DECIMAL = '{"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}'


@pytest.mark.parametrize(
    ("column", "odd", "even", "kind"),
    [
        ("timestamptz", "'infinity'", "now()", TIMESTAMP),
        ("timestamptz", "'-infinity'", "now()", TIMESTAMP),
        ("timestamptz", "'0044-03-15 BC'", "now()", TIMESTAMP),
        ("timestamptz", "'294276-12-31'", "now()", TIMESTAMP),
        ("timestamp", "'infinity'", "localtimestamp", TIMESTAMP),
        ("timestamp", "'10000-01-01'", "localtimestamp", TIMESTAMP),
        ("date", "'infinity'", "current_date", DATE),
        ("date", "'0044-03-15 BC'", "current_date", DATE),
        ("date", "'5874897-12-31'", "current_date", DATE),
        ("time", "'24:00'", "'23:59'", TIME),
        ("timetz", "'24:00+08'", "null", f'["null", {TIME}]'),
        ("interval", "'178000000 years'", "null", f'["null", {TIME}]'),
        ("numeric", "'NaN'", "1.5", DECIMAL),
        ("numeric", "'-Infinity'", "1.5", DECIMAL),
        ("numeric", "1e1000", "1.5", DECIMAL),
        ("float8", "'NaN'", "1.5", '"double"'),
        ("float8", "'Infinity'", "1.5", '"double"'),
        ("timestamptz[]", "'{infinity}'", "'{now}'", f'{{"type": "array", "items": {TIMESTAMP}}}'),
        ("date[]", "'[5:5]={-infinity}'", "'{now}'", f'{{"type": "array", "items": {DATE}}}'),
        ("daterange", "'[0044-03-15 BC,infinity]'", "null", '["null", "string"]'),
        ("datemultirange", "'{[0044-03-15 BC,infinity]}'", "null", '["null", "string"]'),
        ("jsonb", "('1' || repeat('0', 5000))::jsonb", "'1'", '"int"'),
        ("json", "(repeat('[', 5000) || repeat(']', 5000))::json", "'1'", '"int"'),
        ("bytea", r"'\xff'", "null", '["null", "string"]'),
        ("inet", "'10.0.0.1/8'", "null", '["null", "string"]'),
        ("point", "'(1,2)'", "null", '["null", "int"]'),
        ("money", "'1.00'", "null", f'["null", {DECIMAL}]'),
    ],
)  # fmt: skip
def test_a_value_that_python_cannot_hold_rejects_its_row_only(
    postgres_database: str, column: str, odd: str, even: str, kind: str
) -> None:
    run(
        postgres_database,
        f"CREATE TABLE t (id int, at timestamptz, v {column})",
        f"INSERT INTO t VALUES (1, '2025-01-01', {even}), (2, '2025-01-02', {odd}), (3, '2025-01-03', {even})",
    )
    of = source(postgres_database)
    of.open({})
    [page] = of.pages()
    [(place, reason)] = rejected(page, kind)
    assert place.startswith("t, 2025-01-02 00:00:00+00:00, #")
    assert reason.startswith("v: ")
    assert odd.strip("'") not in reason


@pytest.mark.parametrize(
    ("column", "odd"),
    [
        ("timestamptz", ["infinity", "-infinity", "0044-03-15 BC", "12025-01-01"]),
        ("timestamp", ["infinity", "-infinity", "0044-03-15 BC", "12025-01-01"]),
        ("date", ["infinity", "-infinity", "0044-03-15 BC", "12025-01-01"]),
        ("timestamptz", ["infinity"] * 90),
        ("timestamptz", [f"{year}-01-01" for year in range(9000, 9900, 10)]),
        ("timestamptz", [f"{year:04d}-01-01 BC" for year in range(1, 90)]),
    ],
)
@pytest.mark.parametrize("fetch_rows", [1, 3, None])
def test_odd_times_of_the_cursor_stop_nobody(
    postgres_database: str, column: str, odd: list[str], fetch_rows: int | None
) -> None:
    good = [f"2025-01-{day:02d}" for day in range(1, 20)]
    rows = ", ".join(f"({i}, '{at}')" for i, at in enumerate([*odd, *good]))
    run(postgres_database, f"CREATE TABLE t (id int, at {column})", f"INSERT INTO t VALUES {rows}")
    progress: dict[str, bytes] = {}
    found = sweep(source(postgres_database, fetch_rows=fetch_rows, page_rows=7), progress)
    found += sweep(source(postgres_database, fetch_rows=fetch_rows), progress)
    assert sorted(row["id"] for row in found) == list(range(len(odd) + len(good)))
    run(postgres_database, "UPDATE t SET at = '2025-02-01' WHERE id = 0", "INSERT INTO t VALUES (1000, '2025-02-02')")
    later = sweep(source(postgres_database, fetch_rows=fetch_rows), progress)
    assert sorted(row["id"] for row in later) == [0, 1000]


def test_an_id_that_python_cannot_hold(postgres_database: str) -> None:
    run(
        postgres_database,
        "CREATE TABLE t (id date, at timestamptz)",
        "INSERT INTO t SELECT d, '2025-01-01' FROM unnest('{infinity,-infinity,2025-01-01,0044-03-15 BC}'::date[]) d",
    )
    progress: dict[str, bytes] = {}
    assert len(sweep(source(postgres_database, fetch_rows=1), progress)) == 4
    assert sweep(source(postgres_database, fetch_rows=1), progress) == []


@pytest.mark.parametrize(
    "expression",
    ["v::int", f"1 / (v <> 'zz{SECRET}')::int", "convert_from(decode(v, 'hex'), 'UTF8')", "(v || '::')::json"],
)
@pytest.mark.parametrize("fetch_rows", [2, None])
def test_an_expression_that_fails_on_a_value_rejects_its_row_only(
    postgres_database: str, expression: str, fetch_rows: int | None
) -> None:
    values = ", ".join(
        f"({i}, '{'zz' + SECRET if i % 20 == 7 else i}', '2025-01-01'::timestamptz + {i} * interval '1 s')"
        for i in range(100)
    )
    run(postgres_database, "CREATE TABLE s (id int, v text, at timestamptz)", f"INSERT INTO s VALUES {values}")
    query = f"SELECT id, at, CASE WHEN v LIKE 'zz%' THEN {expression} END AS v FROM s"
    found = sweep(source(postgres_database, query=query, fetch_rows=fetch_rows), {})
    bad = [row for row in found if isinstance(row, Bad)]
    assert len(found) == 100
    assert len(bad) == 5
    assert SECRET not in str(bad)


def test_rows_with_one_time_and_id_are_found_where_a_fetch_ends_between_them(postgres_database: str) -> None:
    run(postgres_database, "CREATE TABLE t (id int, at timestamptz)", "INSERT INTO t VALUES (1, '2025-01-01')")
    run(postgres_database, "INSERT INTO t VALUES (1, '2025-01-01')")
    with pytest.raises(DatabaseConfigError) as caught:
        sweep(source(postgres_database, fetch_rows=1), {})
    assert caught.value.code == "repeated-cursor"


@pytest.fixture
def ascii_database(postgres_database: str) -> Iterator[str]:
    url = make_url(postgres_database)
    name = f"{url.database}ascii"
    run(
        postgres_database, f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    yield url.set(database=name).render_as_string(hide_password=False)
    run(postgres_database, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_without_encoding_gives_utf8_and_rejects_the_rest(ascii_database: str) -> None:
    run(
        ascii_database,
        "SET client_encoding = 'SQL_ASCII'",
        "CREATE TABLE t (id int, at timestamptz, v text, w varchar(9), c char(3), n name)",
    )
    with psycopg.connect(plain(ascii_database), autocommit=True, client_encoding="SQL_ASCII") as connection:
        for i, text in enumerate(["广州".encode(), "广州".encode("gb18030"), b"plain"]):
            connection.execute(
                "INSERT INTO t VALUES (%s, '2025-01-01', convert_from(%b, 'SQL_ASCII'), 'x', 'y', 'z')", (i, text)
            )
    found = sweep(source(ascii_database), {})
    assert [row["v"] for row in found if not isinstance(row, Bad)] == ["广州", "plain"]
    [bad] = [row for row in found if isinstance(row, Bad)]
    assert "SQLSTATE 22021" in bad.reason


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, at FROM t -- all of it",
        "SELECT id, at FROM t;",
        "SELECT id, at FROM t ; \n\t ;;  \r\n",
        "SELECT id, at FROM t; -- done",
        "SELECT id, at FROM t /* a /* nested */ ; */ ; /* b */",
        "-- first\nSELECT id, at FROM t",
        "SELECT id, at, 'a :word; -- no comment' AS v FROM t",
        "SELECT id, at::timestamptz, ':x'::text AS v FROM t",
        "SELECT id, at, ('{1,2}'::int[])[:1] AS v FROM t",
        "SELECT id, at, $$ :word; ' -- $$ AS v FROM t",
        "SELECT id, at, $a$ $$ ; $a$ AS v FROM t",
        r"SELECT id, at, E'\'; :word --' AS v FROM t",
        r"SELECT id, at, '\:word' AS v FROM t",
        'SELECT id, at, 1 AS ":word; --" FROM t',
        "SELECT id, at, 7 % 4 AS v, '%(x)s %s %%' AS w FROM t",
        "SELECT id, at, '{\"a\": 1}'::jsonb ? 'a' AS v FROM t",
        "SELECT id, at FROM t WHERE at > timestamp '2025-01-01 00:00:00'",
        "WITH x AS (SELECT * FROM t) SELECT id, at FROM x ORDER BY id LIMIT 5",
        "(SELECT id, at FROM t)",
        "TABLE t",
    ],
)
def test_a_query_as_people_write_it(postgres_database: str, query: str) -> None:
    run(postgres_database, "CREATE TABLE t (id int, at timestamptz)", "INSERT INTO t VALUES (1, '2025-01-02')")
    [row] = sweep(source(postgres_database, query=query), {})
    assert row["id"] == 1
    if "AS w" in query:
        assert row["w"] == "%(x)s %s %%"
    if "'a :word" in query:
        assert row["v"] == "a :word; -- no comment"
    if r"'\:word'" in query:
        assert row["v"] == r"\:word"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id, at FROM t WHERE id = :word", "the SQL is not valid"),
        ("SELECT id, at FORM t", "the SQL is not valid"),
        ("SELECT id, at FROM t; DROP TABLE t", "`query` has more than one statement"),
        (" ; -- nothing", "`query` is empty"),
        ("SELECT id, at FROM elsewhere", 'relation "elsewhere" does not exist'),
        ("SELECT id, ad FROM t", 'column "ad" does not exist'),
        ("SELECT id, at, nothing(id) FROM t", "no such function"),
        ("SELECT id, at FROM nowhere.t", "no such"),
        ("SELECT id, id, at FROM t", "two columns of the query have one name"),
        ("DELETE FROM t RETURNING id, at", "the SQL is not valid"),
        ("SELECT id, at, $1 AS v FROM t", "`query` has a parameter"),
    ],
)
def test_a_query_that_cannot_be_says_why(postgres_database: str, query: str, words: str) -> None:
    run(postgres_database, "CREATE TABLE t (id int, at timestamptz)", "INSERT INTO t VALUES (1, '2025-01-02')")
    with pytest.raises(DatabaseConfigError) as caught:
        sweep(source(postgres_database, query=query), {})
    assert words in caught.value.message


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "Postgres"])
def test_any_name_of_postgresql_is_fine_in_a_url(postgres_database: str, scheme: str) -> None:
    run(postgres_database, "CREATE TABLE t (id int, at timestamptz)", "INSERT INTO t VALUES (1, '2025-01-02')")
    url = postgres_database.replace("postgresql+psycopg", scheme)
    assert len(sweep(source(url), {})) == 1


def test_what_the_url_asks_for_stays(postgres_database: str) -> None:
    run(postgres_database, "CREATE SCHEMA other", "CREATE TABLE other.t (id int, at timestamptz)")
    url = make_url(postgres_database).update_query_dict({"options": "-c search_path=other"})
    assert sweep(source(url.render_as_string(hide_password=False)), {}) == []


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


DELIVERED = avro.parse(
    '{"type": "record", "name": "R", "fields": [{"name": "k", "type": "string"}, '
    '{"name": "v", "type": "bytes"}, {"name": "w", "type": {"type": "int", "logicalType": "date"}}]}'
)
PLACE = "_partition bigint, _offset bigint"


def try_sink(url: str, table: str = "t") -> None:
    config = SinkConfig(subject="a.b", table=table, key=("k",))
    rehearse(config, Database(url=url), HERE, "inbox.c.a.b", "k", DELIVERED)


@pytest.mark.parametrize(
    ("before", "table", "cause"),
    [
        ([], "t", None),
        ([f"CREATE TABLE t (k text PRIMARY KEY, v bytea, {PLACE})"], "t", None),
        ([f"CREATE TABLE t (k text, v bytea, {PLACE})"], "t", "a unique index, of"),
        ([], "nowhere.t", "there is no such schema"),
        (["REVOKE CREATE ON SCHEMA public FROM public"], "t", "permission denied for schema public"),
        ([f"CREATE TABLE t (k text PRIMARY KEY, v bytea, w date, {PLACE}, _time_ms bigint, _replay text)",
          "GRANT SELECT, INSERT ON t TO weak"], "t", "permission denied for table t"),
        (["ALTER DATABASE {database} SET default_transaction_read_only = on"], "t", "the database is read-only"),
    ],
)  # fmt: skip
def test_check_tries_what_a_sink_does_and_leaves_no_trace(
    postgres_database: str, before: list[str], table: str, cause: str | None
) -> None:
    url = make_url(postgres_database)
    run(
        postgres_database,
        "DROP ROLE IF EXISTS weak",
        "CREATE ROLE weak LOGIN",
        "GRANT CREATE ON SCHEMA public TO public",
    )
    run(postgres_database, *(statement.format(database=url.database) for statement in before))
    owner = "weak" if cause and "permission" in cause else str(url.username)
    try:
        if cause is None:
            try_sink(postgres_database, table)
        else:
            with pytest.raises(ConfigError, match=cause):
                try_sink(url.set(username=owner).render_as_string(hide_password=False), table)
        with connected(postgres_database) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables == ([("t",)] if any("TABLE t" in statement for statement in before) else [])
    finally:
        run(postgres_database, "SET default_transaction_read_only = off", "DROP OWNED BY weak", "DROP ROLE weak")


MEMORY = """
import resource, sys
from tests.broker.test_connect_databases import source
of = source(sys.argv[1])
of.open({})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = largest = 0
for page in of.pages():
    rows += len(page.rows)
    largest = max(largest, sum(len(row["v"]) for row in page.rows))
print(rows, largest >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_long_rows_take_no_more_memory_than_many(postgres_database: str) -> None:
    run(
        postgres_database,
        "CREATE TABLE t (id int, at timestamptz, v text)",
        "ALTER TABLE t ALTER v SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT i, '2025-01-01', repeat('x', 1000000) FROM generate_series(1, 250) i",
    )
    command = [sys.executable, "-c", MEMORY, postgres_database]
    rows, page_mb, peak_mb = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert rows == 250
    assert page_mb <= 8
    assert peak_mb < 150


INCOME_TABLE = """CREATE TABLE income
    (serial int, resident_id text, year int, amount numeric, paid_on date, recorded_at timestamptz)"""


def test_a_connector_rejects_the_odd_row_and_publishes_the_others(
    fresh_cluster: Cluster, postgres_database: str, tmp_path: Path, unique: str
) -> None:
    run(
        postgres_database,
        INCOME_TABLE,
        "INSERT INTO income SELECT i, i::text, 2024, i, CASE i WHEN 7 THEN 'infinity' ELSE '2025-02-28' END::date, "
        "timestamptz '2025-03-01 08:00+08' + i * interval '1 s' FROM generate_series(1, 20) i",
        "UPDATE income SET recorded_at = '0044-03-15 BC' WHERE serial = 9",
        "UPDATE income SET recorded_at = 'infinity' WHERE serial = 11",
    )
    project = Project(tmp_path, fresh_cluster, f"{unique}a", f"{unique}b")
    project.apply()
    cursor = {"time": "recorded_at", "id": "serial"}
    origin = {"subject": project.subject, "table": "income", "cursor": cursor}
    project.connector(project.owner, database=postgres_database, sources=[origin])
    done = connector(project)
    assert done.returncode == 0
    rejects = (project.home / "rejects" / f"{project.subject}.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in rejects] == [
        "recorded_at: a timestamptz out of range where a timestamp is due",
        "paid_on: a date out of range where a date is due",
        "recorded_at: a timestamptz out of range where a timestamp is due",
    ]
    progress = cursor_topic.read(fresh_cluster, project.owner, project.subject)
    pages = {name: value for name, value in progress.items() if name != PROGRESS}
    assert Window(60, pages).known().size == 20


@pytest.mark.parametrize("query", [f"SELECT *, '{SECRET}'::int AS x FROM income", "SELECT * FROM income WHERE f(year)"])
def test_no_value_is_shown_when_a_connector_ends(
    fresh_cluster: Cluster, postgres_database: str, tmp_path: Path, unique: str, query: str
) -> None:
    run(
        postgres_database,
        INCOME_TABLE,
        f"INSERT INTO income VALUES (1, '{SECRET}', 2024, 1, '2025-02-28', '2025-03-01')",
        f"CREATE FUNCTION f(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{SECRET}'; END $$",
    )
    project = Project(tmp_path, fresh_cluster, f"{unique}a", f"{unique}b")
    project.apply()
    cursor = {"time": "recorded_at", "id": "serial"}
    origin = {"subject": project.subject, "query": query, "cursor": cursor}
    project.connector(project.owner, database=postgres_database, sources=[origin])
    for done in (connector(project), connector(project, "check")):
        assert done.returncode == ConfigError.exit_status
        assert "Traceback" not in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr


def connector(project: Project, command: str = "run") -> subprocess.CompletedProcess[str]:
    options = ["--until-idle"] if command == "run" else []
    exchange = str(Path(sys.executable).parent / "exchange")
    environment = {**os.environ, **project.environment()}
    words = [exchange, "connector", command, project.owner, *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
