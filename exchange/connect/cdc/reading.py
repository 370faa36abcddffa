"""Reads a table's rows as the stream gives them: once in the beginning, in parts, and one by one where values lack."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from psycopg import sql
from psycopg.adapt import Transformer
from psycopg.pq import Format

from exchange.connect.cdc.captured import Visibility, place_in_sql
from exchange.connect.cdc.logged_rows import WRITTEN, LoggedRows
from exchange.connect.cdc.setup import identifier
from exchange.connect.database import DatabaseUnavailableError, translated
from exchange.connect.postgres import Connection
from exchange.connect.source import Bad, Deleted, Row
from exchange.connect.text_rows import LoadedColumns

PAGE_BYTES = 8 << 20
FIRST_ROWS = 200  # fetched first, when nobody knows yet how long the rows are
VISIBLE_S = 10.0  # the longest wait for a committed transaction to be seen; a synchronous standby can make one wait

Raws = list[bytes | None]


class Loader:
    """Makes rows of text, with the types that a SELECT of these columns gives; `texts` is None if it is not UTF-8."""

    def __init__(self, connection: Connection, table: str, columns: Sequence[str]) -> None:
        cursor = connection.execute(_select(columns, table, "LIMIT 0"))
        self._transformer = Transformer(connection)
        assert cursor.description is not None
        self._types = {column.name: column.type_code for column in cursor.description}
        self._columns = tuple(columns)
        is_utf8 = connection.info.encoding == "utf-8"
        oids = [self._types[name] for name in columns]
        self.texts = LoadedColumns.of(connection, columns, oids) if is_utf8 else None
        self._transformer.set_loader_types(oids, Format.TEXT)

    def rows(self, rows: Sequence[Raws]) -> Sequence[Row | Deleted | Bad]:
        """Rows that have all the columns."""
        if self.texts is None:
            return [self.load(self._columns, row) for row in rows]
        from exchange.records.text_table import TextTable  # kernels, which only those who need them load

        table = TextTable.of([text for row in rows for text in row], len(self._columns))
        return LoggedRows(self.texts, table, np.full(len(rows), WRITTEN), (), self.load)

    def load(self, names: Sequence[str], values: Sequence[bytes | None]) -> Row | Bad:
        """The row; Bad, without its content, if a value cannot be read."""
        if tuple(names) == self._columns:
            try:
                return dict(zip(names, self._transformer.load_sequence(values), strict=True))
            except Exception:  # the driver's or Python's; which column it is, is found below
                pass
        row: dict[str, Any] = {}
        for name, value in zip(names, values, strict=True):
            try:
                load = self._transformer.get_loader(self._types[name], Format.TEXT).load
                row[name] = None if value is None else load(value)
            except Exception as error:
                return Bad(f"a value of {name} cannot be read ({type(error).__name__})")
        return row


class Reading:
    """Reads the rest of the table under one snapshot, in the order of `place`; the connection is its own.

    `snapshot`: the one that a new slot exported; None: a new one, which sees all of `earlier`. Until the end, the table
    cannot be altered.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        *,
        after: bytes,
        snapshot: str | None,
        earlier: Visibility | None,
    ) -> None:
        self._connection = connection
        self._width = len(columns)
        self._fetch_rows = FIRST_ROWS
        self.seen = self._begin(table, snapshot, earlier)
        query = _select(
            columns, table, "WHERE {by} > {after} ORDER BY 1", by=place_in_sql(key), after=sql.Literal(after)
        )
        connection.execute(sql.SQL("DECLARE rest NO SCROLL CURSOR FOR {}").format(query))

    def fetch(self, most: int) -> tuple[bytes, list[Raws], list[str]]:
        """The place of the last row, and the next rows, with their addresses (ctid) for people; none at the end."""
        result = self._connection.execute(f"FETCH {min(most, self._fetch_rows)} FROM rest".encode()).pgresult
        assert result is not None
        rows = [[result.get_value(i, j) for j in range(2, self._width + 2)] for i in range(result.ntuples)]
        if not rows:
            return b"", [], []
        held = sum(len(value) for row in rows for value in row if value is not None)
        self._fetch_rows = max(1, min(4 * self._fetch_rows, PAGE_BYTES * len(rows) // max(1, held)))
        place = result.get_value(result.ntuples - 1, 0)
        assert place is not None
        addresses = [(result.get_value(i, 1) or b"").decode() for i in range(len(rows))]
        return bytes.fromhex(place[2:].decode()), rows, addresses  # \x…

    def end(self) -> str:
        """End the transaction; return where the log is."""
        at = self._connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        self._connection.execute("COMMIT")
        assert at is not None
        return str(at[0])

    def _begin(self, table: str, snapshot: str | None, earlier: Visibility | None) -> Visibility:
        deadline = time.monotonic() + VISIBLE_S
        while True:
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot is not None:
                self._connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
            # The snapshot is taken after the lock, so that nothing alters the table in between.
            self._connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(identifier(table)))
            seen = visibility(self._connection)
            if earlier is None or seen.sees_all_of(earlier):
                return seen
            self._connection.execute("ROLLBACK")
            _wait_until(deadline)


def visibility(connection: Connection) -> Visibility:
    """What the connection's transaction sees."""
    row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    return Visibility.of(row[0])


def reread(
    connection: Connection, table: str, columns: Sequence[str]
) -> Callable[[Mapping[str, bytes | None], int], Mapping[str, bytes | None] | None]:
    """What reads one row as it is now, once the transaction is seen that the stream tells of; None without a row."""

    def read(key: Mapping[str, bytes | None], xid: int) -> Mapping[str, bytes | None] | None:
        deadline = time.monotonic() + VISIBLE_S
        where = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(
                sql.Identifier(name), sql.Literal((value or b"").decode("utf-8", "surrogateescape"))
            )
            for name, value in key.items()
        )
        query = _select(columns, table, "WHERE {where}", where=where)
        while True:
            with translated(f"read {table}"):
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                seen = visibility(connection).sees(xid)
                result = connection.execute(query).pgresult if seen else None
                connection.execute("COMMIT")
            if result is not None:
                row = [result.get_value(0, i) for i in range(len(columns))] if result.ntuples == 1 else None
                return dict(zip(columns, row, strict=True)) if row else None
            _wait_until(deadline)

    return read


def first_rows(connection: Connection, table: str, columns: Sequence[str], most: int) -> list[Raws]:
    """At most so many rows of the table, in no order."""
    result = connection.execute(_select(columns, table, "LIMIT {most}", most=sql.Literal(most))).pgresult
    assert result is not None
    return [[result.get_value(i, j) for j in range(len(columns))] for i in range(result.ntuples)]


def _select(columns: Sequence[str], table: str, rest: str, **parts: sql.Composable) -> sql.Composed:
    names: list[sql.Composable] = [sql.Identifier(name) for name in columns]
    if "by" in parts:
        names = [parts["by"], sql.SQL("ctid"), *names]
    return sql.SQL("SELECT {} FROM ONLY {} ").format(sql.SQL(", ").join(names), identifier(table)) + sql.SQL(
        rest
    ).format(**parts)


def _wait_until(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise DatabaseUnavailableError(
            "a committed transaction is not seen yet", remedy="see whether the server waits for a standby"
        )
    time.sleep(0.02)
