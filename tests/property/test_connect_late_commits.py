"""Whenever transactions commit within the lookback, and wherever the connector dies, each row comes once."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.source import Page, Row
from exchange.connect.sql_source import SqlSource
from exchange.connect.testing import Journal, Origin

START = datetime(2025, 1, 1)
LOOKBACK_S = 20


@dataclass(frozen=True)
class Write:
    """A transaction: it takes its timestamp at `at_s` and commits so much later."""

    at_s: int
    delay_s: int
    rows: int


writes = st.lists(
    st.builds(Write, st.integers(0, 80), st.integers(0, LOOKBACK_S - 1), st.integers(1, 6)), min_size=1, max_size=40
)
# What the connector does between commits: read a page, or die (before or after the commit of a page).
steps = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["page"] * 20 + ["die", "lose"])), min_size=20, max_size=80
)


class World(Origin):
    """A table on a virtual clock."""

    def __init__(self, folder: Path, planned: list[Write]) -> None:
        self.now_s = 0
        self._path = folder / "world.db"
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, at TEXT)")
        self._planned = sorted(planned, key=lambda write: write.at_s + write.delay_s)
        self.written = 0

    def advance(self, seconds: int) -> None:
        """Let time go by, and commit what is due."""
        self.now_s += seconds
        while self._planned and self._planned[0].at_s + self._planned[0].delay_s <= self.now_s:
            write = self._planned.pop(0)
            for _ in range(write.rows):
                # Ids come in no order of time, as from several sequences.
                row_id = (self.written * 7919) % 100_003
                self._connection.execute(
                    "INSERT INTO rows VALUES (?, ?)", [row_id, str(START + timedelta(seconds=write.at_s))]
                )
                self.written += 1

    def source(self) -> SqlSource:
        config = SourceConfig(
            subject="a.b", table="rows", cursor=Cursor(time="at", id="id"), lookback_s=LOOKBACK_S, page_rows=2
        )
        made = engine(Database(url=f"sqlite:///{self._path}"), Paths(self._path.parent, self._path.parent))
        start = START.replace(tzinfo=UTC).timestamp()
        return SqlSource(
            config,
            made,
            None,
            fetch_rows=2,
            clock=lambda: start + self.now_s,
            monotonic=lambda: float(self.now_s),
        )

    def add(self, serials: object) -> None:
        raise NotImplementedError

    def serial(self, row: Row) -> int:
        return int(row["id"])


@settings(max_examples=60, deadline=None)
@given(writes, steps)
def test_each_row_once(planned: list[Write], steps: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), planned)
        journal = Journal()
        source = world.source()
        source.open({})
        sweep: Iterator[Page] = source.pages()
        for seconds, step in steps:
            world.advance(seconds)
            page = next(sweep, None)
            if page is None:
                sweep = source.pages()
            elif step != "lose":
                journal.commit(page, world)
            if step in ("die", "lose"):
                source.close()
                source = world.source()
                source.open(dict(journal.progress))
                sweep = source.pages()
        # To the end of all commits, and once more.
        for _ in range(40):
            for page in sweep:
                journal.commit(page, world)
                world.advance(1)
            world.advance(5)
            sweep = source.pages()
        source.close()
        assert len(journal.serials) == len(set(journal.serials))
        assert len(journal.serials) == world.written


def test_a_sweep_that_keeps_pace_with_the_writers_overtakes_no_late_commit(tmp_path: Path) -> None:
    world = World(tmp_path, [Write(1, LOOKBACK_S - 1, 1), *(Write(second, 0, 2) for second in range(90))])
    journal = Journal()
    source = world.source()
    source.open({})
    while world.now_s < 120:
        for page in source.pages():
            journal.commit(page, world)
            world.advance(1)
        world.advance(1)
    source.close()
    assert len(journal.serials) == len(set(journal.serials)) == world.written
