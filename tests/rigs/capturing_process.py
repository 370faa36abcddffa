"""A process that takes a table's changes and commits pages and progress to a file, to be killed at any moment."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path

from exchange.connect.source import Bad, Deleted, Page
from exchange.errors import TransientError
from tests.rigs.captures import capture

Event = tuple[int, int | None]
"""A row's key and version; None: it was deleted."""


def opened(path: Path) -> sqlite3.Connection:
    """The file, as the process commits to it."""
    made = sqlite3.connect(path, timeout=30, isolation_level=None)
    made.execute("PRAGMA journal_mode=WAL")
    made.execute("CREATE TABLE IF NOT EXISTS event (at INTEGER PRIMARY KEY, id, v)")
    made.execute("CREATE TABLE IF NOT EXISTS progress (name PRIMARY KEY, value)")
    return made


def events(path: Path) -> list[Event]:
    """What was committed, in order."""
    with sqlite3.connect(path) as connection:
        return list(connection.execute("SELECT id, v FROM event ORDER BY at"))


def count(path: Path) -> int:
    """How many were committed."""
    with sqlite3.connect(path) as connection:
        return int(connection.execute("SELECT count(*) FROM event").fetchone()[0])


def _event(row: object) -> Event:
    assert not isinstance(row, Bad)
    if isinstance(row, Deleted):
        return row.row["id"], None
    assert isinstance(row, dict)
    return row["id"], row["v"]


def _commit(target: sqlite3.Connection, page: Page) -> None:
    target.execute("BEGIN")
    target.executemany("INSERT INTO event (id, v) VALUES (?, ?)", map(_event, page.rows))
    for name, value in page.progress.items():
        target.execute("DELETE FROM progress WHERE name = ?", [name])
        if value is not None:
            target.execute("INSERT INTO progress VALUES (?, ?)", [name, value])
    target.execute("COMMIT")


def _run(url: str, path: Path, pause_s: float, snapshot: int) -> None:
    target = opened(path)
    source = capture(url, page_rows=50, snapshot=snapshot)
    try:
        source.open(dict(target.execute("SELECT name, value FROM progress")))
        while True:
            for page in source.pages():
                _commit(target, page)
                time.sleep(pause_s)
            time.sleep(0.01)
    finally:
        source.close()


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    while True:
        try:
            _run(arguments["url"], Path(arguments["path"]), arguments["pause_s"], arguments["snapshot"])
        except TransientError as error:  # the predecessor's connection holds the slot for a moment
            print(error, file=sys.stderr, flush=True)
            time.sleep(0.05)
