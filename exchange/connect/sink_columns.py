"""Takes records from an inbox into a table by columns: kernels find the values of all records at once.

How columns come into the database is its own: `sink_copy` for PostgreSQL, `sink_lists` for SQLite. Each run of changes
(`copy_order`) is one statement. Records that have no program or are odd, and those that take rows away, go row by row
among them. If the database refuses anything, nothing is done, and the caller takes the records in row by row, in
smaller parts.
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
from exchange.records.locate import locate
from exchange.records.program import Program, compile_program
from exchange.records.scan import Run
from exchange.records.values import Values
from exchange.records.wire_ids import bodies, by_id, schema_ids

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
    """Records of one schema: how they are read, and the program by which they come into the table."""

    avro: Program
    program: Any
    drops_fields: bool


@dataclass
class Prepared:
    """What a part of an inbox changes: `written` records by columns, `changes` row by row, `rejected` not, and why."""

    written: int
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

    `written` is what is known of a schema id, None if its records do not fit the table; `change` makes the change of
    one record; both raise RecordError. `confirm` is called if records say something else than the terms.
    """

    def __init__(
        self,
        table: SinkTable,
        topic: str,
        written: Callable[[int], Written | None],
        change: Callable[[Record], RowChange],
        confirm: Callable[[], None],
    ) -> None:
        self._table = table
        self._way: Any = SinkCopy(table) if table.dialect.copies else SinkLists(table)
        self._topic = topic
        self._written = written
        self._change = change
        self._confirm = confirm
        self._numbers: dict[int, int] = {}  # of kinds, by schema id; BY_ROW if it has none
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
        return Prepared(int((kind > BY_ROW).sum()), [change for _, change in changes], rejected, write)

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
                located = locate(kind.avro, bodies(run.values.at(rows)))
                made = self._way.decode(kind.program, located, own[:, rows], _at(replay, rows), _at(said, rows))
                places = rows[made.is_written]
                part.kind[places] = number
                part.entity[rows], part.row[rows] = made.entity, made.row
                part.decoded.append((number, places, made))
                if len(places) and (
                    kind.drops_fields or (ROW not in key and (said.length[places] == HANDLE_BYTES).any())
                ):
                    self._confirm()
        self._by_row(partition, run, part)
        return part

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
        self._kinds.append(_Kind(compile_program(written.schema), program, written.given is not written.schema))
        return len(self._kinds) - 1


def _at(found: Heads, rows: np.ndarray) -> Heads:
    return Heads(found.start[rows], found.length[rows])
