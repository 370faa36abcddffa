"""A sink's table that its user alters while the sink runs: no value is changed by a type that came later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.sink_layout import TableChangedError, TableMismatchError
from tests.rigs.sinks import Reader, schema

SCHEMA = schema(
    id="string",
    n={"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3},
    at={"type": "long", "logicalType": "timestamp-micros"},
)
WIDER = schema(id="string", more=["null", "string"])


def row(number: int) -> dict[str, Any]:
    return {"id": f"id-{number}", "n": Decimal("1.125"), "at": datetime(2025, 1, 2, 3, 4, 5, 678901, UTC)}


@pytest.fixture
def postgresql(postgres_database: str, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(postgres_database, tmp_path)
    yield made
    made.user.dispose()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("n TYPE numeric(10,0)", "column n is NUMERIC"),
        ("n TYPE double precision", "column n is DOUBLE"),
        ("at TYPE timestamptz(0)", "column at is TIMESTAMP"),
        ("at TYPE date", "column at is DATE"),
        ("id TYPE char(9)", "column id is CHAR"),
    ],
)
def test_a_type_that_changes_values_stops_the_sink_before_any_is(postgresql: Reader, change: str, named: str) -> None:
    with closing(postgresql.table()) as table:
        table.fit(SCHEMA)
        postgresql.write(table, row(1), schema=SCHEMA)
        postgresql.sql(f"ALTER TABLE t ALTER {change}")
        with pytest.raises(TableMismatchError, match=named):
            postgresql.write(table, row(2), schema=SCHEMA)
        with pytest.raises(TableMismatchError, match=named):
            table.fit(WIDER)
        assert len(postgresql.rows("id, _offset")) == 1


def test_a_type_that_keeps_values_is_taken_when_the_sink_begins_again(postgresql: Reader) -> None:
    with closing(postgresql.table()) as table:
        table.fit(SCHEMA)
        postgresql.sql("ALTER TABLE t ALTER id TYPE varchar(4)")
        with pytest.raises(TableChangedError):
            postgresql.write(table, row(10), schema=SCHEMA)
        with pytest.raises(TableChangedError):  # what was made of values before goes by the old types
            table.fit(WIDER)
    with closing(postgresql.table()) as table:
        table.fit(SCHEMA)
        assert postgresql.write(table, row(1), row(10), schema=SCHEMA) == [
            (1, "id: text longer than the column's 4 characters")
        ]


def test_a_table_that_another_takes_the_place_of_is_looked_at_again(tmp_path: Path, postgresql: Reader) -> None:
    for database in (postgresql, Reader(f"sqlite:///{tmp_path}/reader.db", tmp_path)):
        with closing(database.table()) as table:
            table.fit(SCHEMA)
            database.sql("ALTER TABLE t RENAME TO away", "CREATE TABLE t AS SELECT * FROM away")
            if not database.is_sqlite:
                database.sql("ALTER TABLE t ADD PRIMARY KEY (id)", "ALTER TABLE t ALTER n TYPE integer")
            else:
                database.sql("CREATE UNIQUE INDEX u ON t (id)")
            with pytest.raises((TableChangedError, TableMismatchError)):
                database.write(table, row(1), schema=SCHEMA)
            assert database.rows("id, _offset") == []
        database.user.dispose()


def test_what_the_sink_adds_itself_is_no_change(postgresql: Reader) -> None:
    with closing(postgresql.table()) as table:
        table.fit(SCHEMA)
        table.fit(WIDER)
        postgresql.write(table, row(1), schema=SCHEMA)
        postgresql.sql("CREATE INDEX i ON t (n)", "ALTER TABLE t ADD CHECK (n > 0)")
        postgresql.write(table, row(2), schema=SCHEMA)
    assert len(postgresql.rows("id, _offset")) == 2
