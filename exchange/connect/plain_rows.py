"""Rows of Python's values in columns: each column as texts of one kind, as PostgreSQL writes them, if it has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from exchange.connect.config import Cursor
from exchange.connect.copied import FetchedTable, FetchedTexts
from exchange.connect.fetched import FetchedRows
from exchange.connect.source import Deleted, Row
from exchange.connect.text_rows import TextColumns
from exchange.records.text_program import Kind
from exchange.records.text_table import TextTable
from exchange.records.values import Values

_EXACT = 1 << 53  # up to here, a double holds every whole number
_ODD = b"?"  # no value: its row is left to what knows it


class PlainRows(FetchedTexts):
    """`deletes` says of a row whether it is a deletion, by the value in the column `deleted` (None: none is)."""

    def __init__(
        self,
        layout: TextColumns,
        table: TextTable,
        rows: Sequence[Sequence[Any]],
        deletes: Callable[[Row], bool],
        deleted: str | None,
    ) -> None:
        super().__init__(layout, table)
        self._rows = rows
        self._deletes, self._deleted = deletes, deleted

    @classmethod
    def of(
        cls, names: Sequence[str], rows: Sequence[Sequence[Any]], deletes: Callable[[Row], bool], deleted: str | None
    ) -> PlainRows:
        """The rows, of which each has a value for each of the names."""
        kinds, columns = zip(*(_written(column) for column in zip(*rows, strict=True)), strict=True)
        joined = Values.joined([Values.of([part for text in texts for part in (text, b"\n")]) for texts in columns])
        start, length = (each[::2].reshape(len(names), len(rows)) for each in (joined.start, joined.length))
        return cls(TextColumns(tuple(names), kinds), TextTable(joined.buf, start, length), rows, deletes, deleted)

    def __getitem__(self, index: Any) -> Any:
        made = dict(zip(self.layout.names, self._rows[index], strict=True))
        return Deleted(made) if self._deletes(made) else made

    def at(self, rows: np.ndarray) -> PlainRows:
        some = [self._rows[index] for index in rows.tolist()]
        return PlainRows(self.layout, self.table.at(rows), some, self._deletes, self._deleted)

    def value(self, index: int, column: int) -> Any:
        return self._rows[index][column]

    def values(self, column: int) -> list[Any]:
        return [row[column] for row in self._rows]

    def deletions(self) -> np.ndarray:
        if self._deleted is None:
            return np.zeros(len(self), np.bool_)
        number = self.layout.names.index(self._deleted)
        return np.array([self._deletes({self._deleted: row[number]}) for row in self._rows], np.bool_)


def in_columns(
    fetched: FetchedRows, names: Sequence[str], cursor: Cursor, deletes: Callable[[Row], bool], deleted: str | None
) -> FetchedTable | None:
    """Fetched rows as columns; None if the columns of the cursor cannot be."""
    rows = PlainRows.of(names, fetched.values, deletes, deleted)
    if not FetchedTable.fits(rows.layout, cursor.time, cursor.id):
        return None
    table = FetchedTable(rows, cursor.time, cursor.id)
    table.is_last = fetched.is_last
    return table


def _written(values: Sequence[Any]) -> tuple[Kind | None, Sequence[bytes | None]]:
    """A column's kind, and its values as texts of that; None if they are of several kinds, or of one without texts."""
    types = set(map(type, values)) - {type(None)}
    if not types:
        return "null", values
    if types == {int, float}:
        types = {float}
    kind, write = _WRITERS.get(next(iter(types)), (None, None)) if len(types) == 1 else (None, None)
    if write is None:
        return None, [None] * len(values)
    return kind, [None if value is None else write(value) for value in values]


def _float(value: float) -> bytes:
    return repr(value).encode() if type(value) is float or abs(value) <= _EXACT else _ODD


_WRITERS: Mapping[type, tuple[Kind, Callable[[Any], bytes]]] = {
    int: ("whole", lambda value: b"%d" % value),
    # Text that is no Unicode stays none.
    str: ("text", lambda value: value.encode("utf-8", "surrogatepass")),
    float: ("double", _float),
    bool: ("boolean", lambda value: b"t" if value else b"f"),
    Decimal: ("decimal", lambda value: str(value).encode()),
    date: ("date", lambda value: value.isoformat().encode()),
    datetime: ("moment", lambda value: value.isoformat(" ").encode()),
}
