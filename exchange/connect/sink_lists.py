"""Brings records into SQLite by columns: kernels find the values, each column becomes a list, and lists become rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from sqlalchemy.engine import Connection

from exchange.connect.copy_values import hashes
from exchange.connect.delivered import HANDLE_BYTES, ROW, Written
from exchange.connect.sink_layout import PLACE, REPLAY, TIME
from exchange.connect.sink_table import SinkTable
from exchange.connect.sink_values import UnstorableError
from exchange.connect.statement import Statement
from exchange.names import REPLAY_ID
from exchange.records.heads import Heads
from exchange.records.locate import Located
from exchange.records.pick import Picked, is_plain, pick
from exchange.records.values import Values
from exchange.schema.avro import Schema
from exchange.schema.types import Field

_ODD = object()
_PLACE_AND_TIME = (*PLACE, TIME)
Column = Callable[[np.ndarray, Picked], list[Any]]
"""Makes a field's column into what the driver stores; _ODD for a value that needs a closer look."""


class ListProgram(NamedTuple):
    """Columns of these names; the fields among them with their numbers in the record and how they are made."""

    names: tuple[str, ...]
    fields: tuple[tuple[int, Field, Column], ...]
    merge: Statement


class ListRows(NamedTuple):
    """Rows of the records that `is_written` (bool[n]) names; `entity` and `row` (uint64[n]) as in CopyRows."""

    rows: list[tuple[Any, ...]]
    is_written: np.ndarray
    entity: np.ndarray
    row: np.ndarray


class SinkLists:
    """How records come into one SQLite table by columns; a run may hold several versions of a row, in their order."""

    takes_versions = True

    def __init__(self, table: SinkTable) -> None:
        self._table = table
        self._own = (*((ROW,) if ROW in table.key else ()), *PLACE, TIME, REPLAY)

    def keeps_text(self, name: str) -> bool:
        """Whether equal texts in the column have equal hashes, and these are those of the text."""
        return True

    def compile(self, written: Written) -> ListProgram | None:
        """The program for records of that schema; None if they have to go row by row."""
        return self._compiled(written.schema, written.given.fields, self._own, self._table.rows.upsert)

    def compile_name(self, schema: Schema) -> ListProgram | None:
        """The program for bodies that name rows to be removed."""
        return self._compiled(schema, schema.fields, (), self._table.rows.removal)

    def compile_piece(self, name: str) -> ListProgram | None:
        """The program for values of that column whose rows are to be removed; they come in place of `row`."""
        return ListProgram((name,), (), self._table.rows.removal((name,)))

    def _compiled(
        self,
        schema: Schema,
        given: Collection[str],
        own: tuple[str, ...],
        statement: Callable[[tuple[str, ...]], Statement],
    ) -> ListProgram | None:
        fields = []
        for number, (name, field) in enumerate(schema.fields.items()):
            if name in given:
                if not is_plain(field) and field.solid.means != "null":
                    return None
                convert = self._table.dialect.adapter(field, self._table.layout.type_of(name))
                fields.append((number, field, _column(field, convert)))
        names = (*(field.name for _, field, _ in fields), *own)
        return ListProgram(names, tuple(fields), statement(names))

    def decode(self, program: ListProgram, located: Located, own: np.ndarray, replay: Heads, row: Heads) -> ListRows:
        """The rows of these bodies, as `copy_rows`."""
        n, key = len(located.start), self._table.key
        entity, buf = np.zeros(n, np.uint64), located.buf
        columns: list[list[Any]] = []
        odd = located.status != 0
        for number, field, made in program.fields:
            if field.solid.means == "null":
                columns.append([None] * n)
                continue
            picked = pick(located, number, field)
            if field.name in key:
                odd |= picked.length < 0
            if field.name == self._table.entity:
                entity = hashes(Values(buf, picked.value, picked.length)) if field.solid.kind == "string" else entity
            columns.append(made(buf, picked))
        for name in program.names[len(columns) :]:
            if name == ROW:
                columns.append(_handles(buf, row))
                entity = hashes(Values.of([b"" if each is _ODD else each.encode() for each in columns[-1]]))
            elif name == REPLAY:
                columns.append(_replays(buf, replay))
            elif name in _PLACE_AND_TIME:
                columns.append(own[_PLACE_AND_TIME.index(name)].tolist())
            else:
                columns.append(_texts(buf, Picked(row.start, row.length)))
                entity = hashes(Values(buf, row.start, row.length))
        for column in columns:
            if _ODD in column:
                odd |= np.array([value is _ODD for value in column])
        rows = list(zip(*columns, strict=True))
        if odd.any():
            rows = [each for each, is_odd in zip(rows, odd.tolist(), strict=True) if not is_odd]
        return ListRows(rows, ~odd, entity, np.zeros(n, np.uint64))

    def bring(self, connection: Connection, program: ListProgram, made: Sequence[tuple[ListRows, np.ndarray]]) -> Any:
        """What is needed for `write`: the rows, and the run of each."""
        return [each for rows, _ in made for each in rows.rows], np.concatenate([runs for _, runs in made])

    def write(self, connection: Connection, program: ListProgram, brought: Any, run: int) -> None:
        """Write, or remove, the rows of that run."""
        rows, runs = brought
        mine = rows if (runs == run).all() else [rows[i] for i in np.flatnonzero(runs == run).tolist()]
        driver: Any = connection.connection
        driver.cursor().executemany(program.merge.text(connection), mine)


