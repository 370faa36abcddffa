"""Runs the SQL of one system in DuckDB over rows that are given, or over a city's databases.

It shares no code and no SQL with what it checks: `tests/unit/test_second_program.py` reads its imports.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

HERE = Path(__file__).parent
APPLICATION = ("case_no", "type", "region", "day", "party_id", "name", "authorisation")
_BATCH = 50_000


class SecondProgram:
    """One system, `household` or `quota`: give it rows, then ask for its findings."""

    def __init__(self, system: str) -> None:
        self._duck = duckdb.connect()
        self._duck.execute((HERE / f"{system}.sql").read_text("utf-8"))
        made = "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
        is_table = "(table_schema, table_name) IN (SELECT (schema_name, table_name) FROM duckdb_tables())"
        self._columns: dict[tuple[str, str], dict[str, str]] = {}
        for schema, table, column, kind in self._duck.execute(
            f"{made} WHERE {is_table} ORDER BY ordinal_position"
        ).fetchall():
            self._columns.setdefault((schema, table), {})[column] = kind
        self._lines = 0

    def close(self) -> None:
        self._duck.close()

    def tables(self) -> list[tuple[str, str]]:
        """Department and name of each table that the system reads."""
        return [place for place in self._columns if place[0] != "main"]

    def add(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]], schema: str = "main") -> None:
        """Put rows into a table; `names` are their columns, of which those that the system does not read are left."""
        kinds = self._columns[schema, table]
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        texts = {
            name: [None if v is None else str(v) for v in values] for name, values in zip(names, columns, strict=True)
        }
        given = pa.table({name: pa.array(texts[name], pa.string()) for name in kinds})
        self._duck.register("given", given)
        cast = ", ".join(f'"{name}"::{kind}' for name, kind in kinds.items())
        self._duck.execute(f'INSERT INTO "{schema}"."{table}" SELECT {cast} FROM given')
        self._duck.unregister("given")

    def apply(self, rows: Iterable[Sequence[Any]]) -> None:
        """Put in applications, a row for each person; the rows of a case are in the order of its persons."""
        numbered = [(line, *row) for line, row in enumerate(rows, self._lines)]
        self._lines += len(numbered)
        self.add("application", ("line", *APPLICATION), numbered)

    def read_city(self, folder: Path) -> None:
        """Put in what a city's departments have: `<department>.db`, and the CSV files of applications."""
        for department, table in self.tables():
            with closing(sqlite3.connect(f"file:{folder / department}.db?mode=ro", uri=True)) as database:
                cursor = database.execute(f'SELECT * FROM "{table}"')
                names = [column[0] for column in cursor.description]
                while rows := cursor.fetchmany(_BATCH):
                    self.add(table, names, rows, department)
        for path in sorted((folder / "applications").glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as lines:
                self.apply([tuple(row[name] for name in APPLICATION) for row in csv.DictReader(lines)])

    def findings(self) -> dict[str, dict[str, Any]]:
        """What has to be found, by case."""
        cursor = self._duck.execute("SELECT * FROM finding")
        names = [column[0] for column in cursor.description or ()]
        made = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
        return {each.pop("case_no"): each for each in made}
