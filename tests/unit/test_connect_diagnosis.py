"""Errors of databases are told by their true cause, without a value of a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pytest

from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, Paths, engine, translated, url
from exchange.connect.diagnosis import SAFE_CLASSES, diagnose
from exchange.connect.source import Bad, Unreadable
from exchange.connect.sql_source import SqlSource
from exchange.connect.window import Window, row_hash

SECRET = "440106199001010014"


def fail(database: str, *statements: str) -> sqlite3.Error:
    try:
        with closing(sqlite3.connect(database, uri=True, timeout=0.01)) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()
    except sqlite3.Error as error:
        return error
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    ("statements", "cause", "waits"),
    [
        (["SELECT * FROM gone"], "there is no such table (no such table: gone)", False),
        (["SELECT a.gone FROM t a"], "there is no such column (no such column: a.gone)", False),
        (["SELECT gone(1)"], "there is no such function or operator (no such function: gone)", False),
        (["SELEC 1"], 'the SQL is not valid (near "SELEC": syntax error)', False),
        (["SELECT 1 FROM (SELECT 1"], "the SQL is not valid (incomplete input)", False),
        (["SELECT ?"], "the SQL has a parameter that nobody fills", False),
        (["SELECT :word"], "the SQL has a parameter that nobody fills", False),
        (["INSERT INTO t VALUES (1, 'b')"], "a row breaks a constraint of the table (UNIQUE constraint failed: t.id)",
         False),
        (["INSERT INTO t VALUES (2, null)"], "NOT NULL constraint failed: t.v", False),
        ([f"INSERT INTO t VALUES (2, '{SECRET}')"], "a constraint of the table (SQLITE_CONSTRAINT_TRIGGER)",
         False),
        (["INSERT INTO t VALUES (1, 'a') ON CONFLICT (v) DO NOTHING"], "no unique index on these columns", False),
        (["PRAGMA query_only = 1", "INSERT INTO t VALUES (5, 'x')"], "the database is read-only", False),
        (["PRAGMA max_page_count = 1", "CREATE TABLE u AS SELECT zeroblob(99999)"], "the disk of the database is full",
         True),
        (["RELEASE one"], "a trigger of the table rolls the transaction back", False),
        (["SELECT json('{')"], "a value cannot be computed (malformed JSON)", False),
        (["SELECT abs(-9223372036854775808)"], "a value cannot be computed (integer overflow)", False),
    ],
)  # fmt: skip
def test_sqlite(tmp_path: Path, statements: list[str], cause: str, waits: bool) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL)")
        made.execute("INSERT INTO t VALUES (1, 'a')")
        made.execute(
            "CREATE TRIGGER no BEFORE INSERT ON t WHEN length(new.v) > 9 "
            f"BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: {SECRET}'); END"
        )
    made.close()
    found = diagnose(fail(f"file:{path}", *statements))
    assert cause in found.cause
    assert found.waiting_helps is waits
    assert SECRET not in found.cause


def test_a_sqlite_file_that_is_none_or_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not SQLite at all " * 100)
    assert "not a SQLite database" in diagnose(fail(f"file:{tmp_path}/text.db", "SELECT * FROM t")).cause
    assert "cannot be opened" in diagnose(fail(f"file:{tmp_path}/gone/x.db?mode=ro", "SELECT 1")).cause


@pytest.mark.parametrize("kind", [ValueError, OverflowError, UnicodeError])
def test_pythons_own_errors_on_values_are_translated_too(kind: Callable[[str], Exception]) -> None:
    with pytest.raises(DatabaseConfigError) as caught, translated("read a.b"):
        raise kind(SECRET)
    assert SECRET not in str(caught.value)


def test_a_driver_that_names_no_state() -> None:
    with pytest.raises(DatabaseUnavailableError, match="server closed the connection"), translated("read a.b"):
        raise psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")


def test_classes_about_data_are_not_safe() -> None:
    assert not SAFE_CLASSES & {"21", "22", "23", "44", "P0", "XX"}


@pytest.mark.parametrize(
    "text", ["postgresql://u:p4ssw0rd@h:port/x", "jdbc:postgresql://h/x", "nonsense", "postgresql://u:p4ss w@[::1/x"]
)
def test_a_url_that_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(DatabaseConfigError) as caught:
        url(Database(url=text), Paths(Path(), Path()))
    assert "p4ss" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes("密码".encode("gb18030"))
    with pytest.raises(DatabaseConfigError, match="password file password cannot be read"):
        url(Database(url="postgres://u@h/x", password_file="password"), Paths(tmp_path, tmp_path))
    (tmp_path / "password").write_bytes("\ufeff密码\r\n".encode())
    assert url(Database(url="postgres://u@h/x", password_file="password"), Paths(tmp_path, tmp_path)).password == "密码"


def source(path: Path, **origin: str) -> SqlSource:
    config = SourceConfig(subject="a.b", cursor=Cursor(time="at", id="id"), page_rows=3, **(origin or {"table": "t"}))
    return SqlSource(config, engine(Database(url=f"sqlite:///{path}"), Paths(path.parent, path.parent)), None)


@pytest.mark.parametrize("odd", ["x'ff00'", "9e999", "-9e999", "'infinity'", "'0044-03-15 BC'", "'24:00'", "1", "''"])
def test_odd_times_in_sqlite_stop_nobody(tmp_path: Path, odd: str) -> None:
    with sqlite3.connect(tmp_path / "x.db") as made:
        made.execute("CREATE TABLE t (id, at)")
        made.executemany("INSERT INTO t VALUES (?, ?)", [(i, f"2025-01-{i:02d} 00:00:00") for i in range(1, 9)])
        made.execute(f"INSERT INTO t VALUES (100, {odd})")
        made.execute(f"INSERT INTO t VALUES (x'aa', {odd})")
    made.close()
    progress: dict[str, bytes] = {}
    counts = []
    for _ in range(2):
        of = source(tmp_path / "x.db")
        of.open(progress)
        found = 0
        for page in of.pages():
            found += len(page.rows)
            progress |= {name: value for name, value in page.progress.items() if value is not None}
            assert all(page.place(i).startswith("t, ") for i in range(len(page.rows)))
        of.close()
        counts.append(found)
    assert counts == [10, 0]


def test_an_expression_that_fails_in_sqlite_rejects_its_row_only(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as made:
        made.execute("CREATE TABLE s (id INTEGER, at TEXT, v TEXT)")
        values = [(i, f"2025-01-01 00:00:{i:02d}", SECRET if i == 7 else "{}") for i in range(20)]
        made.executemany("INSERT INTO s VALUES (?, ?, ?)", [(i, at, v + "{" * (i == 7)) for i, at, v in values])
    made.close()
    of = source(tmp_path / "x.db", query="SELECT id, at, json_extract(v, '$.a') AS a FROM s -- ; :x")
    of.open({})
    rows = [row for page in of.pages() for row in page.rows]
    assert len(rows) == 20
    assert [row.reason for row in rows if isinstance(row, Bad)] == [
        "read a.b: a value cannot be computed (malformed JSON)"
    ]


def test_the_place_of_a_row_shows_no_text_that_is_not_a_time(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as made:
        made.execute("CREATE TABLE t (id, at)")
        made.execute("INSERT INTO t VALUES (1, ?)", [SECRET])
    made.close()
    of = source(tmp_path / "x.db")
    of.open({})
    [page] = of.pages()
    assert page.place(0).startswith("t, no time, #")


def test_what_python_cannot_hold_has_no_text_and_outlives_a_restart() -> None:
    late, early = Unreadable("infinity", "timestamptz"), Unreadable("0044-03-15 BC", "timestamptz")
    for odd in (late, early):
        with pytest.raises(ValueError, match="timestamptz"):
            f"{odd}"
        assert odd.stored not in repr(odd)
    window = Window(60, {})
    hashes = [row_hash(odd, 1) for odd in (early, late)]
    change = window.add([early, late], np.array(hashes, np.uint64), None, 0.0)
    again = Window(60, {name: value for name, value in change.items() if value is not None})
    assert sorted(hashes) == again.known().tolist()
