"""Writes rows of texts as records, all at once: `publish.Encoder` takes the others, with the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from exchange.connect.convert import simple_defaults
from exchange.connect.encode import MAX_RECORD_BYTES, encoder
from exchange.connect.row_key import MAX_NAME_BYTES
from exchange.connect.text_rows import TextColumns, TextRows
from exchange.contract.key import name_schema
from exchange.contract.model import Rounding, Subject
from exchange.records.text_program import Kind, TextProgram, compile_text
from exchange.records.text_to_avro import write
from exchange.records.values import Values
from exchange.schema import wire
from exchange.schema.avro import Schema

_KEYS = ("string", "uuid", "enum", "int", "long")
_VALUE_BYTES = 12  # at most, that a field of a key takes beside its text


class WrittenRows(NamedTuple):
    """Kafka's keys and values of rows, and their names; a value is null where the row is to be processed by itself."""

    keys: Values
    values: Values
    names: Values


class _Plan(NamedTuple):
    layout: TextColumns
    program: TextProgram | None
    name: TextProgram | None
    entity: int | None
    key: Sequence[int]


class ColumnEncoder:
    """Writes rows as records of one subject; `columns`, `timezone` and `null_text` are as for `converter`."""

    def __init__(
        self,
        subject: Subject,
        schema_id: int,
        schema: Schema,
        columns: Mapping[str, str],
        timezone: str,
        rounding: Mapping[str, Rounding],
        null_text: str | None = None,
    ) -> None:
        self._subject = subject
        self._schema = schema
        self._columns = columns
        self._zone = ZoneInfo(timezone)
        self._rounding = rounding
        self._null_text = null_text
        self._no_key = None if null_text is None else null_text.encode("utf-8", "surrogatepass")
        self._head = wire.pack(schema_id, b"")
        defaults = simple_defaults(schema.type)
        self._defaults = {name: encoder(name_schema(schema, [name]))({name: value}) for name, value in defaults.items()}
        self._name_schema = name_schema(schema, subject.key) if subject.key else None
        self._plan: _Plan | None = None

    def write(self, rows: TextRows, *, named: bool = False) -> WrittenRows | None:
        """The rows as records; None if a column is of a type, or a field filled in a way, that no kernel knows."""
        _, program, name, entity, key = self._planned(rows.layout)
        if program is None or (named and name is None):
            return None
        values = write(program, self._head, rows.table)
        names = write(name, b"", rows.table) if named and name else Values.nulls(len(rows))
        keys = Values.nulls(len(rows)) if entity is None else rows.table.column(entity)
        is_odd = rows.deletions() | (values.sizes + keys.sizes > MAX_RECORD_BYTES) | (keys.length == 0)
        if self._no_key is not None:
            for index in np.flatnonzero(keys.length == len(self._no_key)).tolist():
                is_odd[index] |= keys.string(index) == self._no_key
        if key:
            sizes = sum(rows.table.column(number).sizes for number in key)
            is_odd |= sizes + _VALUE_BYTES * len(key) > MAX_NAME_BYTES
        if named:
            is_odd |= names.length < 0
        if is_odd.any():
            values = values._replace(length=np.where(is_odd, -1, values.length))
        return WrittenRows(keys, values, names)

    def names(self, rows: TextRows) -> Values | None:
        """The names of the rows, null where a row is to be looked at by itself; None if no kernel knows the key."""
        name = self._planned(rows.layout).name
        if name is None:
            return None
        names = write(name, b"", rows.table)
        is_odd = rows.deletions() | (names.length > MAX_NAME_BYTES)
        return names._replace(length=np.where(is_odd, -1, names.length))

    def _planned(self, layout: TextColumns) -> _Plan:
        if self._plan is None or not self._plan.layout.is_like(layout):
            self._plan = self._make_plan(layout)
        return self._plan

    def _make_plan(self, layout: TextColumns) -> _Plan:
        columns: dict[str, tuple[int, Kind | None]] = {}
        constants: dict[str, bytes] = {}
        for name in self._schema.fields:
            column = self._columns.get(name, name)
            if column in layout.names:
                columns[name] = layout.column(column)
            elif name in self._defaults:
                constants[name] = self._defaults[name]
            else:
                return _Plan(layout, None, None, None, ())
        program = self._compiled(self._schema, columns, constants)
        key, named = self._subject.key, None
        if self._name_schema is not None and columns.keys() >= set(key):
            named = self._compiled(self._name_schema, columns, {})
        name = self._subject.entity.field
        entity, means = columns.get(name), self._schema.fields[name].solid.means
        # Its text has to be the key, as it is of no other values.
        if entity is None or entity[1] not in ("whole", "text", "uuid") or means not in _KEYS:
            return _Plan(layout, None, named, None, ())
        return _Plan(layout, program, named, entity[0], [columns[name][0] for name in key if name in columns])

    def _compiled(
        self, schema: Schema, columns: Mapping[str, tuple[int, Kind | None]], constants: Mapping[str, bytes]
    ) -> TextProgram | None:
        return compile_text(schema, columns, constants, self._zone, self._rounding, self._null_text)
