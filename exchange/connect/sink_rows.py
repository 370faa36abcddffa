"""Writes changes into a sink's table row by row: each run of changes of one kind is a statement with many values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exchange.connect.deletions import Deletions
from exchange.connect.delivered import ROW
from exchange.connect.row_change import RowChange, runs
from exchange.connect.sink_layout import PLACE, REPLAY, TIME
from exchange.connect.statement import Statement
from exchange.connect.stuck_rows import Place

RAW = sa.types.NullType()


class SinkRows:
    """The statements for one table, within transactions of the caller's; `insert` is the dialect's."""

    def __init__(
        self, name: str, schema: str | None, key: Sequence[str], entity: str, insert: Any, deletions: Deletions
    ) -> None:
        self._name, self._schema = name, schema
        self.key, self.entity = tuple(key), entity
        self._insert = insert
        self._deletions = deletions
        self.path = (name,) if schema is None else (schema, name)
        self._upserts: dict[tuple[str, ...], Statement] = {}
        self._removals: dict[tuple[str, ...], Statement] = {}

    def write(self, connection: Connection, topic: str, changes: Sequence[RowChange]) -> None:
        """Write these changes, in a transaction of the caller's."""
        # Rows of different entities know nothing of each other, but for a unique index of the department's own: if it
        # refuses a run, `_write_accepted` finds the order in which it does not.
        by = ROW if ROW in self.key else self.entity
        for run in runs(changes, by if self.key else None):
            if not run[0].is_gone:
                self._upsert(connection, run if self.key else self._not_deleted(connection, topic, run))
            elif self.key:
                self._remove(connection, run)
            else:
                self._delete(connection, topic, run)

    def _upsert(self, connection: Connection, run: Sequence[RowChange]) -> None:
        if not run:
            return
        statement = self.upsert(tuple(run[0].row))
        statement.run_each(connection, [_numbered(change) for change in run])

    def upsert(self, names: tuple[str, ...]) -> Statement:
        """The statement for a row of these columns; its values have numbers, for a column may have any name."""
        if names not in self._upserts:
            values = {name: sa.bindparam(f"at{i}", type_=RAW) for i, name in enumerate(names)}
            self._upserts[names] = Statement(self.replacing(self.insert(names).values(values), names))
        return self._upserts[names]

    def insert(self, names: Iterable[str]) -> Any:
        """An insert of these columns."""
        return self._insert(self.target(names))

    def replacing(self, insert: Any, names: Iterable[str]) -> Any:
        """The insert that replaces rows of the same key."""
        if not self.key:
            return insert
        others = {name: insert.excluded[name] for name in names if name not in self.key}
        return insert.on_conflict_do_update(index_elements=self.key, set_=others)

    def _remove(self, connection: Connection, run: Sequence[RowChange]) -> None:
        """Remove the rows that have these values."""
        self.removal(tuple(run[0].row)).run_each(connection, [_numbered(change) for change in run])

    def removal(self, names: tuple[str, ...]) -> Statement:
        """The statement that removes the rows with values in these columns, named as in `upsert`."""
        if names not in self._removals:
            target = self.target(names)
            named = [column == sa.bindparam(f"at{i}", type_=RAW) for i, column in enumerate(target.c)]
            self._removals[names] = Statement(sa.delete(target).where(*named))
        return self._removals[names]

    def _not_deleted(self, connection: Connection, topic: str, run: Sequence[RowChange]) -> Sequence[RowChange]:
        """The rows to write of a subject without key: of a replay, only those that were not deleted since."""
        if run[0].origin.replay is None:
            return run
        gone = self._deletions.times(connection, topic, {change.row.get(self.entity) for change in run})
        return [
            each for each in run if gone.get(each.row.get(self.entity), each.origin.time_ms - 1) < each.origin.time_ms
        ]

    def _delete(self, connection: Connection, topic: str, run: Sequence[RowChange]) -> None:
        """Delete the entities' records of a subject without key; for a replay those that are not newer, or its own."""
        replay = run[0].origin.replay
        if replay is None:
            self._remove(connection, run)
        else:
            target = self.target((self.entity, TIME, REPLAY))
            of, time_ms, of_replay = target.c
            where = (of == sa.bindparam("gone", type_=RAW)) & (
                (of_replay == replay) | (time_ms <= sa.bindparam("until_ms", type_=RAW))
            )
            gone = [{"gone": each.row[self.entity], "until_ms": each.origin.time_ms} for each in run]
            connection.execute(sa.delete(target).where(where), gone)
        self._deletions.note(connection, topic, [(each.row[self.entity], each.origin.time_ms) for each in run])

    def found(self, connection: Connection, topic: str, change: RowChange) -> list[Place]:
        """Where the rows are from that such a change removes; of a subject without key, the deletion is noted."""
        target = self.target(dict.fromkeys((*change.row, *PLACE, TIME, REPLAY)))
        where = [target.c[name] == sa.bindparam(f"at{i}", type_=RAW) for i, name in enumerate(change.row)]
        if not self.key:
            self._deletions.note(connection, topic, [(change.row[self.entity], change.origin.time_ms)])
            if (replay := change.origin.replay) is not None:
                where.append((target.c[REPLAY] == replay) | (target.c[TIME] <= change.origin.time_ms))
        values = {f"at{i}": value for i, value in enumerate(change.row.values())}
        places = sa.select(*(target.c[name] for name in (*PLACE, TIME))).where(*where)
        return [Place(*row) for row in connection.execute(places, values)]

    def target(self, names: Iterable[str]) -> sa.TableClause:
        """The table with these columns, for statements."""
        return sa.table(self._name, *(sa.column(name, RAW) for name in names), schema=self._schema)


def _numbered(change: RowChange) -> dict[str, Any]:
    return {f"at{i}": value for i, value in enumerate(change.row.values())}
