"""A source that becomes one of another kind: from a table or its log to files, and back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from exchange.connect.cdc.captured import BEGUN, READ, TAKEN
from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.source import Source
from exchange.connect.sql_source import SqlSource
from exchange.connect.testing import apply
from tests.rigs.drops import Drop

OF_A_LOG = {BEGUN: b'[1, false, "7", 16384, []]', READ: b"[[], null]", TAKEN: b"[8, null]"}


def published(source: Source, progress: dict[str, bytes]) -> list[str]:
    """The ids that it publishes from there."""
    source.open(dict(progress))
    found = []
    for page in source.pages():
        found += [str(row["id"]) for row in page.rows if isinstance(row, dict)]
        apply(progress, page.progress)
    source.close()
    return found


def table(folder: Path, *ids: int) -> SqlSource:
    """A source of a table to which these rows are added."""
    path = folder / "own.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER, at TIMESTAMP)")
        database.executemany("INSERT INTO t VALUES (?, '2026-01-01 00:00:00')", [(id_,) for id_ in ids])
    config = SourceConfig(subject="a.b", table="t", cursor=Cursor(time="at", id="id"))
    return SqlSource(config, engine(Database(url=f"sqlite:///{path}"), Paths(folder, folder)), ["id"])


def test_a_table_goes_on_where_it_was_after_files_that_came_in_its_place(tmp_path: Path) -> None:
    progress: dict[str, bytes] = dict(OF_A_LOG)
    drop = Drop(tmp_path / "drop", settle_s=0)
    assert published(table(tmp_path, 1, 2), progress) == ["1", "2"]
    (tmp_path / "drop" / "a.csv").write_text("id\n3\n")
    drop.progress = progress
    drop.restart()
    assert drop.take() == [{"id": "3"}]
    drop.take()
    assert published(table(tmp_path, 4), progress) == ["4"]
    assert progress.items() >= OF_A_LOG.items()
