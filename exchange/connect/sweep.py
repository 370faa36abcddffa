"""A table whose deleted rows are noticed: its keys are compared with the names of the rows that are published."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.engine import Engine

from exchange.connect.config import SourceConfig
from exchange.connect.database import translated
from exchange.connect.published import others
from exchange.connect.query import SelectedColumns, origin, stream
from exchange.connect.roll_call import RollCall
from exchange.connect.source import Page, Progress, Row
from exchange.connect.sql_source import SqlSource
from exchange.errors import RecordError

KEYS_AT_ONCE = 20_000


class SweptTable(SqlSource):
    """Publishes the changes of a table as SqlSource does, and deletions of rows whose keys are no longer in it.

    It compares when it starts, and `every` so long after that: one page of keys with every look, so that changes flow
    meanwhile. A row that comes (back) during a comparison is not deleted: as it has a new time, it is published, so
    that it counts as seen, or it is published after the deletion. The first comparison also adopts the rows that were
    published before `sweep` was set.
    """

    def __init__(
        self,
        config: SourceConfig,
        engine: Engine,
        columns: Sequence[str] | None,
        required: Sequence[str],
        roll_call: RollCall,
        *,
        keys_at_once: int = KEYS_AT_ONCE,
        monotonic: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        super().__init__(config, engine, columns, required, monotonic=monotonic, **options)
        assert config.sweep is not None
        self._every_s = config.sweep.every_s
        self._roll_call = roll_call
        self._keys = Keys(config, engine, roll_call.encoder.key, keys_at_once)
        self._due = monotonic()
        self._last: Sequence[Any] | None = None  # the key up to which a comparison has come
        self._is_comparing = False

    def open(self, progress: Progress) -> None:
        self._roll_call.open(progress)
        super().open(others(progress))
        self._keys.open()

    def pages(self) -> Iterator[Page]:
        if self._roll_call.is_asking:
            yield from self._compare(whole=True)
        for page in super().pages():
            yield self._roll_call.remembered(page)
        if self._is_comparing or self._monotonic() >= self._due:
            yield from self._compare(whole=False)

    def settled(self) -> bool:
        return super().settled() and not self._is_comparing and self._monotonic() < self._due

    def close(self) -> None:
        self._roll_call.close()
        super().close()

    def _compare(self, *, whole: bool) -> Iterator[Page]:
        """Look at the next keys, or at all; after the last ones, publish what is gone."""
        rows = self._roll_call.rows
        if not self._is_comparing:
            self._is_comparing, self._last = True, None
            rows.begin()
        while True:
            found = self._keys.after(self._last)
            there = {name: row for row in found if (name := self._name(row)) is not None}
            if not rows.is_complete:
                live = [name for name, row in there.items() if not self._deletes(row)]
                if change := rows.change(dict.fromkeys(live, True)):
                    yield Page([], change)
            rows.see(there)
            if self._keys.is_last(found):
                break
            self._last = self._keys.place(found[-1])
            if not whole:
                return
        yield from self._roll_call.check()
        yield from self._roll_call.deletions()
        if not rows.is_complete:
            yield Page([], rows.completed())
        self._is_comparing = False
        self._due = self._monotonic() + self._every_s

    def _name(self, row: Row) -> bytes | None:
        """The row's name; None if its key is not valid: so it was never published under that key."""
        try:
            return self._roll_call.encoder.name(row)
        except RecordError:
            return None


class Keys:
    """The keys in a table, in pages, in an order for which there is an index if possible; `columns` are the key's."""

    def __init__(self, config: SourceConfig, engine: Engine, fields: Sequence[str], at_once: int) -> None:
        self._config = config
        self._engine = engine
        self.columns = list(dict.fromkeys(config.columns.get(field, field) for field in fields))
        self._at_once = at_once
        self.has_index = True

    def open(self) -> None:
        """Choose the order."""
        with translated(f"look at {self._config.subject}"):
            indexes = self._indexes()
        fitting = (names[: len(self.columns)] for names in indexes or ())
        chosen = next((names for names in fitting if set(names) == set(self.columns)), None)
        self.has_index = indexes is None or chosen is not None
        self._order = chosen or self.columns
        more = [self._config.deleted.column] if self._config.deleted else []
        self._names = list(dict.fromkeys([*self._order, *more]))
        with translated(f"look at {self._config.subject}"):
            self._selection = SelectedColumns(self._engine, self._config, self._names)

    def after(self, last: Sequence[Any] | None) -> list[dict[str, Any]]:
        """The rows whose keys follow; a row without a whole key is left out."""
        rows = origin(self._config, self._names)
        key = [rows.c[name] for name in self._order]
        query = select(*(self._selection.value(rows.c[name]) for name in self._names)).where(
            *(column.is_not(None) for column in key)
        )
        if last is not None:
            query = query.where(self._selection.after(key, last))
        query = query.order_by(*self._selection.order(*key)).limit(self._at_once)
        with translated(f"read the keys of {self._config.subject}"), self._engine.connect() as connection:
            found: list[Sequence[Any]] = list(stream(connection, query))
        return [dict(zip(self._names, row, strict=True)) for row in found]

    def is_last(self, rows: Sequence[Row]) -> bool:
        """Whether no rows follow these."""
        return len(rows) < self._at_once

    def place(self, row: Row) -> list[Any]:
        """What `after` needs in order to go on behind the row."""
        return [row[name] for name in self._order]

    def _indexes(self) -> list[list[str]] | None:
        """The columns of each index; None if it is a view."""
        schema, _, name = (self._config.table or "").rpartition(".")
        there, of = inspect(self._engine), schema or None
        if not there.has_table(name, of) or name in there.get_view_names(of):
            return None
        unique = [found["column_names"] for found in there.get_unique_constraints(name, of)]
        indexes = [[column or "" for column in found["column_names"]] for found in there.get_indexes(name, of)]
        return [there.get_pk_constraint(name, of)["constrained_columns"], *unique, *indexes]
