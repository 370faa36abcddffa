"""A department's database with a sink's table in it, without Kafka."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.connect.config import Database
from exchange.connect.database import Paths, engine
from exchange.connect.row_change import RecordOrigin, RowChange
from exchange.connect.sink_table import SinkTable
from exchange.connect.sink_values import UnstorableError
from exchange.schema import avro
from exchange.schema.avro import Schema

Record = dict[str, Any] | bytes  # bytes: the key of a tombstone


def schema(**types: Any) -> Schema:
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    return avro.parse(json.dumps({"type": "record", "name": "T", "fields": fields}))


PLAIN = schema(id="string", note=["null", "string"], n="long")


KINDS = ("sqlite", "postgresql", "mariadb")
RELATIVES = ("kingbase", "opengauss")  # for these, a PostgreSQL to which nobody says what it is


def url_of(request: pytest.FixtureRequest, folder: Path, kind: str | None = None) -> str:
    """The URL of an empty database of that kind, or of the one that the fixture's parameter names."""
    kind = kind or request.param
    if kind == "sqlite":
        return f"sqlite:///{folder}/reader.db"
    url = str(request.getfixturevalue("mariadb_database" if kind == "mariadb" else "postgres_database"))
    return named(url, kind) if kind in RELATIVES else url


def named(url: str, drivername: str) -> str:
    return sa.make_url(url).set(drivername=drivername).render_as_string(hide_password=False)


class Reader:
    """A database, the sink's table in it and its user."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self._folder = url, folder
        self.is_sqlite, self.is_mysql = map(url.startswith, ("sqlite", "mysql"))
        self.is_postgresql = url.startswith(("postgresql", *RELATIVES))
        # A type of texts that can be in a key, and tells all texts apart.
        self.text = "VARCHAR(99) COLLATE utf8mb4_nopad_bin" if self.is_mysql else "TEXT"
        self.user = sa.create_engine(named(url, "postgresql+psycopg") if self.is_postgresql else url)
        self.next = 0

    def table(self, key: Sequence[str] = ("id",), name: str = "t") -> SinkTable:
        paths = Paths(self._folder, self._folder)
        return SinkTable(engine(Database(url=self.url), paths, writes=True), name, key, "id")

    def quoted(self, name: str) -> str:
        return self.user.dialect.identifier_preparer.quote_identifier(name)

    def sql(self, *statements: str) -> None:
        for statement in statements:
            with self.user.begin() as connection:
                connection.exec_driver_sql(statement)

    def rows(self, columns: str = "id, n", table: str = "t") -> list[tuple[Any, ...]]:
        with self.user.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(f"SELECT {columns} FROM {table} ORDER BY 1, 2")]

    def write(self, table: SinkTable, *records: Record, schema: Schema = PLAIN) -> list[tuple[int, str]]:
        """Take the records in as one batch; return which of them were set aside, and why."""
        changes: list[RowChange] = []
        aside: list[tuple[int, str]] = []
        start = table.offsets("topic", [0])[0]
        for at, record in enumerate(records, start):
            origin = RecordOrigin(0, at, 1_000 + at)
            try:
                change = table.delete(record, origin) if isinstance(record, bytes) else None
                changes.append(change or table.upsert(schema, record, origin))  # type: ignore[arg-type]
            except UnstorableError as error:
                aside.append((at - start, error.message))
        table.apply("topic", changes, {0: (start, start + len(records))}, lambda refused: aside.extend(
            (origin.offset - start, reason) for origin, reason in refused))  # fmt: skip
        assert table.offsets("topic", [0]) == {0: start + len(records)}
        return sorted(aside)


def row(number: int, note: str | None = "fine", **changes: Any) -> dict[str, Any]:
    return {"id": f"id-{number}", "note": note, "n": number} | changes
