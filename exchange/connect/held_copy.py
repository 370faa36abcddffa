"""The rows that a sink's table holds of an inbox, as a whole: under which grant, how many, and how they are deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from exchange.connect import refusal, sink_layout
from exchange.connect.copy_notes import CopyNotes, Note
from exchange.connect.database import translated
from exchange.connect.dialects import known as dialects
from exchange.connect.offsets import making
from exchange.connect.sink_layout import PLACE, TIME
from exchange.connect.stuck_rows import Stuck, StuckRows

AT_ONCE = 20_000  # rows deleted or emptied in one transaction: others need not wait long for their locks
COUNT_S = 5.0
_INTERRUPTED = "interrupted", "canceling statement", "call timeout", "timed out"  # in the words of each driver


class HeldCopy:
    """The rows of one inbox in one table; each method is a transaction, or several that a kill may interrupt.

    `has_ended`: a deletion was done here, of which nobody was told yet.
    """

    def __init__(
        self,
        engine: Engine,
        table: str,
        schema: str | None,
        topic: str,
        notes: CopyNotes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._name, self._schema = table, schema
        self._topic = topic
        self._notes = notes
        self._clock = clock
        self.has_ended = False
        self._dialect = dialects.of(engine)
        self._stuck = StuckRows(schema, self._dialect.insert)

    def note(self) -> Note | None:
        """What is noted of this copy; None if it was never filled under a grant."""
        with translated("read copies"), making(self._engine) as connection:
            self._notes.create(connection)
            self._stuck.create(connection)
            noted = self._notes.read(connection, self._topic)
            return noted and replace(noted, stuck=self._stuck.count(connection, self._topic))

    def hold(
        self, grant: str, until: date, fields: Iterable[str], key: Sequence[str], *, epoch: int, deletes: bool
    ) -> None:
        """Note that this grant is in force and gives these fields, after emptying the columns of others before.

        The columns of the key stay.
        """
        given, noted = set(fields), self.note()
        if noted and (gone := set(noted.fields) - given - set(key)):
            self._empty(gone)
        same = (grant, until, deletes, tuple(sorted(given)), epoch, None)
        if noted is None or same != (
            noted.grant, noted.until, noted.deletes, noted.fields, noted.epoch, noted.due_ms,
        ):  # fmt: skip
            with self._writing("note the grant") as connection:
                self._notes.write(connection, self._topic, grant, until, given, epoch=epoch, deletes=deletes)

    def end(self, grant: str, until: date, *, deletes: bool, since: float) -> Note:
        """Note that this grant is over, since that Unix time, and so that the deletion is due, if it asks for one."""
        noted = self.note()
        is_noted = noted is not None and (noted.grant, noted.deletes) == (grant, deletes)
        if not (is_noted and noted and (noted.due_ms is not None) == deletes):
            due_ms, fields = int(since * 1000) if deletes else None, noted.fields if noted else ()
            with self._writing("note the grant's end") as connection:
                self._notes.write(connection, self._topic, grant, until, fields, deletes=deletes, due_ms=due_ms)
        after = self.note()
        assert after is not None
        return after

    def delete_some(self) -> int:
        """Delete some of the sink's rows; return how many, 0 if there are none left but those that are stuck.

        Rows without `_partition` and `_offset` are the department's own, and stay.
        """
        with translated(f"delete from {self._name}"):
            try:
                gone = self._delete(self._delete_at_once)
            except refusal.raised() as error:
                if refusal.reason(error) is None:
                    raise
                gone = 0
            return gone or self._delete(self._delete_singly)

    def _delete(self, delete: Callable[[Connection], int]) -> int:
        with self._engine.begin() as connection:
            gone = delete(connection) if self._is_there(connection) else 0
            if gone:
                self._notes.change(connection, self._topic, self._now_ms())
            return gone

    def _delete_at_once(self, connection: Connection) -> int:
        table = self._target()
        gone = connection.execute(self._some(sa.delete(table), table, self._free(table))).rowcount
        self._dialect.check_deferred(connection)
        return int(gone)

    def _delete_singly(self, connection: Connection) -> int:
        layout, table, gone = sink_layout.read(connection, self._name, self._schema), self._target(), 0
        assert layout is not None
        self._dialect.check_deferred(connection)
        while not gone and self._has(connection, table, self._free(table)):
            to = connection, self._topic, layout, self._name
            gone = self._stuck.remove_singly(*to, self._free, self._now_ms())  # what stays is not free any more
        return gone

    def free(self) -> Stuck:
        """Try again to remove the rows that could not be removed; return what is stuck still."""
        with self._writing(f"delete from {self._name}") as connection:
            if self._stuck.count(connection, self._topic).rows:
                layout = sink_layout.read(connection, self._name, self._schema)
                if layout is None or layout.missing((*PLACE, TIME)):
                    self._stuck.forget(connection, self._topic)
                else:
                    self._dialect.check_deferred(connection)
                    if self._stuck.retry(connection, self._topic, layout, self._name):
                        self._notes.change(connection, self._topic, self._now_ms())
            return self._stuck.count(connection, self._topic)

    def finish(self) -> bool:
        """Note that the deletion is done, if no row is left; return whether this is so."""
        with self._writing(f"look at {self._name}") as connection:
            if self._is_there(connection):
                table = self._target()
                if self._has(connection, table, self._ours(table)):
                    return False
            self._stuck.forget(connection, self._topic)
            self._notes.finish(connection, self._topic, self._now_ms())
        self.has_ended = True
        return True

    def count(self) -> bool:
        """Count the rows and note the number; return whether `COUNT_S` was enough."""
        with translated(f"count {self._name}"):
            try:
                with self._engine.begin() as connection, self._dialect.in_time(connection, COUNT_S):
                    table, noted = self._target(), self._notes.read(connection, self._topic)
                    held = sa.select(sa.func.count()).select_from(table).where(self._ours(table))
                    rows = connection.scalar(held) if self._is_there(connection) else 0
                    self._notes.count(connection, self._topic, rows or 0, noted.changed_ms if noted else None)
            except DBAPIError as error:
                if any(text in str(error.orig) for text in _INTERRUPTED):
                    return False
                raise
        return True

    def _empty(self, fields: Iterable[str]) -> None:
        """Set these columns to null, as far as the table has them."""
        with translated(f"look at {self._name}"), self._engine.connect() as connection:
            layout = sink_layout.read(connection, self._name, self._schema)
        names = sorted(name for name in fields if layout and not layout.missing([name]))
        if not names:
            return
        table = self._target(names)
        filled = sa.and_(self._ours(table), sa.or_(*(table.c[name].is_not(None) for name in names)))
        emptied = self._some(sa.update(table), table, filled).values(dict.fromkeys(names, sa.null()))
        while True:
            with self._writing(f"empty columns of {self._name}") as connection:
                if not connection.execute(emptied).rowcount:
                    return
                self._notes.change(connection, self._topic, self._now_ms())

    @contextmanager
    def _writing(self, what: str) -> Iterator[Connection]:
        with translated(what), self._engine.begin() as connection:
            yield connection

    def _is_there(self, connection: Connection) -> bool:
        layout = sink_layout.read(connection, self._name, self._schema)
        return layout is not None and not layout.missing(PLACE)

    def _has(self, connection: Connection, table: sa.TableClause, wanted: sa.ColumnElement[bool]) -> bool:
        """Whether a row of the table fulfils `wanted`."""
        return connection.scalar(sa.select(table.c[PLACE[0]]).where(wanted).limit(1)) is not None

    def _target(self, names: Iterable[str] = ()) -> sa.TableClause:
        row = [self._dialect.row_id] if self._dialect.row_id else []
        columns = dict.fromkeys([*row, *PLACE, *names])
        return sa.table(self._name, *(sa.column(name) for name in columns), schema=self._schema)

    def _ours(self, table: sa.TableClause) -> sa.ColumnElement[bool]:
        return table.c[PLACE[0]].is_not(None)

    def _free(self, table: sa.TableClause) -> sa.ColumnElement[bool]:
        return self._ours(table) & self._stuck.not_noted(self._topic, table)

    def _some(self, change: Any, table: sa.TableClause, wanted: sa.ColumnElement[bool]) -> Any:
        """The change, for `AT_ONCE` of the rows that fulfil `wanted`."""
        return self._dialect.some(change, table, wanted, AT_ONCE)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
