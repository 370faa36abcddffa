"""Brings records into PostgreSQL by columns: a COPY into a temporary table, and from there one INSERT for each run."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exchange.connect import copy_rows
from exchange.connect.copy_program import CopyProgram, compile_copy, keeps_text
from exchange.connect.copy_rows import CopyRows
from exchange.connect.delivered import Written
from exchange.connect.sink_rows import RAW
from exchange.connect.sink_table import SinkTable
from exchange.connect.statement import Statement
from exchange.records.heads import Heads
from exchange.records.locate import Located


class Copied(NamedTuple):
    """How records of one schema are written: by a COPY into a temporary table, and from there, one run of them each."""

    copy: CopyProgram
    temporary: str
    written: Statement


class SinkCopy:
    """How records come into one PostgreSQL table by columns; one INSERT cannot take two versions of a row."""

    takes_versions = False

    def __init__(self, table: SinkTable) -> None:
        self._table = table

    def keeps_text(self, name: str) -> bool:
        """Whether equal texts in the column have equal hashes, and these are those of the text."""
        return keeps_text(self._table.layout.type_of(name))

    def compile(self, written: Written) -> Copied | None:
        """The program for records of that schema; None if they have to go row by row."""
        table = self._table
        copy = compile_copy(written.schema, tuple(written.given.fields), table.layout, table.key, table.entity)
        if copy is None:
            return None
        temporary = f"exchange_{blake2b(repr((table.state, copy.names)).encode(), digest_size=8).hexdigest()}"
        return Copied(copy, temporary, self._written(copy.names, temporary))

    def _written(self, names: Sequence[str], temporary: str) -> Statement:
        columns, of_run = [sa.column(f"c{i}", RAW) for i in range(len(names))], sa.column("run", sa.Integer)
        copied = sa.select(*columns).select_from(sa.table(temporary, *columns, of_run, schema="pg_temp"))
        rows, mine = self._table.rows, copied.where(of_run == sa.bindparam("which", type_=sa.Integer))
        return Statement(rows.replacing(rows.insert(names).from_select(list(names), mine), names))

    def decode(self, program: Copied, located: Located, own: np.ndarray, replay: Heads, row: Heads) -> CopyRows:
        """The rows of these bodies, as `copy_rows`."""
        return copy_rows.copy_rows(program.copy, located, own, replay, row)

    def bring(self, connection: Connection, program: Copied, made: Sequence[tuple[CopyRows, np.ndarray]]) -> None:
        """Copy the rows into their temporary table, which is made if need be, and is empty after each transaction."""
        self._make(connection, program)
        driver: Any = connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY pg_temp.{program.temporary} FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.write(copy_rows.HEADER)
            for rows, runs in made:
                copy_rows.number(rows, runs)
                copy.write(rows.data.data)
            copy.write(copy_rows.TRAILER)

    def write(self, connection: Connection, program: Copied, _brought: object, run: int) -> None:
        """Write the rows of that run."""
        program.written.run(connection, {"which": run})

    def _make(self, connection: Connection, program: Copied) -> None:
        """Make the temporary table, with the table's columns as c0, c1 … and with `run`."""
        quote = connection.dialect.identifier_preparer.quote
        columns = ", ".join(f"{quote(name)} AS c{i}" for i, name in enumerate(program.copy.names))
        source = ".".join(quote(part) for part in self._table.rows.path)
        made = f"CREATE TEMPORARY TABLE IF NOT EXISTS {program.temporary} ON COMMIT DELETE ROWS AS"
        statement = f"{made} SELECT {columns}, 0 AS run FROM {source} WITH NO DATA"
        driver: Any = connection.connection.driver_connection
        driver.execute(statement)
