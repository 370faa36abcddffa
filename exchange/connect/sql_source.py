"""Rows out of a table or query of a department's database, in the order of their changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import FromClause, Select, bindparam, column, func, inspect, select, table, text, tuple_
from sqlalchemy.engine import Engine
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType

from exchange.connect.columns import PROGRESS, Columns
from exchange.connect.config import SourceConfig
from exchange.connect.database import DatabaseConfigError, translated
from exchange.connect.source import Page, Progress, Source
from exchange.connect.window import Window, before, instant, latest, row_hash

RAW = NullType()  # values as the driver gives and takes them: SQLAlchemy would round SQLite's decimals
FETCH_ROWS = 20_000  # at a time: without an index, each fetch sorts the whole table
ODD_TIMES = 20  # how many rows of a time that is none or in the future may stand before the newest


class RepeatedCursorError(DatabaseConfigError):
    """Two rows have the same timestamp and id, so that one of them could be passed over."""

    code = "repeated-cursor"


class ColumnGoneError(DatabaseConfigError):
    """A column from which rows were published is not there any more."""

    code = "column-gone"


class SqlSource(Source):
    """Sweeps over a table in the order of (time, id), from a little before the newest row that was published.

    It reads the `columns` (None: all there are), and does not open without the `required` ones; once
    open, `names` are those that rows have.
    Each sweep begins `lookback_s` before that row, so that a transaction which commits late is
    still seen, and passes over what the window already holds. Once no row is newer for
    `lookback_s`, the sweeps begin at the newest row itself.
    """

    def __init__(
        self,
        config: SourceConfig,
        engine: Engine,
        columns: Sequence[str] | None,
        required: Sequence[str] = (),
        *,
        fetch_rows: int | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__({})
        assert config.cursor is not None
        self._config = config
        self.cursor = config.cursor
        self._engine = engine
        self._columns = columns
        self._required = required
        self._fetch_rows = fetch_rows or max(FETCH_ROWS, config.page_rows)
        self.names: list[str] = []
        self._clock = clock
        self._monotonic = monotonic
        self._zone = ZoneInfo(config.timezone)

    def open(self, progress: Progress) -> None:
        pages = {name: value for name, value in progress.items() if name != PROGRESS}
        self._window = Window(self._config.lookback_s, pages)
        self._newest_since = self._monotonic()
        with translated(f"open {self._config.subject}"):
            available = columns_of(self._engine, self._config)
        cursor = (self.cursor.time, self.cursor.id)
        missing = [name for name in dict.fromkeys([*self._required, *cursor]) if name not in available]
        if missing:
            raise DatabaseConfigError(
                f"{self._config.table or 'the query'} has no column {', '.join(missing)}",
                remedy="correct `columns` or `cursor`; one that may be missing goes under `optional`, and its field "
                "needs a default in the schema",
            )
        had = Columns(progress, self._columns, self._config.optional)
        if gone := had.gone(available):
            raise ColumnGoneError(
                f"{self._config.table or 'the query'} no longer has column {', '.join(gone)}",
                remedy="bring it back, or give its new name under `columns`; if the fields shall take the schema's "
                f"defaults from now on, `optional: [{', '.join(gone)}]`",
            )
        # An optional column that is not there is left out of the row, so that the field's default is taken.
        self.names = [name for name in dict.fromkeys([*(self._columns or available), *cursor]) if name in available]
        self._unnoted: dict[str, bytes | None] = dict(had.noted(self.names))
        self._fresh = not pages

    def pages(self) -> Iterator[Page]:
        started = self._monotonic()
        known = self._window.known()
        newest = self._newest()
        low, last = self._window.low, None
        while True:
            rows = self._fetch(low, last)
            if not rows:
                break
            moments = [row[self._time] for row in rows]
            last = (moments[-1], rows[-1][self._id])
            hashes = np.array([row_hash(row[self._time], row[self._id]) for row in rows], np.uint64)
            if len(np.unique(hashes)) < len(hashes):
                raise RepeatedCursorError(
                    f"{self._config.subject}: rows with the same {self.cursor.time} and {self.cursor.id}",
                    remedy="name a column as cursor.id that tells the rows apart",
                )
            fresh = np.flatnonzero(~np.isin(hashes, known)).tolist()
            for at in range(0, len(fresh), self._config.page_rows):
                some = fresh[at : at + self._config.page_rows]
                yield self._page([rows[i] for i in some], [moments[i] for i in some], hashes[some], newest)
            if len(rows) < self._fetch_rows:
                break
            # What came since the sweep began is for the next one, which looks back again.
            if newest is not None and before(newest, moments[-1]):
                break
        if self._unnoted and not self._fresh:
            yield Page([], self._noted())
        if started - self._newest_since >= self._config.lookback_s:
            self._window.settle()

    def close(self) -> None:
        self._engine.dispose()

    def has_index(self) -> bool:
        """Whether the table has an index that begins with the cursor's time; yes for what is not a table."""
        schema, _, name = (self._config.table or "").rpartition(".")
        with translated(f"look at {self._config.subject}"):
            there = inspect(self._engine)
            if not there.has_table(name, schema or None) or name in there.get_view_names(schema or None):
                return True
            indexes = there.get_indexes(name, schema or None)
        return any(index["column_names"][:1] == [self.cursor.time] for index in indexes)

    def without_cursor(self) -> int:
        """How many rows have no timestamp or no id: they are never published."""
        rows = origin(self._config, (self.cursor.time, self.cursor.id))
        when, row_id = rows.c[self.cursor.time], rows.c[self.cursor.id]
        query = select(func.count()).select_from(rows)
        return int(self._rows(query.where(when.is_(None) | row_id.is_(None)))[0][0])

    @property
    def _time(self) -> int:
        return self.names.index(self.cursor.time)

    @property
    def _id(self) -> int:
        return self.names.index(self.cursor.id)

    def _page(self, rows: list[Sequence[Any]], moments: list[Any], hashes: np.ndarray, newest: Any) -> Page:
        high = self._window.high
        progress = self._noted() | self._window.add(moments, hashes, newest, self._clock())
        if self._window.high != high:
            self._newest_since = self._monotonic()
        places = Places(self._config.table or "query", moments, hashes)
        names = self.names
        return Page(
            [dict(zip(names, row, strict=True)) for row in rows], progress, places, instant(moments[0], self._zone)
        )

    def _noted(self) -> dict[str, bytes | None]:
        """The change of progress that remembers the columns, once."""
        unnoted, self._unnoted = self._unnoted, {}
        return unnoted

    def _newest(self) -> Any:
        """The newest time in the table that can be one."""
        when = origin(self._config, [self.cursor.time]).c[self.cursor.time]
        query = select(when).where(when.is_not(None))
        rows = self._rows(query.order_by(when.desc()).limit(ODD_TIMES))
        return latest((row[0] for row in rows), self._clock())

    def _fetch(self, low: Any, last: tuple[Any, Any] | None) -> list[Sequence[Any]]:
        # By `table.column`: SQLite takes a quoted name alone for a text where there is no such column any more.
        rows = origin(self._config, self.names)
        when, row_id = rows.c[self.cursor.time], rows.c[self.cursor.id]
        query: Any = select(*(rows.c[name] for name in self.names))
        query = query.where(when.is_not(None), row_id.is_not(None))
        if last is not None:
            query = query.where(
                tuple_(when, row_id, types=[RAW, RAW]) > tuple_(_bind(last[0]), _bind(last[1]), types=[RAW, RAW])
            )
        elif low is not None:
            query = query.where(when >= _bind(low))
        return self._rows(query.order_by(when, row_id).limit(self._fetch_rows))

    def _rows(self, query: Select[Any]) -> list[Sequence[Any]]:
        with translated(f"read {self._config.subject}"), self._engine.connect() as connection:
            return list(connection.execute(query).cursor.fetchall())


