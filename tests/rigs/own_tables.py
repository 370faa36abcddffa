"""The tables that departments keep to themselves, in one SQLite in memory, and what their queries answer from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from exchange.cases.answering.items import AnsweredItem, answered_items
from exchange.cases.shapes import AnswerShape
from exchange.connect.load import load
from exchange.demo.city.own_tables import OWN_TABLES

CONNECTORS = Path(__file__).parents[2] / "connectors"
Rows = Mapping[str, Iterable[tuple[Any, ...]]]
"""Table → its rows."""


@cache
def answered_by(department: str) -> Mapping[tuple[str, str], AnsweredItem]:
    """What the department's connector answers, by case type and item."""
    return {(one.type, one.item): one for one in answered_items(load(CONNECTORS, department))}


@contextmanager
def filled(rows: Rows) -> Iterator[sqlite3.Connection]:
    """A database with the tables of all departments and these rows, which are gone afterwards."""
    database = _database()
    try:
        for table, each in rows.items():
            for row in each:
                database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        yield database
    finally:
        database.rollback()


def content(database: sqlite3.Connection, item: AnsweredItem, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the item's query gives; None if nothing is found."""
    assert item.query is not None
    cursor = database.execute(item.query, given)
    row = cursor.fetchone()
    found = dict(zip((column[0] for column in cursor.description), row or (), strict=False))
    if all(value is None or (item.answer[name].shape == "count" and value == 0) for name, value in found.items()):
        return None
    assert found.keys() == item.answer.keys()
    return {name: _shaped(shape, found[name]) for name, shape in item.answer.items()}


def _shaped(shape: AnswerShape, value: Any) -> Any:
    match shape.shape:
        case "value":
            return f"{Decimal(repr(value)):.{shape.scale}f}"
        case "predicate":
            assert value in (0, 1)
            return bool(value)
        case "range":
            assert value in shape.values
    return value


@cache
def _database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    tables = {name: table for own in OWN_TABLES.values() for name, table in own.items()}
    for name, table in tables.items():
        database.execute(f"CREATE TABLE {name} ({', '.join(column.name for column in table.columns)})")
    database.commit()
    return database
