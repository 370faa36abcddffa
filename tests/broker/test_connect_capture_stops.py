"""What stops a source that takes changes from PostgreSQL's log with a question, and how it goes on after the answer."""

from __future__ import annotations

import uuid
from contextlib import closing
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from exchange.connect.cdc.setup import CaptureSetupError, LostSlotError, TableAlteredError, TruncatedError
from exchange.connect.source import Deleted
from exchange.waiting import until
from tests.rigs.captures import DEADLINE_S, PUBLICATION, SLOT, capture, captured, commit, follow, table
from tests.rigs.sql_source import connected, run


@pytest.fixture
def url(postgres_database: str) -> str:
    table(postgres_database)
    return postgres_database


def test_truncate_stops_with_a_question_and_a_new_number_reads_the_table_again(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    run(url, "INSERT INTO t VALUES (1, 'a', 1)", "TRUNCATE t", "INSERT INTO t VALUES (2, 'b', 2)")
    source = capture(url)
    source.open(progress)
    with pytest.raises(TruncatedError, match="emptied by TRUNCATE"):
        follow(source, progress)
    source.close()
    with pytest.raises(TruncatedError):  # it stays so until a person decides
        captured(url, progress)
    assert captured(url, progress, snapshot=2) == [{"id": 2, "name": "b", "amount": Decimal(2)}]
    run(url, "UPDATE t SET amount = 3")
    assert [row["amount"] for row in captured(url, progress, snapshot=2)] == [3]


@pytest.mark.parametrize(
    "altered",
    ["ALTER TABLE t DROP name", "ALTER TABLE t RENAME name TO title", "ALTER TABLE t ALTER id TYPE bigint"],
)
def test_other_columns_stop_with_a_question(url: str, altered: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    source = capture(url)
    source.open(progress)
    run(url, "INSERT INTO t VALUES (1, 'a', 1)", altered, "DELETE FROM t")
    with pytest.raises(TableAlteredError, match="gone, or has another type"):
        follow(source, progress)
    source.close()
    with pytest.raises(TableAlteredError, match="gone, or has another type"):
        captured(url, progress)
    # What was deleted since is still said, although the columns are others.
    assert captured(url, progress, snapshot=2) == [Deleted({"id": 1})]
    with connected(url) as connection:
        assert _slots(connection) == [SLOT.replace("_1", "_2")]


def test_nothing_is_lost_if_it_is_killed_while_it_turns_to_a_new_slot(url: str) -> None:
    progress: dict[str, bytes] = {}
    run(url, "INSERT INTO t SELECT i, 'a', 1 FROM generate_series(1, 4) i")
    assert len(captured(url, progress)) == 4
    run(url, "DELETE FROM t WHERE id = 1")
    with closing(capture(url, snapshot=2)) as source:
        source.open(progress)
        pages = source.pages()
        last = next(pages)
        assert last.rows == [Deleted({"id": 1})]
        commit(last, progress)
        run(url, "DELETE FROM t WHERE id = 2", "CHECKPOINT")
        assert len(next(pages).rows) == 3  # under the new slot's snapshot, and not committed
    run(url, "DELETE FROM t WHERE id = 3")
    assert captured(url, progress, snapshot=2) == [
        Deleted({"id": 2}),
        Deleted({"id": 3}),
        {"id": 4, "name": "a", "amount": Decimal(1)},
    ]


def test_a_smaller_number_is_refused(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress, snapshot=2)
    with pytest.raises(CaptureSetupError, match="was 2 before"):
        captured(url, progress)


def test_a_column_that_nobody_reads_may_come_and_go(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    run(url, "ALTER TABLE t ADD note text DEFAULT 'x'", "INSERT INTO t VALUES (1, 'a', 1)", "ALTER TABLE t DROP note")
    run(url, "INSERT INTO t VALUES (2, 'b', 2)")
    assert [row["id"] for row in captured(url, progress)] == [1, 2]


@pytest.mark.parametrize(
    "altered",
    [
        ("ALTER TABLE t DROP name", "ALTER TABLE t ADD name text DEFAULT 'x'"),
        ("ALTER TABLE t ALTER name TYPE text USING upper(name)",),
    ],
)
@pytest.mark.parametrize("is_running", [True, False])
def test_values_that_change_without_a_word_in_the_log_stop_with_a_question(
    url: str, altered: tuple[str, ...], is_running: bool
) -> None:
    """A column that is made anew under its name, or rewritten, has the same type as before."""
    run(url, "INSERT INTO t VALUES (1, 'a', 1)")
    progress: dict[str, bytes] = {}
    captured(url, progress)
    with closing(capture(url)) as source:
        if is_running:
            source.open(progress)
            follow(source, progress)
        run(url, *altered)
        with pytest.raises(TableAlteredError, match="made anew or rewritten"):
            follow(source, progress) if is_running else source.open(progress)
    [row] = captured(url, progress, snapshot=2)
    assert row["name"] in ("x", "A")


def test_a_table_that_is_rewritten_as_it_is_or_altered_beside_its_values_goes_on(url: str) -> None:
    run(url, "INSERT INTO t VALUES (1, 'a', 1)")
    for harmless in ("VACUUM FULL t", "ALTER TABLE t ALTER name SET STORAGE EXTERNAL", "CLUSTER t USING t_pkey"):
        progress: dict[str, bytes] = {}
        captured(url, progress)
        run(url, harmless, "UPDATE t SET amount = amount + 1")
        assert len(captured(url, progress)) == 1
        with connected(url) as connection:
            assert until(lambda: _drop(connection), 10)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"ALTER PUBLICATION {PUBLICATION} DROP TABLE t", f"ALTER PUBLICATION {PUBLICATION} ADD TABLE t"),
        (
            f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert')",
            f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert, update, delete, truncate')",
        ),
        (
            f"ALTER PUBLICATION {PUBLICATION} SET TABLE t WHERE (id > 5)",
            f"ALTER PUBLICATION {PUBLICATION} SET TABLE t",
        ),
        (f"DROP PUBLICATION {PUBLICATION}", f"CREATE PUBLICATION {PUBLICATION} FOR TABLE t"),
    ],
)
def test_changes_that_the_publication_left_out_stop_with_a_question(url: str, before: str, after: str) -> None:
    """Although it is as it has to be when it is looked at."""
    run(url, "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)")
    progress: dict[str, bytes] = {}
    captured(url, progress)
    run(url, before, "UPDATE t SET amount = 3 WHERE id = 1", after)
    with pytest.raises(LostSlotError, match="was altered"):
        captured(url, progress)
    assert {row["id"]: row["amount"] for row in captured(url, progress, snapshot=2)} == {1: 3, 2: 2}


