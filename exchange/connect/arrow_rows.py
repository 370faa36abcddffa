"""Rows between kernels and tables of Arrow: columns of texts there and back, without an object for each value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from exchange.connect.extras import extra
from exchange.connect.source import Bad, Deleted, Row, Unreadable
from exchange.connect.text_rows import TextColumns, TextRows
from exchange.records.text_program import Kind
from exchange.records.text_table import TextTable, packed
from exchange.records.values import Values, read_only

# What a column says whose values Arrow writes as PostgreSQL does; `instant` needs a zone behind it.
_KINDS: Mapping[str, Kind] = {
    "string": "text",
    "large_string": "text",
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "whole"),
    "bool": "boolean",
    "double": "double",
    "date32[day]": "date",
    "null": "null",
}

# As what Arrow reads texts: its values are then those that Python makes of them.
_READ: Mapping[Kind, str] = {
    "text": "string",
    "uuid": "string",
    "whole": "int64",
    "boolean": "bool",
    "double": "double",
    "date": "date32",
    "moment": "timestamp[us]",
    "instant": "timestamp[us]",
}


class Unheld(Unreadable):
    """A value of Arrow that Python cannot hold, such as nanoseconds."""

    def __init__(self) -> None:
        super().__init__("", "value")

    @property
    def what(self) -> str:
        return "a value that Python cannot hold"


class ArrowRows(TextRows):
    """The rows of a table of Arrow, with these columns, of which there is one at least; no row is deleted."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        kinds, texts = zip(*map(_texts, columns.values()), strict=True)
        joined = Values.joined(texts)
        rows = len(joined.start) // len(columns)
        start, length = (each.reshape(len(columns), rows) for each in (joined.start, joined.length))
        super().__init__(TextColumns(tuple(columns), kinds), TextTable(joined.buf, start, length))
        self._columns = columns

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError
        return {name: _value(column, index) for name, column in self._columns.items()}

    def __iter__(self) -> Iterator[Row | Deleted | Bad]:
        try:
            values = [column.to_pylist(maps_as_pydicts="strict") for column in self._columns.values()]
        except Exception:  # which value it is, each says by itself
            return super().__iter__()
        return (dict(zip(self._columns, row, strict=True)) for row in zip(*values, strict=True))

    def values(self, column: int) -> list[Any]:
        made: list[Any] = self._columns[self.layout.names[column]].to_pylist(maps_as_pydicts="strict")
        return made

    def deletions(self) -> np.ndarray:
        return np.zeros(len(self), np.bool_)


def _value(column: Any, index: int) -> Any:
    try:
        return column[index].as_py(maps_as_pydicts="strict")
    except Exception:  # Arrow's or Python's: ValueError, OverflowError, KeyError …; the message could quote the value
        return Unheld()


def columns_of(rows: TextRows, column_of: Callable[[str, list[Any]], Any]) -> Mapping[str, Any]:
    """Rows as columns of Arrow: from a column's texts, or by `column_of` from its values.

    Raises what `values` and `column_of` raise.
    """
    columns = {}
    for number, (name, kind) in enumerate(zip(rows.layout.names, rows.layout.kinds, strict=True)):
        column = None if kind is None else _read(rows.table.column(number), kind)
        columns[name] = column_of(name, rows.values(number)) if column is None else column
    return columns


def _read(texts: Values, kind: Kind) -> Any:
    """A column of texts in Arrow; None if it has no values, or none that Arrow reads as Python does."""
    arrow, compute = extra("pyarrow", "parquet"), extra("pyarrow.compute", "parquet")
    is_there = texts.length >= 0
    if kind not in _READ or not is_there.any():
        return None
    strings = packed(texts, 0)
    offsets = np.zeros(len(is_there) + 1, np.int32)
    np.cumsum(strings.sizes, out=offsets[1:])
    bits = None if is_there.all() else arrow.py_buffer(np.packbits(is_there, bitorder="little"))
    column = arrow.StringArray.from_buffers(len(is_there), *map(arrow.py_buffer, (offsets, strings.buf)), bits)
    try:
        column.validate(full=True)
        if kind == "boolean":
            return compute.equal(column, "t")
        if kind == "instant":
            if not compute.all(compute.ends_with(column, "+00")).as_py():
                return None
            column = compute.utf8_slice_codeunits(column, 0, -3)
            return column.cast(arrow.timestamp("us")).cast(arrow.timestamp("us", "UTC"))
        return column.cast(_READ[kind])
    except ValueError:
        return None


def _texts(column: Any) -> tuple[Kind | None, Values]:
    """What a column's texts say, and the texts; None and nulls if it has none."""
    arrow = extra("pyarrow", "parquet")
    kind = _kind(column.type, arrow.types)
    if kind in (None, "null"):
        return kind, Values.nulls(len(column))
    compute = extra("pyarrow.compute", "parquet")
    if kind == "boolean":
        written = compute.if_else(column, "t", "f")
    else:
        written = (column.cast(arrow.timestamp(column.type.unit)) if kind == "instant" else column).cast(arrow.string())
    if kind == "instant":
        written = compute.binary_join_element_wise(written, "+00", "")
    written = written.combine_chunks() if isinstance(written, arrow.ChunkedArray) else written
    _, offsets, data = written.buffers()
    places = np.frombuffer(offsets, np.int32)[written.offset : written.offset + len(written) + 1].astype(np.int64)
    is_there = written.is_valid().to_numpy(zero_copy_only=False)
    texts = Values(read_only(data or b""), places[:-1], np.where(is_there, np.diff(places), -1))
    return kind, packed(texts, 1)


def _kind(of: Any, types: Any) -> Kind | None:
    if types.is_decimal(of):
        return "decimal"
    if types.is_timestamp(of) and of.unit != "ns":
        return "moment" if of.tz is None else "instant" if _is_known(of) else None
    return _KINDS.get(str(of))


def _is_known(zoned: Any) -> bool:
    """Whether Python knows the type's zone."""
    moment = extra("pyarrow", "parquet").array([0], zoned)
    return not isinstance(_value(moment, 0), Unheld)