class Places(Sequence[str]):
    """Where rows are, for the reject file: table, time and the hash that stands for the id."""

    def __init__(self, name: str, moments: list[Any], hashes: np.ndarray) -> None:
        self._name, self._moments, self._hashes = name, moments, hashes

    def __len__(self) -> int:
        return len(self._moments)

    def __getitem__(self, index: Any) -> Any:
        return f"{self._name}, {self._moments[index]}, #{int(self._hashes[index]):016x}"


def _bind(value: Any) -> ColumnElement[Any]:
    return bindparam(None, value, type_=RAW, unique=True)


def origin(config: SourceConfig, names: Sequence[str]) -> FromClause:
    """The table or query with those columns, as something to select from."""
    if config.query is not None:
        return text(config.query.rstrip("; \n")).columns(*(column(name) for name in names)).subquery("origin")
    assert config.table is not None
    schema, _, name = config.table.rpartition(".")
    return table(name, *(column(c) for c in names), schema=schema or None)


def columns_of(engine: Engine, config: SourceConfig) -> list[str]:
    """The columns that the table or query has; DatabaseConfigError where two have one name."""
    query = select(text("*")).select_from(origin(config, ())).limit(0)
    with engine.connect() as connection:
        names = list(connection.execute(query).keys())
    if len(set(names)) < len(names):
        raise DatabaseConfigError("two columns of the query have one name", remedy="name them with AS")
    return names
