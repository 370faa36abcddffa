"""A source with `cdc`, and what people do to its server: two-phase commits, other names, other settings."""

from __future__ import annotations

from contextlib import closing

import pytest

from exchange.connect.cdc.setup import CaptureSetupError
from exchange.connect.database import DatabaseUnavailableError
from tests.rigs.captures import capture, captured, follow, table
from tests.rigs.databases import Server
from tests.rigs.plain import wait_until
from tests.rigs.sql_source import connected, run

ACTIVE = "SELECT 1 FROM pg_replication_slots WHERE active"


def restart(server: Server, wal_level: str = "logical") -> None:
    server.stop()
    server.start(wal_level)


@pytest.fixture
def server(private_postgres: Server) -> Server:
    with connected(private_postgres.url()) as connection:
        connection.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
    restart(private_postgres)
    wait_until(private_postgres.has_started, "the server answers")
    table(private_postgres.url())
    return private_postgres


def test_a_prepared_transaction_is_published_once_it_is_committed(server: Server) -> None:
    progress: dict[str, bytes] = {}
    url = server.url()
    with closing(capture(url)) as source:
        source.open(progress)
        follow(source, progress)
        run(url, "BEGIN; INSERT INTO t VALUES (1, 'a', 1); PREPARE TRANSACTION 'one'")
        run(url, "BEGIN; INSERT INTO t VALUES (2, 'b', 2); PREPARE TRANSACTION 'two'")
        run(url, "INSERT INTO t VALUES (3, 'c', 3)")
        assert [row["id"] for row in follow(source, progress)] == [3]
        run(url, "ROLLBACK PREPARED 'two'", "COMMIT PREPARED 'one'")
        assert [row["id"] for row in follow(source, progress)] == [1]
    run(url, "BEGIN; INSERT INTO t VALUES (4, 'd', 4); PREPARE TRANSACTION 'four'")
    assert captured(url, progress) == []
    restart(server)
    wait_until(server.has_started, "the server answers")
    run(url, "COMMIT PREPARED 'four'")
    assert [row["id"] for row in captured(url, progress)] == [4]


def test_a_table_that_is_renamed_and_renamed_back_loses_no_change(server: Server) -> None:
    progress: dict[str, bytes] = {}
    url = server.url()
    with closing(capture(url)) as source:
        source.open(progress)
        follow(source, progress)
        for number in (1, 2):
            run(
                url,
                "ALTER TABLE t RENAME TO u",
                f"INSERT INTO u VALUES ({number}, 'a', 1)",
                "ALTER TABLE u RENAME TO t",
            )
        assert [row["id"] for row in follow(source, progress)] == [1, 2]
    run(url, "ALTER TABLE t RENAME TO u", "CREATE TABLE t (LIKE u)", "INSERT INTO t VALUES (8, 'x', 1)")
    run(url, "INSERT INTO u VALUES (3, 'a', 1)", "DROP TABLE t", "ALTER TABLE u RENAME TO t")
    assert [row["id"] for row in captured(url, progress)] == [3]


def test_a_server_that_keeps_a_smaller_log_again_is_refused_and_loses_nothing(server: Server) -> None:
    progress: dict[str, bytes] = {}
    url = server.url()
    captured(url, progress)
    server.stop()
    server.start("replica")  # PostgreSQL does not start so, because there is a slot
    with pytest.raises(DatabaseUnavailableError):
        captured(url, progress)
    server.stop()
    server.start()
    wait_until(server.has_started, "the server answers")
    run(url, "INSERT INTO t VALUES (1, 'a', 1)")
    assert [row["id"] for row in captured(url, progress)] == [1]
    with connected(url) as connection:
        wait_until(lambda: not connection.execute(ACTIVE).fetchall(), "the slot is free")
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    server.stop()
    server.start("replica")
    wait_until(server.has_started, "the server answers")
    with pytest.raises(CaptureSetupError, match="wal_level is replica, not logical"):
        captured(url, progress)
