"""Changes of a table of a real PostgreSQL: in the order of their commits, each once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchange.connect.source import Deleted
from tests.rigs.captures import captured, table
from tests.rigs.postgres_source import connected, run


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
