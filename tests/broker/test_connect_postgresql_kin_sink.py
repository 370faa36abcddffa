"""Sinks of KingbaseES and openGauss, on a PostgreSQL that counts as the one from which openGauss descends.

What it has and openGauss has not (ON CONFLICT) cannot be taken away from it here; that it is not sent, can be shown.
Its empty text is never null: what becomes of one where it is, is shown with the answer that such a database gives.
"""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from exchange.connect.dialects import postgresql_kin
from exchange.connect.sink_layout import TableChangedError
from tests.rigs.sinks import PLAIN, RELATIVES, Reader, row, schema, url_of
from tests.rigs.sql_source import run

NEWER = ("to_regtype", "to_regclass")  # functions that PostgreSQL has from 9.4


@pytest.fixture
def postgres_database(altered_postgres_database: str) -> str:
    """Not that of other tests: here PostgreSQL loses some of its functions."""
    return altered_postgres_database


@pytest.fixture(params=RELATIVES)
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = url_of(request, tmp_path)
    for function in NEWER:
        run(
            url_of(request, tmp_path, "postgresql"),
            f"ALTER FUNCTION pg_catalog.{function}(text) RENAME TO {function}_x",
        )
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", 90204)
    made = Reader(url, tmp_path)
    yield made
    made.user.dispose()


def said_by(table: Any) -> list[str]:
    statements: list[str] = []
    sa.event.listen(table._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    return statements


def test_rows_come_change_and_go(database: Reader) -> None:
    with closing(database.table()) as table:
        said = said_by(table)
        table.fit(PLAIN)
        assert not table.takes_columns()
        assert database.write(table, row(1), row(2), row(1, n=5, note=None), b"id-2", row(3, id="ключ")) == []
        assert [offset for _, offset in table.offsets("topic", [0]).items()] == [5]
        with table._engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
    assert database.rows("id, n, note") == [("id-1", 5, None), ("ключ", 3, "fine")]
    upserts = [each for each in said if each.startswith(("MERGE", "INSERT"))]
    is_gauss = database.url.startswith("opengauss")
    assert {each.startswith("MERGE") for each in upserts} == {is_gauss}
    assert any("ON CONFLICT" in each for each in said) != is_gauss


def test_a_table_is_found_again_and_grows(database: Reader) -> None:
    wider = schema(id="string", note=["null", "string"], n="long", more=["null", "double"])
    with closing(database.table()) as table:
        assert table.fit(PLAIN)
        database.write(table, row(1))
    with closing(database.table()) as table:
        assert not table.fit(wider)
        assert database.write(table, row(2, more=0.5), schema=wider) == []
    assert database.rows("id, more") == [("id-1", None), ("id-2", 0.5)]


def test_a_change_of_the_table_is_seen(database: Reader) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.sql("ALTER TABLE t ADD extra int")
        with pytest.raises(TableChangedError):
            database.write(table, row(1))


def test_an_empty_text_is_rejected_where_it_would_be_null(database: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        assert database.write(table, row(1, note="")) == []
    monkeypatch.setattr(postgresql_kin, "_NULLS_EMPTY", "1")  # what its Oracle mode answers
    with closing(database.table()) as table:
        table.fit(PLAIN)
        refused = "empty, which the database takes for null"
        assert database.write(table, row(2, note=""), row(3, id=""), row(4)) == [
            (0, f"note: {refused}"), (1, f"id: {refused}"),
        ]  # fmt: skip
    assert database.rows("id, note") == [("id-1", ""), ("id-4", "fine")]


def test_a_date_goes_into_the_timestamp_that_it_is_made_in_oracle_mode(database: Reader) -> None:
    dated = schema(id="string", born={"type": "int", "logicalType": "date"})
    database.sql("CREATE TABLE t (id text PRIMARY KEY, born timestamp(0), _partition bigint NOT NULL,"
                 " _offset bigint NOT NULL)")  # fmt: skip
    with closing(database.table()) as table:
        table.fit(dated)
        assert database.write(table, {"id": "a", "born": date(1990, 5, 1)}, schema=dated) == []
    assert str(database.rows("id, born")[0][1]) == "1990-05-01 00:00:00"


def test_rows_that_are_too_many_go_part_by_part(database: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.connect.held_copy.AT_ONCE", 2)
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.write(table, *(row(i) for i in range(5)))
        copy = table.copy("topic")
        assert [copy.delete_some() for _ in range(4)] == [2, 2, 1, 0]
    assert database.rows() == []
