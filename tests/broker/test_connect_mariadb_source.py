"""Departments' MariaDB as it really is: its types, zero dates, collations, encodings, queries and long rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.connect.config import Database
from exchange.connect.database import DatabaseConfigError, Paths, url
from exchange.connect.source import Bad, Unreadable
from exchange.connect.window import CursorTypeError
from tests.rigs.mariadb import connect, run
from tests.rigs.sql_source import HERE, SECRET, converted, decimal, memory, source, sweep

LOOSE = "SET sql_mode = ''"


INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DAY = {"type": "int", "logicalType": "date"}
CLOCK = {"type": "long", "logicalType": "time-micros"}
AT = datetime(2025, 3, 1, 4, 5, 6, 123456)


@pytest.mark.parametrize(
    ("column", "stored", "kind", "wanted"),
    [
        ("tinyint(1)", "1", "boolean", True),
        ("tinyint(1)", "1", "int", 1),
        ("tinyint(1)", "2", "boolean", None),
        ("bit(1)", "b'1'", "boolean", True),
        ("bit(9)", "b'100000001'", "int", 257),
        ("int unsigned", "4294967295", "long", 4294967295),
        ("int unsigned", "4294967295", "int", None),
        ("bigint", "-9223372036854775808", "long", -(2**63)),
        ("bigint unsigned", "18446744073709551615", "long", None),
        ("bigint unsigned", "18446744073709551615", decimal(20, 0), Decimal(2**64 - 1)),
        ("decimal(65,30)", "12345678901234567890123456789012345.000000000000000000000000000001", decimal(65, 30),
         Decimal("12345678901234567890123456789012345.000000000000000000000000000001")),
        ("decimal(12,2)", "-0.10", decimal(12, 2), Decimal("-0.10")),
        ("decimal(12,3)", "0.125", decimal(12, 2), None),
        ("double", "0.1", "double", 0.1),
        ("double", "1.7976931348623157e308", "double", 1.7976931348623157e308),
        ("float", "16777215", "float", 16777215.0),
        ("float", "16777215", "long", 16777215),
        ("float", "0.1", decimal(12, 2), None),
        ("datetime(6)", "'2025-03-01 12:05:06.123456'", INSTANT, AT.replace(tzinfo=UTC)),
        ("datetime(6)", "'2025-03-01 12:05:06.123456'", LOCAL, AT + timedelta(hours=8)),
        ("timestamp(6)", "'2025-03-01 04:05:06.123456'", INSTANT, AT.replace(tzinfo=UTC)),
        ("timestamp(6)", "'2025-03-01 04:05:06.123456'", LOCAL, None),
        ("date", "'2025-03-01'", DAY, date(2025, 3, 1)),
        ("date", "'0000-00-00'", DAY, None),
        ("date", "'0000-00-00'", ["null", DAY], None),
        ("date", "'0000-00-00'", "string", None),
        ("date", "'2025-03-00'", DAY, None),
        ("datetime", "'0000-00-00'", INSTANT, None),
        ("datetime", "'2025-00-01 01:02:03'", INSTANT, None),
        ("timestamp", "'0000-00-00'", INSTANT, None),
        ("time(6)", "'23:59:59.999999'", CLOCK, time.max),
        ("time", "'24:00:00'", CLOCK, None),
        ("time", "'-00:00:01'", CLOCK, None),
        ("time", "'100:00:00'", CLOCK, None),
        ("year", "2025", "int", 2025),
        ("varchar(9) character set gbk", "'广州'", "string", "广州"),
        ("char(9) character set latin1", "'Zürich'", "string", "Zürich"),
        ("text character set utf8mb4", "'𠮷 😀'", "string", "𠮷 😀"),
        ("enum('男','女')", "'女'", {"type": "enum", "name": "E", "symbols": ["男", "女"]}, None),
        ("enum('a','b')", "'b'", {"type": "enum", "name": "E", "symbols": ["a", "b"]}, "b"),
        ("varbinary(9)", "x'00ff'", "bytes", b"\0\xff"),
        ("varbinary(9)", "x'00ff'", "string", None),
        ("longblob", "x''", "bytes", b""),
        ("json", "'[1, 2]'", "string", "[1, 2]"),
    ],
)  # fmt: skip
def test_a_value_comes_as_it_is_or_its_row_is_rejected(
    mariadb_database: str, column: str, stored: str, kind: Any, wanted: Any
) -> None:
    if isinstance(kind, dict) and "男" in kind.get("symbols", ()):
        kind = "string"
        wanted = "女"
    run(
        mariadb_database,
        LOOSE,
        "SET time_zone = '+00:00'",
        f"CREATE TABLE t (id int, at datetime(6), v {column})",
        f"INSERT INTO t VALUES (1, '2025-01-02', {stored})",
    )
    [row] = sweep(source(mariadb_database), {})
    found = converted(kind, row["v"])
    assert found == wanted
    assert type(found) is type(wanted)


ODD = ["0000-00-00", "2025-00-01", "2025-01-00", "0000-00-01"]


@pytest.mark.parametrize("column", ["datetime(6)", "date"])
@pytest.mark.parametrize("fetch_rows", [1, 3, None])
def test_odd_times_of_the_cursor_stop_nobody(mariadb_database: str, column: str, fetch_rows: int | None) -> None:
    good = [f"2025-01-{day:02d}" for day in range(1, 20)]
    rows = ", ".join(f"({i}, '{at}')" for i, at in enumerate([*ODD, *good, "2999-01-01"]))
    run(mariadb_database, LOOSE, f"CREATE TABLE t (id int, at {column})", f"INSERT INTO t VALUES {rows}")
    progress: dict[str, bytes] = {}
    found = sweep(source(mariadb_database, fetch_rows=fetch_rows, page_rows=7), progress)
    found += sweep(source(mariadb_database, fetch_rows=fetch_rows), progress)
    assert sorted(row["id"] for row in found) == list(range(len(ODD) + len(good) + 1))
    run(mariadb_database, "UPDATE t SET at = '2025-02-01' WHERE id = 0", "INSERT INTO t VALUES (1000, '2025-02-02')")
    assert sorted(row["id"] for row in sweep(source(mariadb_database), progress)) == [0, 1000]


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.sets(
        st.tuples(st.integers(0, 2), st.text(st.sampled_from("aAäß sS\u00a0\u0301的"), max_size=3)), max_size=12
    ),
    column=st.sampled_from(
        ["varchar(9)", "varchar(9) collate utf8mb4_bin", "varchar(9) collate utf8mb4_unicode_ci", "text"]
    ),
    fetch_rows=st.integers(1, 4),
)
def test_each_row_comes_once_whatever_its_collation_takes_for_equal(
    mariadb_database: str, rows: set[tuple[int, str]], column: str, fetch_rows: int
) -> None:
    run(mariadb_database, "DROP TABLE IF EXISTS t", f"CREATE TABLE t (id {column}, at timestamp(6))")
    stored = {(second, text) for second, text in rows}
    with connect(mariadb_database) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO t VALUES (%s, %s)", [(text, f"2025-01-01 00:00:0{second}") for second, text in stored]
        )
    progress: dict[str, bytes] = {}
    found = [row["id"] for row in sweep(source(mariadb_database, fetch_rows=fetch_rows), progress)]
    assert sorted(found) == sorted(text for _, text in stored)
    assert sweep(source(mariadb_database, fetch_rows=fetch_rows), progress) == []


@pytest.mark.parametrize(
    ("column", "ids"),
    [
        ("varchar(9) character set gbk", ["'广'", "'州'", "'a'", "'A'", "'a '"]),
        ("varchar(9) character set latin1", ["'ü'", "'U'", "'u'"]),
        ("enum('z','y','x')", ["'z'", "'y'", "'x'"]),
        ("varbinary(9)", ["x'ff'", "x'00'", "x'0000'"]),
        ("bigint unsigned", ["18446744073709551615", "0", "9007199254740993", "9007199254740992"]),
        ("float", ["16777213", "16777214", "16777215", "16777216"]),
        ("double", ["0.1", "0.2", "1e300"]),
        ("decimal(65,30)", ["1.000000000000000000000000000001", "1", "2"]),
        ("date", ["'2025-01-01'", "'0000-00-00'", "'2025-00-01'"]),
        ("time(6)", ["'-800:00:00'", "'00:00:00'", "'24:00:00.000001'"]),
        ("bit(9)", ["b'100000000'", "b'1'", "b'0'"]),
        ("uuid", ["uuid()", "uuid()", "uuid()"]),
    ],
)
def test_rows_of_one_time_are_told_apart_by_an_id_of_any_type(
    mariadb_database: str, column: str, ids: list[str]
) -> None:
    rows = ", ".join(f"({each}, '2025-01-01')" for each in ids)
    run(mariadb_database, LOOSE, f"CREATE TABLE t (id {column}, at datetime)", f"INSERT INTO t VALUES {rows}")
    progress: dict[str, bytes] = {}
    assert len(sweep(source(mariadb_database, fetch_rows=1), progress)) == len(ids)
    assert sweep(source(mariadb_database, fetch_rows=1), progress) == []


def test_what_on_update_moves_forward_is_published_again(mariadb_database: str) -> None:
    columns = "at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"
    run(mariadb_database, f"CREATE TABLE t (id int, v int, {columns})", "INSERT INTO t (id, v) VALUES (1, 1), (2, 1)")
    progress: dict[str, bytes] = {}
    assert len(sweep(source(mariadb_database, lookback_s=0), progress)) == 2
    run(mariadb_database, "UPDATE t SET v = 2 WHERE id = 2")
    [row] = sweep(source(mariadb_database, lookback_s=0), progress)
    assert (row["id"], row["v"]) == (2, 2)


def test_times_of_another_type_stop_the_source(mariadb_database: str) -> None:
    run(mariadb_database, "CREATE TABLE t (id int, at datetime(6))", "INSERT INTO t VALUES (1, '2025-01-01')")
    progress: dict[str, bytes] = {}
    sweep(source(mariadb_database), progress)
    run(mariadb_database, "ALTER TABLE t MODIFY at timestamp(6) NULL")
    with pytest.raises(CursorTypeError, match="now a timestamp with time zone, and gave a timestamp"):
        sweep(source(mariadb_database), progress)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, at FROM t -- all of it",
        "SELECT id, at, 7 % 4 AS v, '%(x)s %s %%' AS w FROM t",
        "SELECT id, at, 'a :word; -- no comment' AS v FROM t",
        "SELECT id, at, 1 AS `:word; --` FROM t",
        "WITH x AS (SELECT * FROM t) SELECT id, at FROM x ORDER BY id LIMIT 5",
    ],
)
def test_a_query_as_people_write_it(mariadb_database: str, query: str) -> None:
    run(mariadb_database, "CREATE TABLE t (id int, at datetime)", "INSERT INTO t VALUES (1, '2025-01-02')")
    [row] = sweep(source(mariadb_database, query=query), {})
    assert row["id"] == 1
    if "AS w" in query:
        assert row["w"] == "%(x)s %s %%"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id, at FORM t", "the SQL is not valid"),
        ("SELECT id, at FROM elsewhere", "there is no such table (Table '"),
        ("SELECT id, ad FROM t", "there is no such column (Unknown column 'ad' in"),
        ("SELECT id, at, nothing(id) FROM t", "no such function"),
        (f"SELECT id, at, refuse('{SECRET}') FROM t", "a function or trigger of the database refuses"),
        ("SELECT id, id, at FROM t", "two columns"),
    ],
)
def test_a_query_that_cannot_be_says_why(mariadb_database: str, query: str, words: str) -> None:
    run(
        mariadb_database,
        "CREATE TABLE t (id int, at datetime)",
        "INSERT INTO t VALUES (1, '2025-01-02')",
        "CREATE FUNCTION refuse(v text) RETURNS int DETERMINISTIC BEGIN SIGNAL SQLSTATE '45000' "
        "SET MYSQL_ERRNO = 1054, MESSAGE_TEXT = v; RETURN 1; END",
    )
    with pytest.raises(DatabaseConfigError) as caught:
        sweep(source(mariadb_database, query=query), {})
    assert words in caught.value.message
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("fetch_rows", [2, None])
def test_an_expression_that_fails_on_a_value_rejects_its_row_only(
    mariadb_database: str, fetch_rows: int | None
) -> None:
    rows = ", ".join(f"({i}, {2**63 - 1 if i % 20 == 7 else i}, '2025-01-01 00:00:{i % 60:02d}')" for i in range(100))
    run(mariadb_database, "CREATE TABLE s (id int, v bigint, at datetime)", f"INSERT INTO s VALUES {rows}")
    found = sweep(source(mariadb_database, query="SELECT id, at, v + 1 AS v FROM s", fetch_rows=fetch_rows), {})
    assert len(found) == 100
    assert len([row for row in found if isinstance(row, Bad)]) == 5


def test_zero_dates_sort_before_all_others() -> None:
    assert Unreadable("0000-00-00", "date") < date.min
    assert not Unreadable("2025-00-01", "date") < date.min


def test_long_rows_take_no_more_memory_than_many(mariadb_database: str) -> None:
    run(
        mariadb_database,
        "CREATE TABLE t (id int, at datetime, v longtext)",
        "INSERT INTO t SELECT seq, '2025-01-01', repeat('x', 1000000) FROM seq_1_to_150",
    )
    rows, page_mb, peak_mb = memory(mariadb_database)
    assert rows == 150
    assert page_mb <= 8
    assert peak_mb < 150


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mysql+mysqldb", "MariaDB"])
def test_any_name_of_mysql_is_fine_in_a_url(scheme: str) -> None:
    assert url(Database(url=f"{scheme}://a@b/c"), HERE).drivername == "mysql+pymysql"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mysql://a@b", "names no database"),
        ("mysql://a@b/c?local_infile=1", "has local_infile"),
        (
            "db2://a@b/c",
            "db2 is not supported — write sqlite:///file.db or postgresql://user@host/database or mysql://",
        ),
    ],
)
def test_a_url_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(DatabaseConfigError) as caught:
        url(Database(url=text), Paths(HERE.folder, HERE.home))
    assert words in str(caught.value)