def test_a_column_that_was_waited_for_stops_a_running_source(url: str) -> None:
    progress: dict[str, bytes] = {}
    with closing(capture(url, columns=("id", "name", "amount", "note"))) as source:
        source.open(progress)
        follow(source, progress)
        run(url, "ALTER TABLE t ADD note text")
        with pytest.raises(TableAlteredError, match="note of t was not read"):
            follow(source, progress)


def test_another_table_of_the_same_name_stops_with_a_question(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    run(url, "CREATE TABLE u (LIKE t INCLUDING ALL)", "DROP TABLE t", "ALTER TABLE u RENAME TO t")
    with pytest.raises(CaptureSetupError, match="lacks the table"):
        captured(url, progress)
    run(url, f"ALTER PUBLICATION {PUBLICATION} ADD TABLE t")
    with pytest.raises(TableAlteredError, match="another table"):
        captured(url, progress)


def test_a_dropped_slot_stops_with_a_question(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    with connected(url) as connection:
        assert until(lambda: _drop(connection), 10)
    with pytest.raises(LostSlotError, match="is gone"):
        captured(url, progress)
    run(url, "INSERT INTO t VALUES (1, 'a', 1)")
    assert [row["id"] for row in captured(url, progress, snapshot=2)] == [1]


def test_a_slot_of_somebody_else_is_not_taken(url: str) -> None:
    run(url, f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")
    with pytest.raises(CaptureSetupError, match="did not make"):
        captured(url, {})


def _slots(connection: psycopg.Connection[Any]) -> list[str]:
    query = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() ORDER BY 1"
    return [row[0] for row in connection.execute(query)]


def _drop(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])
    except psycopg.errors.ObjectInUse:  # the connection that used it is still ending
        return False
    return True


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE t REPLICA IDENTITY NOTHING", "replica identity has no id"),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey", "no unique index"),
        (f"DROP PUBLICATION {PUBLICATION}", "no publication"),
        (f"ALTER PUBLICATION {PUBLICATION} DROP TABLE t", "lacks the table"),
        (f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert')", "leaves out a kind of change"),
        (f"ALTER PUBLICATION {PUBLICATION} SET TABLE t WHERE (id > 5)", "leaves out rows"),
        ("ALTER TABLE t SET UNLOGGED", "lacks the table|not logged"),
        ("DROP TABLE t", "no table t"),
        ("CREATE TABLE child () INHERITS (t)", "plain tables only"),
    ],
)
def test_a_database_that_is_not_set_up_is_refused_with_a_remedy(url: str, statement: str, message: str) -> None:
    if "UNLOGGED" in statement:
        run(url, f"DROP PUBLICATION {PUBLICATION}")
    run(url, statement)
    with pytest.raises(CaptureSetupError, match=message) as refused:
        captured(url, {})
    assert refused.value.remedy
    with closing(capture(url)) as source:
        assert refused.value.message.endswith(
            source.look().faults[1].message
        )  # the first is a warning: see the next test


def test_a_login_without_rights_is_refused(url: str) -> None:
    login = f"u{uuid.uuid4().hex[:8]}"
    run(url, f"CREATE ROLE {login} LOGIN")
    with closing(capture(str(make_url(url).set(username=login)))) as source:
        said = [(fault.message, fault.remedy, fault.is_warning) for fault in source.look().faults]
    run(url, f"DROP ROLE {login}")
    assert said[0] == ("the connector's login may not replicate", f'ALTER ROLE "{login}" REPLICATION', False)
    assert said[1][2]
    assert said[2][1] == f'GRANT SELECT ON "t" TO "{login}"'


def test_a_slot_that_the_server_gave_up_stops_with_a_question(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    run(url, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
    try:
        with connected(url) as connection:
            assert until(lambda: _is_given_up(connection), DEADLINE_S)
        with pytest.raises(LostSlotError, match="given up by the server"):
            captured(url, progress)
    finally:
        run(url, "ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    run(url, "INSERT INTO t VALUES (1, 'a', 1)")
    assert [row["id"] for row in captured(url, progress, snapshot=2)] == [1]


def _is_given_up(connection: psycopg.Connection[Any]) -> bool:
    for statement in ("CREATE TABLE IF NOT EXISTS other (x int)", "INSERT INTO other VALUES (1)"):
        connection.execute(statement.encode())
    connection.execute("SELECT pg_switch_wal()")
    connection.execute("CHECKPOINT")
    row = connection.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [SLOT]).fetchone()
    return row == ("lost",)
