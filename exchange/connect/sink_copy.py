"""Brings records into PostgreSQL by columns: a COPY into a temporary table, and from there one INSERT for each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exchange.connect import copy_rows
from exchange.connect.copy_program import CopyProgram, compile_copy, compile_name, compile_piece, keeps_text
from exchange.connect.copy_rows import CopyRows
from exchange.connect.delivered import Written
from exchange.connect.sink_rows import RAW
from exchange.connect.sink_table import SinkTable
from exchange.connect.statement import Statement
from exchange.records.heads import Heads
from exchange.records.locate import Located
from exchange.schema.avro import Schema

_RUN = sa.bindparam("run", type_=sa.Integer)


class Copied(NamedTuple):
    """How records of one schema are taken in: a COPY into a temporary table, from which a statement takes each run."""

    copy: CopyProgram
    temporary: str
    merge: Statement


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
        return None if copy is None else self._copied(copy, self._written)

    def compile_name(self, schema: Schema) -> Copied | None:
        """The program for bodies that name rows to be removed."""
        copy = compile_name(schema, self._table.layout, self._table.key, self._table.entity)
        return None if copy is None else self._copied(copy, self._removed)

    def compile_piece(self, name: str) -> Copied | None:
        """The program for values of that column whose rows are to be removed; they come in place of `row`."""
        copy = compile_piece(name, self._table.layout)
        return None if copy is None else self._copied(copy, self._removed)

    def _copied(self, copy: CopyProgram, merged: Callable[[CopyProgram, sa.TableClause], Any]) -> Copied:
        said = repr((self._table.state, copy.names)).encode()
        columns = [sa.column(f"c{i}", RAW) for i in range(len(copy.names))]
        name = f"exchange_{blake2b(said, digest_size=8).hexdigest()}"
        temporary = sa.table(name, *columns, sa.column("run", sa.Integer), schema="pg_temp")
        return Copied(copy, name, Statement(merged(copy, temporary)))

    def _written(self, copy: CopyProgram, temporary: sa.TableClause) -> Any:
        rows, (*columns, run) = self._table.rows, temporary.c
        copied = sa.select(*columns).where(run == _RUN)
        return rows.replacing(rows.insert(copy.names).from_select(list(copy.names), copied), copy.names)

    def _removed(self, copy: CopyProgram, temporary: sa.TableClause) -> Any:
        target, (*columns, run) = self._table.rows.target(copy.names), temporary.c
        same = [mine == copied for mine, copied in zip(target.c, columns, strict=True)]
        return sa.delete(target).where(*same, run == _RUN)

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
        """Write, or remove, the rows of that run."""
        driver: Any = connection.connection.driver_connection
        # Planned each time: the server does not know how much is in the table, and a plan for little must not stay.
        driver.execute(program.merge.text(connection), {"run": run}, prepare=False)

    def _make(self, connection: Connection, program: Copied) -> None:
        """Make the temporary table, with the table's columns as c0, c1 … and with `run`."""
        quote = connection.dialect.identifier_preparer.quote
        columns = ", ".join(f"{quote(name)} AS c{i}" for i, name in enumerate(program.copy.names))
        source = ".".join(quote(part) for part in self._table.rows.path)
        made = f"CREATE TEMPORARY TABLE IF NOT EXISTS {program.temporary} ON COMMIT DELETE ROWS AS"
        statement = f"{made} SELECT {columns}, 0 AS run FROM {source} WITH NO DATA"
        driver: Any = connection.connection.driver_connection
        driver.execute(statement)