def _column(field: Field, convert: Callable[[Any], Any]) -> Column:  # noqa: PLR0912
    """How a column is made: as fast as its type allows, by `sink_values` where it may refuse a value."""
    solid = field.solid
    match solid.means:
        case "int" | "long":
            return partial(_numbers, convert)
        case "boolean":
            return lambda _, picked: _nulled(picked.value.tolist(), picked)
        case "float":
            return lambda _, picked: _floats(picked.value.astype(np.uint32).view(np.float32), picked)
        case "double":
            return lambda _, picked: _floats(picked.value.view(np.float64), picked)
        case "string":
            return _texts
        case "enum":
            symbols = solid.symbols
            return lambda _, picked: _nulled([symbols[i] for i in picked.value.tolist()], picked)
        case "date":
            return lambda _, picked: _nulled(picked.value.astype("datetime64[D]").astype(str).tolist(), picked)
        case "timestamp-millis" | "local-timestamp-millis":
            return lambda _, picked: _moments(picked.value * 1000, picked)
        case "timestamp-micros" | "local-timestamp-micros":
            return lambda _, picked: _moments(picked.value, picked)
        case "time-millis":
            return lambda _, picked: _nulled([_clock(us) for us in (picked.value * 1000).tolist()], picked)
        case "time-micros":
            return lambda _, picked: _nulled([_clock(us) for us in picked.value.tolist()], picked)
        case "uuid":
            return lambda buf, picked: [_uuid(text) for text in _texts(buf, picked)]
        case "decimal":
            return partial(_decimals, convert, solid.precision, solid.scale)
    return _pieces


def _nulled(values: list[Any], picked: Picked) -> list[Any]:
    for i in np.flatnonzero(picked.length < 0).tolist():
        values[i] = None
    return values


def _numbers(convert: Callable[[Any], Any], _: np.ndarray, picked: Picked) -> list[Any]:
    values = _nulled(picked.value.tolist(), picked)
    most, least = picked.value.max(initial=0), picked.value.min(initial=0)
    return values if least >= -(1 << 53) and most <= 1 << 53 else [_tried(convert, each) for each in values]


def _floats(values: np.ndarray, picked: Picked) -> list[Any]:
    found = _nulled(values.astype(np.float64).tolist(), picked)
    return [_ODD if v is not None and math.isnan(v) else v for v in found] if np.isnan(values).any() else found


def _pieces(buf: np.ndarray, picked: Picked) -> list[Any]:
    data, places = buf.data, zip(picked.value.tolist(), picked.length.tolist(), strict=True)
    return [None if length < 0 else bytes(data[at : at + length]) for at, length in places]


def _texts(buf: np.ndarray, picked: Picked) -> list[Any]:
    data, places = buf.data, zip(picked.value.tolist(), picked.length.tolist(), strict=True)
    return [None if length < 0 else str(data[at : at + length], "utf-8") for at, length in places]


def _moments(us: np.ndarray, picked: Picked) -> list[Any]:
    texts = np.datetime_as_string(us.astype("datetime64[us]")).tolist()
    return _nulled([text.replace("T", " ") for text in texts], picked)


@lru_cache(maxsize=4096)
def _clock(us: int) -> str:
    return str(datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000).time())


def _uuid(text: Any) -> Any:
    try:
        return text if text is None or str(UUID(text)) == text else _ODD
    except ValueError:
        return _ODD


def _decimals(convert: Callable[[Any], Any], precision: int, scale: int, buf: np.ndarray, picked: Picked) -> list[Any]:
    whole = [None if data is None else int.from_bytes(data, "big", signed=True) for data in _pieces(buf, picked)]
    return [
        None if n is None else _ODD if abs(n) >= 10**precision else _tried(convert, Decimal(f"{n}e-{scale}"))
        for n in whole
    ]


def _tried(convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except UnstorableError:
        return _ODD


def _handles(buf: np.ndarray, row: Heads) -> list[Any]:
    found = _pieces(buf, Picked(row.start, row.length))
    return [each.hex() if each is not None and len(each) == HANDLE_BYTES else _ODD for each in found]


def _replays(buf: np.ndarray, replay: Heads) -> list[Any]:
    if (replay.length < 0).all():
        return [None] * len(replay.length)
    found = _pieces(buf, Picked(replay.start, replay.length))
    known = {each: _replay(each) for each in set(found)}
    return [known[each] for each in found]


def _replay(said: bytes | None) -> Any:
    if said is None:
        return None
    text = said.decode(errors="replace")
    return text if re.fullmatch(REPLAY_ID, text) else _ODD
