"""Departments' PostgreSQL as it really is: odd values, odd encodings, odd queries, long rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from exchange.connect.convert import converter
from exchange.connect.database import DatabaseConfigError
from exchange.connect.publish import Encoder
from exchange.connect.source import Bad, Page
from exchange.contract.model import Subject
from exchange.schema import avro
from tests.rigs.sql_source import SECRET, memory, plain, run, source, sweep


def rejected(page: Page, kind: Any) -> list[tuple[str, str]]:
    """What is set aside of a page whose column v is to fill a field of that Avro type."""
    text = f'{{"type": "record", "name": "R", "fields": [{{"name": "v", "type": {kind}}}]}}'
    schema = avro.parse(text)
    subject = Subject.model_validate(
        {"name": "b", "owner": "a", "title": {"zh": "a", "en": "a"}, "schema": "x", "share": "open",
         "entity": {"field": "v", "kind": "person"}}
    )  # fmt: skip
    return Encoder(subject, 1, schema, converter(schema, {})).encode(page).rejected


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


def test_long_rows_take_no_more_memory_than_many(postgres_database: str) -> None:
    run(
        postgres_database,
        "CREATE TABLE t (id int, at timestamptz, v text)",
        "ALTER TABLE t ALTER v SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT i, '2025-01-01', repeat('x', 1000000) FROM generate_series(1, 250) i",
    )
    rows, page_mb, peak_mb = memory(postgres_database)
    assert rows == 250
    assert page_mb <= 8
    assert peak_mb < 150
