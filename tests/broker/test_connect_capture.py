"""Changes of a table of a real PostgreSQL: in the order of their commits, each once."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from exchange.connect.cdc.pgoutput import LoggedChange, decode
from exchange.connect.cdc.stream import Stream
from exchange.connect.source import Deleted, Page, Unreadable
from exchange.waiting import until
from tests.rigs.captures import DEADLINE_S, PUBLICATION, SLOT, capture, captured, commit, table
from tests.rigs.sql_source import connected, run


@pytest.fixture
def url(postgres_database: str) -> str:
    table(postgres_database)
    return postgres_database


def test_a_table_is_read_and_then_followed(url: str) -> None:
    run(url, "INSERT INTO t SELECT i, 'n' || i, i FROM generate_series(1, 250) i")
    progress: dict[str, bytes] = {}
    rows = captured(url, progress)
    assert sorted(row["id"] for row in rows) == list(range(1, 251))
    assert next(row for row in rows if row["id"] == 7) == {"id": 7, "name": "n7", "amount": Decimal("7.00")}
    run(
        url,
        "INSERT INTO t VALUES (300, 'new', NULL)",
        "UPDATE t SET amount = 2 WHERE id = 7",
        "DELETE FROM t WHERE id = 8",
    )
    assert captured(url, progress) == [
        {"id": 300, "name": "new", "amount": None},
        {"id": 7, "name": "n7", "amount": Decimal(2)},
        Deleted({"id": 8}),
    ]
    assert captured(url, progress) == []


def test_what_is_published_is_not_sent_again_by_a_server_that_does_not_know(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was killed: what was confirmed to it since its last checkpoint is gone."""
    progress: dict[str, bytes] = {}
    captured(url, progress)
    run(url, "INSERT INTO t SELECT i FROM generate_series(1, 50) i", "INSERT INTO t VALUES (51)")
    source, published = capture(url), 0
    source.open(progress)
    while published < 51:
        for page in source.pages():
            published += len(page.rows)
            commit(page, progress)
            break  # before it is confirmed
    source.close()
    run(url, "INSERT INTO t VALUES (52)")
    sent: list[bytes] = []
    receive = Stream.receive

    def noted(stream: Stream) -> list[bytes]:
        messages = receive(stream)
        sent.extend(messages)
        return messages

    monkeypatch.setattr(Stream, "receive", noted)
    assert [row["id"] for row in captured(url, progress)] == [52]
    assert (
        sum(isinstance(decode(message), LoggedChange) for message in sent) == 2
    )  # that of the last transaction, and the new


