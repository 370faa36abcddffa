"""A connector that takes changes from PostgreSQL's log is killed again and again: nothing is lost, repeated or late."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exchange.waiting import until
from tests.rigs.captures import table
from tests.rigs.capturing_process import Event, count, events, opened
from tests.rigs.sql_source import connected, plain, run

ROWS, WRITERS = 3000, 3
HISTORY = (
    "CREATE TABLE history (at bigserial, id int, v int)",
    """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id <> NEW.id) THEN
        INSERT INTO history (id, v) VALUES (OLD.id, NULL);
      END IF;
      IF TG_OP <> 'DELETE' THEN INSERT INTO history (id, v) VALUES (NEW.id, NEW.v); END IF;
      RETURN NULL;
    END $$""",
    "CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()",
    "CREATE SEQUENCE version",
)


@pytest.fixture
def url(postgres_database: str) -> str:
    table(postgres_database, "id int PRIMARY KEY, v int NOT NULL DEFAULT 0, name text")
    run(postgres_database, *HISTORY)
    run(postgres_database, f"INSERT INTO t SELECT i, nextval('version') FROM generate_series(1, {ROWS}) i")
    return postgres_database


def _write(connection: psycopg.Connection[Any], chance: random.Random) -> None:
    """One transaction: a few changes or many, with a savepoint, or taken back."""
    with connection.transaction(force_rollback=chance.random() < 0.1):
        for _ in range(chance.choice([1, 1, 2, 5, 60])):
            one, other = chance.randint(1, ROWS + 200), chance.randint(1, ROWS + 200)
            statement = chance.choice(
                [
                    "UPDATE t SET v = nextval('version') WHERE id = %(one)s",
                    "DELETE FROM t WHERE id = %(one)s",
                    "INSERT INTO t VALUES (%(one)s, nextval('version')) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v",
                    "UPDATE t SET id = %(other)s, v = nextval('version') WHERE id = %(one)s",
                ]
            )
            try:
                with connection.transaction():
                    connection.execute(statement.encode(), {"one": one, "other": other})
            except psycopg.errors.UniqueViolation:
                pass


@contextmanager
def _writers(url: str) -> Iterator[None]:
    stop = threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(plain(url), autocommit=True) as connection:
            while not stop.is_set():
                with suppress(psycopg.errors.DeadlockDetected):
                    _write(connection, chance)
                time.sleep(0.01)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def _process(url: str, path: Path, *, pause_s: float, snapshot: int) -> Iterator[subprocess.Popen[bytes]]:
    arguments = json.dumps({"url": url, "path": str(path), "pause_s": pause_s, "snapshot": snapshot})
    process = subprocess.Popen([sys.executable, "-m", "tests.rigs.capturing_process", arguments])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _by_key(all_events: list[Event]) -> dict[int, list[int | None]]:
    found: defaultdict[int, list[int | None]] = defaultdict(list)
    for key, version in all_events:
        found[key].append(version)
    return found


def _is_true(url: str, path: Path) -> bool:
    """Whether the copy's rows are those of the table."""
    copy = {key: versions[-1] for key, versions in _by_key(events(path)).items() if versions[-1] is not None}
    with connected(url) as connection:
        return copy == dict(connection.execute("SELECT id, v FROM t"))


@pytest.fixture
def published(url: str, tmp_path: Path, kills: list[int]) -> dict[int, list[int | None]]:
    """What was published of each key by killed processes, with these numbers as `snapshot`, and by a last one."""
    path, chance = tmp_path / "copy.db", random.Random(7)
    opened(path).close()
    with _writers(url):
        for at, number in enumerate(kills, 1):
            before = count(path)
            with _process(url, path, pause_s=0.02, snapshot=number) as process:
                assert until(lambda before=before: count(path) > before, 60)
                assert process.poll() is None
                # Most are killed while they read the table, the last one when it has long followed the log.
                time.sleep(chance.uniform(0.25, 0.5) if at < len(kills) else 4)
    with _process(url, path, pause_s=0, snapshot=kills[-1]):
        assert until(lambda: _is_true(url, path), 60, 0.2)
    return _by_key(events(path))


def _history(url: str) -> dict[int, list[int | None]]:
    with connected(url) as connection:
        return _by_key(list(connection.execute("SELECT id, v FROM history ORDER BY at")))


@pytest.mark.parametrize("kills", [[1] * 3, pytest.param([1] * 12, marks=pytest.mark.siege)])
def test_each_version_is_published_once_and_in_order(url: str, published: dict[int, list[int | None]]) -> None:
    assert len(published) > ROWS // 2
    for key, versions in _history(url).items():
        # What was before the table was read is not published; from then on, everything is, once, in order.
        got = published.pop(key, [])
        assert got == versions[len(versions) - len(got) :], f"{versions} was published as {got}"
        assert got or versions[-1] is None
    assert not published, "rows that there never were"


@pytest.mark.siege
@pytest.mark.parametrize("kills", [[1, 1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 4]])
def test_a_table_that_is_read_again_never_goes_back(url: str, published: dict[int, list[int | None]]) -> None:
    for key, versions in _history(url).items():
        got = published.pop(key, [])
        at = -1
        for version in got:
            if at < 0 or versions[at] != version:  # a version or deletion may come again, but no older one
                at = versions.index(version, at + 1)
        assert got[-1:] == versions[-1:] or (not got and versions[-1] is None)
    assert not published, "rows that there never were"
