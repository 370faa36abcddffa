"""KingbaseES and openGauss: the real way to a server, with a PostgreSQL that says of itself what these say.

`version()` is replaced in the test's own database, and nothing newer than openGauss' PostgreSQL may be asked for. That
one refuses `lock_timeout` cannot be shown here; that it is not sent, can.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from exchange.connect.config import Database
from exchange.connect.database import engine, translated
from exchange.connect.diagnosis import diagnose
from exchange.connect.source import Unreadable
from tests.rigs.sql_source import HERE, run, source, sweep

KINGBASE = "KingbaseES V008R006C007B0012 on x86_64-pc-linux-gnu, compiled by gcc, 64-bit"
GAUSS = "(openGauss 5.0.0 build a07d57c3) compiled at 2023-03-29 03:37:13 commit 0 last mr  on x86_64-unknown-linux-gnu"
NEWER = ("to_regtype", "to_regclass")  # functions that PostgreSQL has from 9.4


@pytest.fixture
def postgres_database(altered_postgres_database: str) -> str:
    """Not that of other tests: here PostgreSQL loses some of its functions."""
    return altered_postgres_database


@pytest.fixture(params=[("kingbase", KINGBASE), ("opengauss", GAUSS)], ids=["kingbase", "opengauss"])
def relative(request: pytest.FixtureRequest, postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty database."""
    name, version = request.param
    takes = "CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE AS"
    run(postgres_database, f"{takes} $$ SELECT '{version}'::text $$")
    if name == "opengauss":
        monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", 90204)
        for function in NEWER:
            run(postgres_database, f"ALTER FUNCTION pg_catalog.{function}(text) RENAME TO {function}_of_later")
    return make_url(postgres_database).set(drivername=name).render_as_string(hide_password=False)


def of_postgresql(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def opened(url: str) -> Iterator[sa.Connection]:
    made = engine(Database(url=url, timeout_s=7), HERE)
    with made.connect() as connection:
        yield connection
    made.dispose()


def test_sqlalchemy_itself_gives_up(relative: str) -> None:
    with pytest.raises(AssertionError, match="Could not determine version"), opened(of_postgresql(relative)):
        pass


def test_rows_come_as_they_are_and_each_once(relative: str) -> None:
    run(
        of_postgresql(relative),
        "CREATE TABLE t (id bigint, at timestamptz, name text, born date, amount numeric, data bytea)",
        r"INSERT INTO t VALUES (1, '2025-03-01 12:05:06.123456+08', '广州', '1990-01-01', 1.10, '\x00ff')",
        "INSERT INTO t VALUES (2, '2025-03-01 12:05:06.123456+08', '', 'infinity', NULL, NULL)",
        "INSERT INTO t VALUES (3, '2025-03-01 12:05:07+08', NULL, NULL, NULL, NULL)",
    )
    progress: dict[str, bytes] = {}
    first, second, third = sweep(source(relative, fetch_rows=1), progress)
    assert first == {
        "id": 1, "at": datetime(2025, 3, 1, 4, 5, 6, 123456, tzinfo=UTC), "name": "广州", "born": date(1990, 1, 1),
        "amount": Decimal("1.10"), "data": b"\0\xff",
    }  # fmt: skip
    assert (second["name"], second["born"].stored) == ("", "infinity")
    assert isinstance(second["born"], Unreadable)
    assert third["id"] == 3
    assert sweep(source(relative, fetch_rows=1), progress) == []


def test_a_row_on_which_the_query_fails_is_alone(relative: str) -> None:
    run(of_postgresql(relative), "CREATE TABLE t (id int, at timestamp, v text)")
    run(of_postgresql(relative), "INSERT INTO t VALUES (1, '2025-01-01', '1'), (2, '2025-01-02', 'x')")
    good, bad = sweep(source(relative, query="SELECT id, at, v::int AS v FROM t"), {})
    assert good["v"] == 1
    assert "a value cannot be computed" in bad.reason


def test_statements_have_an_end(relative: str) -> None:
    with opened(relative) as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "7s"
        assert connection.scalar(sa.text("SHOW timezone")) == "UTC"
        limit = connection.scalar(sa.text("SHOW lock_timeout"))
    assert limit == ("15s" if relative.startswith("kingbase") else "0")


def test_its_indexes_are_seen(relative: str) -> None:
    run(of_postgresql(relative), "CREATE TABLE t (id int, at timestamp)")
    with closing(source(relative)) as opening, translated("look"):
        assert not opening.has_index()
        run(of_postgresql(relative), "CREATE INDEX ON t (at, id)")
        assert opening.has_index()


def test_a_password_that_libpq_cannot_send_is_named() -> None:
    said = "connection failed: none of the server's SASL authentication mechanisms are supported"
    found = diagnose(psycopg.OperationalError(said))
    assert "password_encryption_type = 1" in found.remedy
    assert not found.waiting_helps
