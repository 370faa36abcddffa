"""Takes records from an inbox into a table by columns: kernels find the values of all records at once.

How columns come into the database is its own: `sink_copy` for PostgreSQL, `sink_lists` for SQLite. Each run of changes
(`copy_order`) is one statement: rows that come, or rows that go. Records that have no program or are odd go row by row
among them, and so do deletions from a table without key. If the database refuses anything, nothing is done, and the
caller takes the records in row by row, in smaller parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from sqlalchemy.engine import Connection

from exchange.bus.record import Record, records_of
from exchange.connect import copy_order
from exchange.connect.copy_order import BY_ROW, LEFT_OUT
from exchange.connect.copy_values import hashes
from exchange.connect.delivered import HANDLE_BYTES, ROW, Written
from exchange.connect.row_change import RowChange
from exchange.connect.sink_copy import SinkCopy
from exchange.connect.sink_lists import SinkLists
from exchange.connect.sink_table import SinkTable
from exchange.errors import RecordError
from exchange.names import REPLAY_HEADER, ROW_HEADER
from exchange.records.heads import MALFORMED, NONE, Heads, heads
from exchange.records.locate import Located, locate
from exchange.records.program import Program, compile_program
from exchange.records.scan import Run
from exchange.records.values import Values
from exchange.records.wire_ids import NULL, bodies, by_id, schema_ids
from exchange.schema.avro import Schema

_RUNS, _RUNS_SHARE = 8, 100  # at most so many runs, and a hundredth of the records: then single statements cost less
_ORDERED = np.uint64(1)


class Decoded(Protocol):
    """Rows of some records: `is_written` (bool[n]) says of which; those that need a closer look are left out.

    `entity` and `row` (uint64[n]) are hashes of the columns by which the records of one entity, and the versions of one
    row, are told apart; equal values have equal ones.
    """

    @property
    def is_written(self) -> np.ndarray: ...

    @property
    def entity(self) -> np.ndarray: ...

    @property
    def row(self) -> np.ndarray: ...


class _Kind(NamedTuple):
    """Records of one schema: how they are read (None: not at all), and the program by which they change the table."""

    avro: Program | None
    program: Any
    drops_fields: bool = False
    is_gone: bool = False


@dataclass
class Prepared:
    """What a part of an inbox changes: so many records by columns, `changes` row by row, `rejected` not, and why."""

    written: int
    removed: int
    changes: list[RowChange]
    rejected: list[tuple[tuple[int, int], str]]
    write: Callable[[Connection], None]


@dataclass
class _Part:
    """The changes of one run of records, in their order; see `copy_order.order`."""

    kind: np.ndarray
    entity: np.ndarray
    row: np.ndarray
    decoded: list[tuple[int, np.ndarray, Decoded]] = field(default_factory=list)
    changes: list[tuple[int, RowChange]] = field(default_factory=list)
    rejected: list[tuple[tuple[int, int], str]] = field(default_factory=list)


class SinkColumns:
    """Prepares what is taken in by columns.

    `written` is what is known of a schema id, None if its records do not fit the table; `named` the schema of a row's
    name by that of its record; `change` makes the change of one record; all raise RecordError. `confirm` is called if
    records say something else than the terms.
    """

    def __init__(
        self,
        table: SinkTable,
        topic: str,
        written: Callable[[int], Written | None],
        named: Callable[[int], Schema],
        change: Callable[[Record], RowChange],
        confirm: Callable[[], None],
    ) -> None:
        self._table = table
        self._way: Any = SinkCopy(table) if table.dialect.copies else SinkLists(table)
        self._topic = topic
        self._written = written
        self._named = named
        self._change = change
        self._confirm = confirm
        # The numbers of kinds, by schema id, for rows that come and for names of rows that go; BY_ROW if it has none.
        self._numbers: dict[int, int] = {}
        self._numbers_gone: dict[int | None, int] = {}  # None: of values that are names by themselves
        self._kinds: list[_Kind | None] = [None]

    def prepare(self, runs: Mapping[int, Run]) -> Prepared | None:
        """What these records change, by partition; None if it would take too many statements."""
        parts = [self._part(partition, run) for partition, run in runs.items()]
        kind = np.concatenate([part.kind for part in parts])
        entity = np.concatenate([part.entity for part in parts])
        if self._table.key and not self._way.takes_versions:
            row = np.concatenate([part.row for part in parts])
        else:
            row = np.arange(len(kind), dtype=np.uint64) << np.uint64(1)  # as if each were a row of its own
        firsts = np.cumsum([0, *(len(part.kind) for part in parts)])
        changes = [(int(at + i), each) for part, at in zip(parts, firsts, strict=False) for i, each in part.changes]
        self._place(changes, entity)
        found = copy_order.order(kind, entity | _ORDERED, row | _ORDERED, _RUNS + len(kind) // _RUNS_SHARE)
        if found is None:
            return None
        run, kinds = found
        made: dict[int, list[tuple[Decoded, np.ndarray]]] = {}
        for part, at in zip(parts, firsts, strict=False):
            for number, places, decoded in part.decoded:
                made.setdefault(number, []).append((decoded, run[at + places]))
        by_run: dict[int, list[RowChange]] = {}
        for i, change in changes:
            by_run.setdefault(int(run[i]), []).append(change)

        def write(connection: Connection) -> None:
            programs = {number: self._kind(number).program for number in made}
            brought = {n: self._way.bring(connection, program, made[n]) for n, program in programs.items()}
            for i, number in enumerate(kinds.tolist()):
                if number == BY_ROW:
                    self._table.rows.write(connection, self._topic, by_run[i])
                else:
                    self._way.write(connection, programs[number], brought[number], i)

        rejected = [each for part in parts for each in part.rejected]
        gone = int(np.isin(kind, [number for number in made if self._kind(number).is_gone]).sum())
        return Prepared(int((kind > BY_ROW).sum()) - gone, gone, [change for _, change in changes], rejected, write)

    def _kind(self, number: int) -> _Kind:
        found = self._kinds[number]
        assert found is not None
        return found

    def _place(self, changes: Sequence[tuple[int, RowChange]], entity: np.ndarray) -> None:
        """Set whose rows these changes concern; if that cannot be told from columns, everything keeps its order."""
        if not self._table.key:
            entity[:] = _ORDERED
            return
        if not changes:
            return
        by = ROW if ROW in self._table.key else self._table.entity
        whose = [change.row.get(by) for _, change in changes]
        texts = [each.encode(errors="surrogatepass") for each in whose if isinstance(each, str)]
        if len(texts) == len(changes) and self._way.keeps_text(by):
            entity[[i for i, _ in changes]] = hashes(Values.of(texts))
        else:
            entity[:] = _ORDERED

    def _part(self, partition: int, run: Run) -> _Part:
        replay, said = heads(run, REPLAY_HEADER), heads(run, ROW_HEADER)
        ids, key = schema_ids(run.values), self._table.key
        plain = (replay.length != MALFORMED) & (said.length != MALFORMED) & (ids >= 0)
        if not key:  # a replay must not bring back what was deleted
            plain &= replay.length == NONE
        part = _Part(np.zeros(run.rows, np.int64), np.zeros(run.rows, np.uint64), np.zeros(run.rows, np.uint64))
        own = np.stack([np.full(run.rows, partition, np.int64), run.offset, run.timestamp])
        for schema_id, rows in by_id(ids, np.flatnonzero(plain)):
            number = self._number(schema_id)
            if number != BY_ROW:
                kind = self._kind(number)
                places = self._decode(part, number, rows, bodies(run.values.at(rows)), own, replay, said)
                if len(places) and (
                    kind.drops_fields or (ROW not in key and (said.length[places] == HANDLE_BYTES).any())
                ):
                    self._confirm()
        if key:
            self._gone(run, part, (ids == NULL) & (said.length != MALFORMED), own, replay, said)
        self._by_row(partition, run, part)
        return part

    def _gone(self, run: Run, part: _Part, where: np.ndarray, own: np.ndarray, replay: Heads, said: Heads) -> None:
        """Decode the records that take away rows by their names, or all those of an entity."""
        buf = run.values.buf
        if ROW in self._table.key:
            rows = np.flatnonzero(where)
            if len(rows) and (number := self._number_gone(None)) != BY_ROW:
                self._decode(part, number, rows, _no_bodies(buf, rows), own, replay, said)
            return
        names = Values(buf, said.start, said.length)
        ids = schema_ids(names)
        for schema_id, rows in by_id(ids, np.flatnonzero(where & (ids >= 0))):
            if (number := self._number_gone(schema_id)) != BY_ROW:
                self._decode(part, number, rows, bodies(names.at(rows)), own, replay, said)
        rows = np.flatnonzero(where & (said.length == NONE) & (run.keys.length >= 0))
        rows = rows[[_is_text(key) for key in run.keys.at(rows).tolist()]] if len(rows) else rows
        if len(rows) and (number := self._number_gone(None)) != BY_ROW:
            keys = Heads(run.keys.start, run.keys.length)
            self._decode(part, number, rows, _no_bodies(buf, rows), own, replay, keys)

    def _decode(
        self, part: _Part, number: int, rows: np.ndarray, found: Values, own: np.ndarray, replay: Heads, row: Heads
    ) -> np.ndarray:
        """Decode the bodies of these records, all of one kind; return the places of those that need no closer look."""
        avro, program, _, _ = self._kind(number)
        if avro is not None:
            located = locate(avro, found)
        else:
            marks, status = np.zeros((found.rows, 1), np.int32), np.zeros(found.rows, np.uint8)
            located = Located(found.buf, found.start, marks, status)
        made = self._way.decode(program, located, own[:, rows], _at(replay, rows), _at(row, rows))
        places: np.ndarray = rows[made.is_written]
        part.kind[places] = number
        part.entity[rows], part.row[rows] = made.entity, made.row
        part.decoded.append((number, places, made))
        return places

    def _by_row(self, partition: int, run: Run, part: _Part) -> None:
        rows = np.flatnonzero(part.kind == BY_ROW)
        for i, record in zip(rows.tolist(), records_of(run.at(rows), self._topic, partition), strict=True):
            try:
                part.changes.append((i, self._change(record)))
            except RecordError as error:
                part.kind[i] = LEFT_OUT
                part.rejected.append(((partition, record.offset), error.message))

    def _number(self, schema_id: int) -> int:
        if schema_id not in self._numbers:
            self._numbers[schema_id] = self._compiled(schema_id)
        return self._numbers[schema_id]

    def _compiled(self, schema_id: int) -> int:
        try:
            written = self._written(schema_id)
        except RecordError:
            return BY_ROW
        if written is None:
            return BY_ROW
        program = self._way.compile(written)
        if program is None:
            return BY_ROW
        return self._add(_Kind(compile_program(written.schema), program, written.given is not written.schema))

    def _number_gone(self, schema_id: int | None) -> int:
        if schema_id not in self._numbers_gone:
            compiled = self._compiled_value() if schema_id is None else self._compiled_name(schema_id)
            self._numbers_gone[schema_id] = compiled
        return self._numbers_gone[schema_id]

    def _compiled_name(self, schema_id: int) -> int:
        try:
            schema = self._named(schema_id)
        except RecordError:
            return BY_ROW
        if not all(map(self._table.keeps, schema.fields.values())):
            return BY_ROW  # a value that its column rounds would be another row's
        program = self._way.compile_name(schema)
        return BY_ROW if program is None else self._add(_Kind(compile_program(schema), program, is_gone=True))

    def _compiled_value(self) -> int:
        name = ROW if ROW in self._table.key else self._table.entity
        program = self._way.compile_piece(name) if self._table.keeps_text(name) else None
        return BY_ROW if program is None else self._add(_Kind(None, program, is_gone=True))

    def _add(self, kind: _Kind) -> int:
        self._kinds.append(kind)
        return len(self._kinds) - 1


def _no_bodies(buf: np.ndarray, rows: np.ndarray) -> Values:
    return Values(buf, np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64))


def _is_text(key: bytes | None) -> bool:
    try:
        return key is not None and key.decode() is not None
    except UnicodeDecodeError:
        return False


def _at(found: Heads, rows: np.ndarray) -> Heads:
    return Heads(found.start[rows], found.length[rows])
