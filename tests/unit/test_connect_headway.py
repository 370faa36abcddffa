"""Headway says what a person who waits wants to know."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from exchange.connect.config import Database, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.headway import Headway
from exchange.connect.sql_source import SqlSource


def test_rows_rate_and_what_is_left() -> None:
    now = 100.0
    headway = Headway(lambda: now)
    assert str(headway) == "0 rows"
    for _ in range(40):
        now += 0.5
        headway.note(500, 0, 40_000)
    assert str(headway) == "20,000 rows, 1,000 a second, 40,000 left for 40 s"
    headway.note(0, 2, 0)
    assert str(headway) == "20,000 rows, 1,000 a second, 2 rejected"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = 0.5
    headway = Headway(lambda: now)
    for rows, seconds in ((100_000, 1.0), (0, 60.0)):
        for _ in range(100):
            now += seconds / 100
            headway.note(rows // 100, 0, None)
    assert (headway.rate, headway.left_s) == (0.0, None)


def test_nothing_is_said_of_what_is_not_known() -> None:
    headway = Headway(lambda: 7.0)
    headway.note(1, 0, None)
    assert str(headway) == "1 row"
    headway.note(2, 0, None)
    assert str(headway) == "3 rows"


def test_a_source_says_about_how_many_rows_are_left_while_it_reads_many(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE o (id INTEGER PRIMARY KEY, at TEXT)")
        made.executemany("INSERT INTO o VALUES (?, '2026-01-01T00:00:00Z')", [(number,) for number in range(100)])
    config = SourceConfig.model_validate(
        {"subject": "a.b", "table": "o", "cursor": {"time": "at", "id": "id"}, "page_rows": 10}
    )
    made_engine = engine(Database(url=f"sqlite:///{path}"), Paths(tmp_path, tmp_path))
    source = SqlSource(config, made_engine, ["id"], fetch_rows=30)
    source.open({})
    assert [source.left() for _ in source.pages()] == [*range(90, -1, -10)]
    assert source.left() is None
    source.close()