def test_an_update_of_the_key_deletes_the_old_row(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    with connected(url) as connection, connection.transaction():
        connection.execute("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)")
        connection.execute("UPDATE t SET id = id + 10")
        connection.execute("UPDATE t SET name = 'c' WHERE id = 11")
    assert captured(url, progress) == [
        {"id": 1, "name": "a", "amount": Decimal(1)},
        {"id": 2, "name": "b", "amount": Decimal(2)},
        Deleted({"id": 1}),
        {"id": 11, "name": "a", "amount": Decimal(1)},
        Deleted({"id": 2}),
        {"id": 12, "name": "b", "amount": Decimal(2)},
        {"id": 11, "name": "c", "amount": Decimal(1)},
    ]


BIG = "repeat('{}', 9000)"


def _versions(url: str, *statements: str) -> list[tuple[int, str, Decimal]]:
    """Run them, one transaction each; what row 1 was after each of them."""
    found = []
    for statement in statements:
        run(url, statement)
        with connected(url) as connection:
            found += connection.execute("SELECT id, name, amount FROM t WHERE id = 1").fetchall()
    return found


def _published(rows: list[object]) -> list[tuple[int, str, Decimal]]:
    return [(row["id"], row["name"], row["amount"]) for row in rows if isinstance(row, dict)]


def _with_long_values(url: str) -> dict[str, bytes]:
    run(url, "ALTER TABLE t ALTER name SET STORAGE EXTERNAL", f"INSERT INTO t VALUES (1, {BIG.format('a')}, 0)")
    progress: dict[str, bytes] = {}
    captured(url, progress)
    return progress


def test_a_long_value_that_an_update_left_alone_is_read_from_the_table(url: str) -> None:
    progress = _with_long_values(url)
    versions = _versions(url, "UPDATE t SET amount = 1 WHERE id = 1")
    assert _published(captured(url, progress)) == versions


def test_a_version_whose_long_value_is_no_longer_known_is_left_out(url: str) -> None:
    progress = _with_long_values(url)
    versions = _versions(
        url,
        "UPDATE t SET amount = 1 WHERE id = 1",
        f"UPDATE t SET name = {BIG.format('b')} WHERE id = 1",
        "UPDATE t SET amount = 2 WHERE id = 1",
        f"UPDATE t SET name = {BIG.format('c')}, amount = 3 WHERE id = 1",
        "UPDATE t SET amount = 4 WHERE id = 1",
    )
    assert _published(captured(url, progress)) == [versions[1], versions[3], versions[4]]
    run(url, "UPDATE t SET amount = 5 WHERE id = 1", "DELETE FROM t WHERE id = 1")
    assert captured(url, progress) == [Deleted({"id": 1})]


def test_a_version_within_a_savepoint_is_not_left_out(url: str) -> None:
    progress = _with_long_values(url)
    with connected(url) as connection, connection.transaction(), connection.transaction():
        connection.execute("UPDATE t SET amount = 1 WHERE id = 1")
    assert _published(captured(url, progress)) == [(1, "a" * 9000, Decimal(1))]


def test_with_the_whole_old_row_in_the_log_every_version_is_published(url: str) -> None:
    progress = _with_long_values(url)
    run(url, "ALTER TABLE t REPLICA IDENTITY FULL")
    versions = _versions(
        url,
        "UPDATE t SET amount = 1 WHERE id = 1",
        f"UPDATE t SET name = {BIG.format('b')} WHERE id = 1",
        "UPDATE t SET amount = 2 WHERE id = 1",
    )
    run(url, "DELETE FROM t WHERE id = 1")
    rows = captured(url, progress)
    assert _published(rows) == versions
    assert rows[-1] == Deleted({"id": 1, "name": "b" * 9000, "amount": Decimal(2)})


def test_the_place_of_a_row_finds_it_without_naming_it(url: str) -> None:
    run(url, "INSERT INTO t VALUES (12345, 'a', 1)")
    progress: dict[str, bytes] = {}
    with closing(capture(url)) as source:
        source.open(progress)
        pages = []
        for page in source.pages():
            pages.append(page)
            commit(page, progress)
    assert [page.place(0) for page in pages if page.rows] == ["t, ctid (0,1)"]
    with connected(url) as connection, connection.transaction():
        connection.execute("INSERT INTO t VALUES (2, 'b', 1)")
        connection.execute("UPDATE t SET id = 3 WHERE id = 2")
        xid = connection.execute("SELECT pg_current_xact_id()::text::bigint % 4294967296").fetchone()
    assert xid is not None
    source = capture(url)
    source.open(progress)
    found: list[Page] = []
    assert until(lambda: found.extend(source.pages()) or found, DEADLINE_S)
    source.close()
    places = [page.place(i) for page in found for i in range(len(page.rows))]
    begins = [f"change {n} of transaction {xid[0]}, committed 20" for n in (1, 2, 2)]
    assert [place[: len(start)] for place, start in zip(places, begins, strict=True)] == begins


def test_the_slot_advances_while_only_others_write(url: str) -> None:
    progress: dict[str, bytes] = {}
    captured(url, progress)
    run(url, "CREATE TABLE other (x text)")
    source = capture(url)
    source.open(progress)
    with connected(url) as connection:
        before = _confirmed(connection)
        connection.execute("INSERT INTO other SELECT repeat('x', 500) FROM generate_series(1, 5000)")

        def passed() -> bool:
            assert list(source.pages()) == []
            return _confirmed(connection) > before + 2_000_000

        assert until(passed, 20)
    source.close()


def _confirmed(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(
        "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_values_that_python_cannot_hold_spoil_only_their_row(url: str) -> None:
    run(url, "ALTER TABLE t ADD at timestamptz", "INSERT INTO t VALUES (1, 'a', 1, 'infinity'), (2, 'b', 2, 'epoch')")
    progress: dict[str, bytes] = {}
    first = captured(url, progress)
    run(url, "UPDATE t SET amount = 5")
    assert [row["name"] for row in first] == ["a", "b"] or [row["name"] for row in first] == ["b", "a"]
    again = captured(url, progress)
    assert isinstance(again[0]["at"], Unreadable)
    assert again[1]["at"] == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_key_of_several_columns_of_any_type_and_hostile_names(postgres_database: str) -> None:
    url = postgres_database
    columns = '"Zahl ""x""" boolean, "select" date, größe char(5), other text, at timestamptz'
    run(url, f'CREATE TABLE t ({columns}, PRIMARY KEY ("Zahl ""x""", "select", größe, at))')
    run(url, f"CREATE PUBLICATION {PUBLICATION} FOR TABLE t")
    run(
        url,
        "INSERT INTO t SELECT i % 2 = 0, date '2026-01-01' + i, i || 'ä', 'o', timestamptz 'epoch' + i * interval '1h' "
        "FROM generate_series(1, 300) i",
    )
    key = ('Zahl "x"', "select", "größe", "at")
    progress: dict[str, bytes] = {}
    rows: list[Any] = []
    for _ in range(2):  # interrupted, and gone on under another snapshot
        with closing(capture(url, key=key, page_rows=70)) as source:
            source.open(progress)
            pages = source.pages()
            for page in itertools.islice(pages, 2):
                rows += page.rows
                commit(page, progress)
        run(url, "UPDATE t SET other = 'p'")
    rows += captured(url, progress, key=key)
    seen = Counter((row["select"], row["other"]) for row in rows)
    last = {row["select"]: row["other"] for row in rows}
    assert set(seen.values()) == {1} or max(seen.values()) == 2  # two updates wrote the same
    assert len(last) == 300
    assert set(last.values()) == {"p"}


def test_an_interrupted_reading_leaves_out_no_row_whose_key_looks_like_another_one(postgres_database: str) -> None:
    """Whatever separates the values of a key can be in a value, too."""
    url, key = postgres_database, ("a", "b")
    run(url, "CREATE TABLE t (a text, b text, PRIMARY KEY (a, b))", f"CREATE PUBLICATION {PUBLICATION} FOR TABLE t")
    with connected(url) as connection:
        connection.execute("INSERT INTO t VALUES ('x\x1fy', 'z'), ('x', 'y\x1fz'), ('', 'x'), ('x', '')")
    progress: dict[str, bytes] = {}
    found = []
    for _ in range(4):
        with closing(capture(url, key=key, page_rows=1)) as source:
            source.open(progress)
            page = next(page for page in source.pages() if page.rows or commit(page, progress))
            found += page.rows
            commit(page, progress)
    assert len({(row["a"], row["b"]) for row in found}) == 4
    assert captured(url, progress, key=key) == []
