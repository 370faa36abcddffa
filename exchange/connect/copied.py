"""A query's rows as PostgreSQL's COPY writes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import psycopg
from psycopg.generators import copy_from, fetch_many
from psycopg.pq import ExecStatus, PGresult

from exchange.connect.database import BadValueError, translated
from exchange.connect.fetched import Fetched, Key
from exchange.connect.postgres import Connection
from exchange.connect.source import Bad, Deleted, Row
from exchange.connect.text_rows import LoadedColumns, TextColumns, TextRows
from exchange.connect.window import row_hash
from exchange.records import row_hashes
from exchange.records.text_program import Kind
from exchange.records.text_table import TextTable, parse

_FORMS: Mapping[Kind, int] = {
    "whole": row_hashes.ASCII,
    "uuid": row_hashes.ASCII,
    "text": row_hashes.TEXT,
    "decimal": row_hashes.NUMBER,
    "date": row_hashes.DATE,
    "moment": row_hashes.MOMENT,
    "instant": row_hashes.INSTANT,
}


class _Enough(Exception):
    """So much is in memory that the rest is not received."""


def layout(connection: Connection, statement: str, values: Mapping[str, Any]) -> LoadedColumns | None:
    """The layout of a query's rows; None if their text is not UTF-8.

    In the same transaction, the columns' types stay as they are now.
    """
    if connection.info.encoding != "utf-8":
        return None
    with connection.cursor() as cursor:
        columns = cursor.execute(statement.encode(), values).description or []
    return LoadedColumns.of(connection, [column.name for column in columns], [column.type_code for column in columns])


def copy(
    connection: Connection, statement: str, values: Mapping[str, Any], most_bytes: int, columns: int
) -> tuple[TextTable, bool]:
    """What a query gives, and whether that is all; after so many bytes it stops, with the row after that."""
    copied, rows, is_all = bytearray(), 0, False
    with (
        suppress(_Enough),
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({statement}) TO STDOUT".encode(), values),
    ):
        rows, is_all = connection.wait(_receive(connection.pgconn, copied, most_bytes))
        if not is_all:
            raise _Enough
    return parse(copied, rows, columns), is_all


def _receive(libpq: Any, copied: bytearray, most_bytes: int) -> Generator[Any, Any, tuple[int, bool]]:
    """Receive row by row; return how many, and whether that is all. psycopg's own way there takes longer.

    Rows are not collected as objects, which the garbage collector would go through again and again.
    """
    get = libpq.get_copy_data
    rows = held = 0
    is_enough = False
    while not is_enough:
        is_enough = held >= most_bytes
        size, row = get(1)
        if size == 0:  # none is there yet
            received: Any = yield from copy_from(libpq)
            if isinstance(received, PGresult):
                return rows, True
            size, row = len(received), received
        elif size < 0:
            [result] = yield from fetch_many(libpq)
            if result.status != ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(result, encoding="utf-8")
            return rows, True
        copied += row
        held += size
        rows += 1
    return rows, False


class FetchedTexts(TextRows):
    """Rows of a fetch."""

    @abstractmethod
    def at(self, rows: np.ndarray) -> FetchedTexts:
        """These of the rows (int64 indexes)."""

    @abstractmethod
    def value(self, index: int, column: int) -> Any:
        """One value; raises BadValueError if it cannot be loaded."""


class CopiedRows(FetchedTexts):
    """Copied rows of a page.

    `deletes` says of a row whether it is a deletion, by the value in the column `deleted` (None: none is). `what` is
    said if a value cannot be loaded.
    """

    def __init__(
        self, layout: LoadedColumns, table: TextTable, deletes: Callable[[Row], bool], deleted: str | None, what: str
    ) -> None:
        super().__init__(layout, table)
        self._columns = layout
        self._deletes, self._deleted, self._what = deletes, deleted, what

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError
        try:
            with translated(self._what):
                row = self._columns.loads.load_sequence(self.table.row(index))
        except BadValueError as error:
            return Bad(error.message)
        made = dict(zip(self.layout.names, row, strict=True))
        return Deleted(made) if self._deletes(made) else made

    def value(self, index: int, column: int) -> Any:
        [text] = self.table.column(column).at(np.array([index])).tolist()
        with translated("read a cursor"):
            return self._columns.loaders[column](text or b"")

    def values(self, column: int) -> list[Any]:
        load, texts = self._columns.loaders[column], self.table.column(column).tolist()
        with translated(self._what):
            return [None if text is None else load(text) for text in texts]

    def at(self, rows: np.ndarray) -> CopiedRows:
        return CopiedRows(self._columns, self.table.at(rows), self._deletes, self._deleted, self._what)

    def deletions(self) -> np.ndarray:
        if self._deleted is None:
            return np.zeros(len(self), np.bool_)
        number = self.layout.names.index(self._deleted)
        texts = self.table.column(number).tolist()
        told = {text: self._told(number, text) for text in set(texts)}
        return np.fromiter((told[text] for text in texts), np.bool_, len(texts))

    def _told(self, number: int, text: bytes | None) -> bool:
        try:
            value = None if text is None else self._columns.loaders[number](text)
        except ValueError:
            return True
        return self._deletes({str(self._deleted): value})


class FetchedTable(Fetched):
    """Rows in the order of two columns of theirs."""

    def __init__(self, rows: FetchedTexts, time: str, row_id: str) -> None:
        """Raises BadValueError if a row's key cannot be loaded."""
        self.is_last = True
        self._rows = rows
        self._time, self._id = rows.layout.names.index(time), rows.layout.names.index(row_id)
        forms = [_FORMS[rows.layout.kinds[number]] for number in (self._time, self._id)]  # type: ignore[index]
        times, ids = rows.table.column(self._time), rows.table.column(self._id)
        self._hashes, are_known = row_hashes.row_hashes(times, forms[0], ids, forms[1])
        for index in np.flatnonzero(~are_known).tolist():
            self._hashes[index] = row_hash(*self.key(index))

    @staticmethod
    def fits(layout: TextColumns, time: str, row_id: str) -> bool:
        """Whether rows of this layout can be told apart by these columns here."""
        return all(layout.column(name)[1] in _FORMS for name in (time, row_id))

    def cut(self, rows: int) -> FetchedTable:
        """The first rows, which are not the last ones."""
        self._rows = self._rows.at(np.arange(rows))
        self._hashes, self.is_last = self._hashes[:rows], False
        return self

    @property
    def sizes(self) -> np.ndarray:
        sizes: np.ndarray = np.maximum(self._rows.table.length, 0).sum(axis=0)
        return sizes

    def key(self, index: int) -> Key:
        return self._rows.value(index, self._time), self._rows.value(index, self._id)

    def hashes(self) -> np.ndarray:
        return self._hashes

    def rows(self, some: np.ndarray) -> FetchedTexts:
        return self._rows.at(some)
