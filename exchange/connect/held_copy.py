"""The rows that a sink's table holds of an inbox, as a whole: under which grant, how many, and how they are deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from exchange.connect import sink_layout
from exchange.connect.copy_notes import CopyNotes, Note
from exchange.connect.database import translated
from exchange.connect.dialects import known as dialects
from exchange.connect.offsets import making
from exchange.connect.sink_layout import PLACE

AT_ONCE = 20_000  # rows deleted or emptied in one transaction: others need not wait long for their locks
COUNT_S = 5.0
_INTERRUPTED = "interrupted", "canceling statement"


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

    def note(self) -> Note | None:
        """What is noted of this copy; None if it was never filled under a grant."""
        with translated("read copies"), making(self._engine) as connection:
            self._notes.create(connection)
            return self._notes.read(connection, self._topic)

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
        """Delete some of the sink's rows; return how many, 0 if there are none left.

        Rows without `_partition` and `_offset` are the department's own, and stay.
        """
        with self._writing(f"delete from {self._name}") as connection:
            if not self._is_there(connection):
                return 0
            table = self._target()
            gone = connection.execute(self._some(sa.delete(table), table, self._ours(table)))
            if gone.rowcount:
                self._notes.change(connection, self._topic, self._now_ms())
            return int(gone.rowcount)

    def finish(self) -> bool:
        """Note that the deletion is done, if no row is left; return whether this is so."""
        with self._writing(f"look at {self._name}") as connection:
            if self._is_there(connection):
                table = self._target()
                if connection.scalar(sa.select(sa.exists().where(self._ours(table)))):
                    return False
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

    def _target(self, names: Iterable[str] = ()) -> sa.TableClause:
        row = [self._dialect.row_id] if self._dialect.row_id else []
        columns = dict.fromkeys([*row, *PLACE, *names])
        return sa.table(self._name, *(sa.column(name) for name in columns), schema=self._schema)

    def _ours(self, table: sa.TableClause) -> sa.ColumnElement[bool]:
        return table.c[PLACE[0]].is_not(None)

    def _some(self, change: Any, table: sa.TableClause, wanted: sa.ColumnElement[bool]) -> Any:
        """The change, for `AT_ONCE` of the rows that fulfil `wanted`."""
        return self._dialect.some(change, table, wanted, AT_ONCE)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
