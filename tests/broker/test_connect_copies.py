"""What a sink's table holds as a whole: rows are deleted and counted, columns emptied, through kills."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from exchange.connect import held_copy
from exchange.connect.copy_notes import Note
from tests.rigs import dying
from tests.rigs.dying import UNTIL
from tests.rigs.sinks import PLAIN, Reader, row

ROWS = 30


@pytest.fixture(params=["sqlite", "postgresql"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    url = f"sqlite:///{tmp_path}/reader.db"
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_database"))
    made = Reader(url, tmp_path)
    yield made
    made.user.dispose()


def fill(reader: Reader, key: tuple[str, ...] = ("id",)) -> None:
    """A table of the sink's, another's, and rows of the department's own in a table that it made."""
    columns = "id TEXT, note TEXT, n BIGINT, _partition BIGINT, _offset BIGINT"
    reader.sql(f"CREATE TABLE t ({columns}, UNIQUE (id))", f"CREATE TABLE other ({columns})")
    reader.sql("INSERT INTO other VALUES ('x', 'y', 1, 0, 0)", "INSERT INTO t VALUES ('own', 'mine', 1, NULL, NULL)")
    with closing(reader.table(key)) as table:
        table.fit(PLAIN)
        reader.write(table, *(row(number) for number in range(ROWS)))
        table.copy("topic").hold("g", UNTIL, ["id", "n", "note"], key, epoch=1, deletes=True)


def note(reader: Reader) -> Note:
    with closing(reader.table()) as table:
        found = table.copy("topic").note()
    assert found is not None
    return found


def run(reader: Reader, task: str, commit: int, when: str) -> bool:
    """Whether the process came to its end."""
    process = multiprocessing.get_context("fork").Process(target=dying.main, args=(reader.url, task, commit, when))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_deletion_that_is_killed_at_any_commit_takes_the_sinks_rows_and_no_others(reader: Reader, when: str) -> None:
    fill(reader)
    kills = 0
    while not run(reader, "end", kills, when):
        kills += 1
        assert kills < 40
        left = reader.rows("id, note")
        assert ("own", "mine") in left
        assert len(left) == 1 or note(reader).done_ms is None
    assert kills >= 4
    assert reader.rows("id, note") == [("own", "mine")]
    assert reader.rows("id, note", "other") == [("x", "y")]
    assert note(reader).rows == 0
    assert note(reader).due_ms == 1_000
    assert (note(reader).done_ms or 0) > 1_000
    with closing(reader.table()) as table:
        assert table.offsets("topic", [0]) == {0: ROWS}  # a later grant goes on


@pytest.mark.parametrize("when", ["before", "after"])
def test_columns_are_emptied_through_kills_and_only_once(reader: Reader, when: str) -> None:
    fill(reader)
    kills = 0
    while not run(reader, "empty", kills, when):
        kills += 1
        assert kills < 40
    assert kills >= 4
    assert note(reader).fields == ("id", "n")
    assert reader.rows("note, n", "t WHERE _partition IS NOT NULL") == [(None, number) for number in range(ROWS)]
    assert ("own", "mine") in reader.rows("id, note")
    reader.sql("UPDATE t SET note = 'by hand'")
    dying.empty(reader)
    assert {value for _, value in reader.rows("id, note")} == {"by hand"}


def test_the_keys_columns_stay(reader: Reader) -> None:
    fill(reader)
    with closing(reader.table()) as table:
        table.copy("topic").hold("g", UNTIL, ["n"], ["id"], epoch=1, deletes=True)
    assert reader.rows("id, note", "t WHERE n = 3")[0] == ("id-3", None)


def test_rows_are_counted_with_the_time_of_their_last_change(reader: Reader) -> None:
    fill(reader)
    with closing(reader.table()) as table:
        table.fit(PLAIN)
        copy = table.copy("topic")
        assert copy.count()
        first = note(reader)
        assert (first.rows, first.counted_ms) == (ROWS, first.changed_ms)
        reader.write(table, row(100), row(1))
        assert note(reader).counted_ms != note(reader).changed_ms
        assert copy.count()
        assert note(reader).rows == ROWS + 1


def test_a_count_that_takes_too_long_is_given_up(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(reader)
    into = "WITH RECURSIVE c(x) AS (SELECT 1000 UNION ALL SELECT x + 1 FROM c WHERE x < 400000) "
    reader.sql(f"INSERT INTO t (id, note, n, _partition, _offset) {into} SELECT 'r' || x, NULL, x, 0, x FROM c")
    monkeypatch.setattr(held_copy, "COUNT_S", 0.001)
    with closing(reader.table()) as table:
        assert not table.copy("topic").count()
        monkeypatch.setattr(held_copy, "COUNT_S", 60)
        assert table.copy("topic").count()
    assert note(reader).rows == ROWS + 399_001


def test_an_ended_grant_that_is_in_force_again_has_no_deletion_due(reader: Reader) -> None:
    fill(reader)
    with closing(reader.table()) as table:
        copy = table.copy("topic")
        assert copy.end("g", UNTIL, deletes=True, since=5.0).is_due
        assert copy.end("g", UNTIL, deletes=True, since=9.0).due_ms == 5_000
        assert not copy.end("g", UNTIL, deletes=False, since=9.0).is_due  # it was changed to `keep` in time
        copy.hold("g2", date(2030, 1, 1), ["id"], ["id"], epoch=1, deletes=False)
    assert (note(reader).grant, note(reader).due_ms, note(reader).deletes) == ("g2", None, False)


def test_a_table_that_is_not_there_is_deleted_at_once(reader: Reader) -> None:
    dying.end(reader)
    assert note(reader).done_ms
