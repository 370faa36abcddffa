"""A department's function that takes many rows as one table of Arrow: `def income(table)`, not `def income(row)`.

As the row's form may, it drops rows and makes any columns. Which row is which, the numbers in the column `ROW` say; if
the result has no such column, it must have as many rows as the table, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from exchange.connect.coerce import RowRejectedError
from exchange.connect.extras import extra
from exchange.connect.source import Bad, Deleted, Encoded, Row
from exchange.connect.text_rows import TextRows
from exchange.errors import ExchangeError, RecordError

ROW = "exchange_row"
MANY = 100  # rows, which are worth columns for kernels
# Of which Arrow gives back what it got: types, and whether without a zone.
_KEPT = {*((each, True) for each in (str, int, float, bool, bytes, date, datetime, time)), (datetime, False)}
_EXACT = 10**15  # below it, a whole number that becomes a float is the same decimal, see `coerce`
Piece = tuple[Sequence[int], Sequence[Row | Deleted | Bad | Encoded]]
"""Rows, and which of the page's they were."""


class NotTheseRowsError(RecordError):
    """A transform returned something that is no table of the rows that it got, so none of them can be published."""

    code = "not-these-rows"
    remedy = "correct the function: it returns a pyarrow.Table and keeps the column exchange_row"


class TableTransform:
    """`name` is the function's, for messages; raises MissingExtraError if Arrow is not installed."""

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        self._arrow = extra("pyarrow", "parquet")
        self._name = name
        self._function = function
        self._types: dict[str, Any] = {}  # of the columns, as soon as one has a value

    def __call__(self, row: Row) -> Row | None:
        """What becomes of a single row; None if it is dropped."""
        for _, made in self._made([0], [row]):
            if isinstance(made, Bad):
                raise RowRejectedError(made.reason)
            return made[0]
        return None

    def pieces(self, rows: Sequence[Row | Deleted | Bad | Encoded]) -> Iterator[Piece]:
        """What becomes of a page's rows; those that are dropped are in no piece. Deleted rows are a table of their own.

        If the function raises an error, it gets the rows again, half of them each time, until it is clear which of them
        are to be rejected.
        """
        alike: dict[tuple[bool, tuple[str, ...]], tuple[Any, Any]] = {}
        single: list[tuple[int, Any]] = []  # what is no row, or is rejected
        if (columns := self._in_columns(rows)) is not None:
            alike[False, tuple(columns)] = range(len(rows)), rows
            rows = ()
        for index, row in enumerate(rows):
            of = row.row if isinstance(row, Deleted) else row
            if isinstance(of, Mapping):
                indexes, some = alike.setdefault((isinstance(row, Deleted), tuple(of)), ([], []))
                indexes.append(index)
                some.append(of)
            else:
                single.append((index, row))
        for (is_deleted, _), (indexes, some) in alike.items():
            for numbers, made in self._made(indexes, some, columns):
                if isinstance(made, Bad):
                    single += ((number, made) for number in numbers)
                else:
                    yield numbers, [*map(Deleted, made)] if is_deleted else made
        if single:
            yield [index for index, _ in single], [row for _, row in single]

    def _made(
        self, indexes: Sequence[int], rows: Sequence[Row], given: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[Sequence[int], Sequence[Row] | Bad]]:
        """What becomes of rows that have the same columns; `given` are these, if they are known."""
        try:
            kept, columns = self._called(self._columns(rows) if given is None else given, len(rows))
        except RecordError as error:
            if len(rows) == 1 or isinstance(error, NotTheseRowsError):
                yield indexes, Bad(error.message)
                return
            rows, half = list(rows), len(rows) // 2
            yield from self._made(indexes[:half], rows[:half])
            yield from self._made(indexes[half:], rows[half:])
        else:
            if kept:
                yield [indexes[number] for number in kept], self._rows(columns, len(kept))

    def _called(self, given: Mapping[str, Any], count: int) -> tuple[Sequence[int], Mapping[str, Any]]:
        """Call the function: the numbers of the rows that it keeps, and its columns."""
        if ROW in given:
            raise NotTheseRowsError(f"{self._name} needs the name {ROW}, which a column of the source has")
        table = self._arrow.table({**given, ROW: self._arrow.array(range(count), self._arrow.int64())})
        try:
            made = self._function(table)
        except (Exception, SystemExit) as error:
            # The department's own code. The message could quote a value.
            raise RowRejectedError(f"{self._name} raised {type(error).__name__}") from error
        if not isinstance(made, self._arrow.Table):
            raise NotTheseRowsError(f"{self._name} returned {type(made).__name__}, not a pyarrow.Table")
        names = made.column_names
        if len(set(names)) < len(names):
            raise NotTheseRowsError(f"{self._name} returned two columns of one name")
        columns = dict(zip(names, made.columns, strict=True))
        kept = _numbers(columns.pop(ROW)) if ROW in columns else range(count)
        if made.num_rows != len(kept):
            reason = f"returned {made.num_rows} rows for {count}, without the column {ROW} that says which they are"
            raise NotTheseRowsError(f"{self._name} {reason}")
        if {*map(type, kept)} - {int} or len(set(kept)) < len(kept) or not set(kept) <= set(range(count)):
            raise NotTheseRowsError(f"{self._name} returned a column {ROW} in which not every number is another row's")
        return kept, columns

    def _in_columns(self, rows: Sequence[Any]) -> Mapping[str, Any] | None:
        """The columns of a page that has them, and is one table as a whole."""
        if not isinstance(rows, TextRows) or not rows or rows.deletions().any():
            return None
        from exchange.connect.arrow_rows import columns_of  # kernels, which only those who need them load

        try:
            columns = columns_of(rows, self._column)
        except (ValueError, ExchangeError):
            return None
        self._types.update({name: of.type for name, of in columns.items() if of.null_count < len(rows)})
        return columns

    def _columns(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        return {name: self._column(name, [row[name] for row in rows]) for name in rows[0]}

    def _rows(self, columns: Mapping[str, Any], count: int) -> Sequence[Any]:
        if not columns:
            return [{}] * count
        from exchange.connect.arrow_rows import ArrowRows  # kernels, which only those who need them load

        rows = ArrowRows(columns)
        return rows if count >= MANY else list(rows)

    def _column(self, name: str, values: list[Any]) -> Any:
        """The values as a column; raises RowRejectedError if it would not give them back as they are."""
        values = [str(value) if type(value) is UUID else value for value in values]
        kinds = {(type(v), getattr(v, "tzinfo", None) is None) for v in values if v is not None}
        types = {kind for kind, _ in kinds}
        try:
            array = self._arrow.array(values, None if types else self._types.get(name))
            is_kept = (types == {int, float} and all(abs(v) < _EXACT for v in values if type(v) is int)) or (
                len(kinds) < 2 and (kinds <= _KEPT or array.to_pylist(maps_as_pydicts="strict") == values)
            )
        except (Exception, SystemExit):
            is_kept = False
        if not is_kept:
            raise RowRejectedError(f"{self._name} cannot get the column {name}: Arrow does not hold its values")
        if types:
            self._types[name] = array.type
        return array


def _numbers(column: Any) -> Sequence[Any]:
    """What a column says; nothing if Python cannot hold it."""
    try:
        numbers: list[Any] = column.to_pylist()
    except Exception:  # such as nanoseconds; the message could quote a value
        return [None] * len(column)
    return numbers
