"""Reads rows from a table or query of a department's database, in the order of their changes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Select, func, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.columns import Columns
from exchange.connect.config import SourceConfig
from exchange.connect.database import BadValueError, DatabaseConfigError, translated
from exchange.connect.dialects import known as dialects
from exchange.connect.dialects.dialect import statement
from exchange.connect.fetched import Fetched, FetchedRows, Key, Moments, Places
from exchange.connect.published import forgotten
from exchange.connect.query import SelectedColumns, about, bind, columns_of, origin, stream
from exchange.connect.soft_delete import deletes
from exchange.connect.source import Bad, Deleted, Page, Progress, Row, Source
from exchange.connect.window import CursorTypeError, Window, before, instant, is_page, kind, latest, row_hash

if TYPE_CHECKING:
    from exchange.connect.copied import FetchedTable

FETCH_ROWS = 20_000  # per fetch: without an index, each fetch sorts the whole table
FETCH_BYTES = 32 << 20  # in memory, however long the rows are
COPY_BYTES = 16 << 20  # of texts, which are in memory twice for a moment
PAGE_BYTES = 8 << 20  # of rows in one transaction
MANY = 100  # rows, which are worth columns
SINGLY_ROWS = 1_000  # the number of rows among which a row with a failing value is searched
ODD_TIMES = 20  # so many times that are invalid or in the future are looked at together when the newest is searched


class RepeatedCursorError(DatabaseConfigError):
    """Two rows have the same timestamp and id, so that one of them could be missed."""

    code = "repeated-cursor"
    remedy = "name a column as cursor.id that tells the rows apart"


class SqlSource(Source):
    """Sweeps over a table in the order of (time, id), from a little before the newest row that was published.

    It reads the `columns` (None: all) and does not open without the `required` ones. Once open, `names` are the
    columns of its rows. Each sweep begins `lookback_s` before the newest published row, so that rows of a
    transaction that commits late are still seen; rows that the window already contains are skipped. Once no newer
    row has come for `lookback_s`, sweeps begin at the newest row itself.
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
        self.engine = engine
        self._columns = columns
        self._required = required
        self._fetch_rows = fetch_rows or max(FETCH_ROWS, config.page_rows)
        self.names: list[str] = []
        self._clock = clock
        self._monotonic = monotonic
        self._zone = ZoneInfo(config.timezone)
        self._deletes = deletes(config.deleted)
        takes_columns = config.transform is None and config.sweep is None  # these two take rows
        self._copies = takes_columns and dialects.of(engine).copies
        self._least = MANY if takes_columns else math.inf
        self._deleted = config.deleted.column if config.deleted else None
        self._fixed = [self.cursor.time, self.cursor.id, *([self._deleted] if self._deleted else [])]

    def open(self, progress: Progress) -> None:
        pages = {name: value for name, value in progress.items() if is_page(name)}
        self._window = Window(self._config.lookback_s, pages)
        self._newest_since = self._monotonic()
        available = self.available()
        missing = [name for name in dict.fromkeys([*self._required, *self._fixed]) if name not in available]
        where = self._config.table or "the query"
        if missing:
            raise DatabaseConfigError(
                f"{where} has no column {', '.join(missing)}",
                remedy="correct `columns`, `cursor` or `deleted`; one that may be missing goes under `optional`, and "
                "its field needs a default in the schema",
            )
        had = Columns(progress, self._columns, self._config.optional)
        had.require(available, where)
        # An optional column that does not exist is left out of the rows, so that the field gets its default.
        wanted = dict.fromkeys([*(self._columns or available), *self._fixed])
        self.names = [name for name in wanted if name in available]
        with translated(f"open {self._config.subject}"):
            self._selection = SelectedColumns(self.engine, self._config, self.names)
        self._unnoted: dict[str, bytes | None] = had.noted(self.names) | forgotten(progress)
        self._fresh = not pages
        self._left: int | None = None

    def pages(self) -> Iterator[Page]:
        started = self._monotonic()
        known = self._window.known()
        newest = self._newest()
        self._check_kind(newest)
        low, last = self._window.low, None
        while True:
            fetched = self._fetch(low, last)
            if not len(fetched.sizes):
                break
            if last is None and not fetched.is_last:
                self._left = self._about(low)
            last = fetched.key(len(fetched.sizes) - 1)
            yield from self._pages(fetched, known, newest)
            # Rows that came since are for the next sweep, which looks back again; only odd times follow them.
            came_since = newest is not None and before(newest, last[0]) and latest([last[0]], self._clock()) is not None
            if fetched.is_last or came_since:
                break
        self._left = None
        if self._unnoted and not self._fresh:
            yield Page([], self._noted())
        if started - self._newest_since >= self._config.lookback_s:
            self._window.settle()

    def left(self) -> int | None:
        return self._left

    def close(self) -> None:
        self.engine.dispose()

    def available(self) -> list[str]:
        """The columns that the table or query has."""
        with translated(f"open {self._config.subject}"):
            return columns_of(self.engine, self._config)

    def has_index(self) -> bool:
        """Whether the table has an index that begins with the cursor's time; True for anything that is not a table."""
        schema, _, name = (self._config.table or "").rpartition(".")
        with translated(f"look at {self._config.subject}"):
            there = inspect(self.engine)
            if not there.has_table(name, schema or None) or name in there.get_view_names(schema or None):
                return True
            indexes = there.get_indexes(name, schema or None)
        return any(index["column_names"][:1] == [self.cursor.time] for index in indexes)

    def without_cursor(self) -> int:
        """The number of rows without a timestamp or id; they are never published."""
        rows = origin(self._config, (self.cursor.time, self.cursor.id))
        when, row_id = rows.c[self.cursor.time], rows.c[self.cursor.id]
        query = select(func.count()).select_from(rows)
        return int(self._rows(query.where(when.is_(None) | row_id.is_(None)))[0][0])

    def _pages(self, fetched: Fetched, known: np.ndarray, newest: Any) -> Iterator[Page]:
        """What is new in these rows, split into transactions."""
        hashes = fetched.hashes()
        if (np.diff(np.sort(hashes)) == 0).any():
            raise self._repeated()
        new = np.flatnonzero(~_among(known, hashes))
        ends = np.cumsum(fetched.sizes[new])
        at = held = 0
        while at < len(new):
            most = max(at + 1, int(np.searchsorted(ends, held + PAGE_BYTES, "right")))
            some = new[at : min(at + self._config.page_rows, most)]
            if self._left is not None:
                self._left = max(0, self._left - len(some))
            yield self._page(fetched, some, hashes[some], newest)
            at += len(some)
            held = int(ends[at - 1])

    def _page(self, fetched: Fetched, some: np.ndarray, hashes: np.ndarray, newest: Any) -> Page:
        high = self._window.high
        moments = Moments(fetched, some)
        progress = self._noted() | self._window.add(moments, hashes, newest, self._clock())
        if self._window.high != high:
            self._newest_since = self._monotonic()
        places = Places(self._config.table or "query", moments, hashes)
        return Page(fetched.rows(some), progress, places, instant(moments[0], self._zone))

    def _made(self, row: Sequence[Any]) -> Row | Deleted:
        made = dict(zip(self.names, row, strict=True))
        return Deleted(made) if self._deletes(made) else made

    def _repeated(self) -> RepeatedCursorError:
        return RepeatedCursorError(
            f"{self._config.subject}: rows with the same {self.cursor.time} and {self.cursor.id}"
        )

    def _noted(self) -> dict[str, bytes | None]:
        """The change of progress that remembers the columns; not empty only the first time."""
        unnoted, self._unnoted = self._unnoted, {}
        return unnoted

    def _check_kind(self, newest: Any) -> None:
        """Raise CursorTypeError if the table's times have another type than those published; SQLite may mix types."""
        high = self._window.high
        if newest is None or high is None or dialects.of(self.engine).mixes_types or kind(newest) == kind(high):
            return
        raise CursorTypeError(
            f"{self.cursor.time} is now a {kind(newest)}, and gave a {kind(high)} when rows were published: "
            "which rows are new cannot be told",
            remedy="give the column its type back, or name a `query` that casts it to that",
        )

    def _newest(self) -> Any:
        """The newest plausible time in the table."""
        when = origin(self._config, [self.cursor.time]).c[self.cursor.time]
        query = select(self._selection.value(when)).where(when.is_not(None))
        query = query.order_by(when.desc())
        look, below = ODD_TIMES, query
        while True:
            moments = [row[0] for row in self._rows(below.limit(look))]
            found = latest(moments, self._clock())
            if found is not None or len(moments) < look:
                return found
            look, below = 2 * look, query.where(when < bind(moments[-1]))

    def _about(self, low: Any) -> int | None:
        query = self._from(self.names, low, None)
        with suppress(BadValueError), translated(f"look at {self._config.subject}"), self.engine.connect() as opened:
            return about(opened, query)
        return None

    def _fetch(self, low: Any, last: Key | None) -> Fetched:
        query = self._from(self.names, low, last)
        try:
            copied = self._copy(query) if self._copies else None
            return copied or self._in_columns(self._read(query.limit(self._fetch_rows + 1)))
        except BadValueError:
            # The error does not say which row it is.
            keys = self._read_keys(low, last)
            fetched = self._read_singly(keys) if keys else FetchedRows(self._made)
            fetched.is_last &= len(keys) < SINGLY_ROWS
            return fetched

    def _from(self, names: Sequence[str], low: Any, last: Key | None) -> Select[Any]:
        """Select these columns of the rows after `last`, or from `low` on."""
        when, row_id, query = self._ordered(names)
        query = query.where(when.is_not(None), row_id.is_not(None))
        if last is not None:
            return query.where(self._selection.after((when, row_id), last))
        return query if low is None else query.where(when >= bind(low))

    def _ordered(self, names: Sequence[str]) -> tuple[ColumnElement[Any], ColumnElement[Any], Select[Any]]:
        # As `table.column`: SQLite reads a quoted name alone as text if there is no such column any more.
        rows = origin(self._config, names)
        when, row_id = rows.c[self.cursor.time], rows.c[self.cursor.id]
        query: Any = select(*(self._selection.value(rows.c[name]) for name in names))
        return when, row_id, query.order_by(*self._selection.order(when, row_id))

    def _copy(self, query: Select[Any]) -> FetchedTable | None:
        """As many rows of the query as may be in memory together, as columns; None if these cannot be columns."""
        from exchange.connect.copied import CopiedRows, FetchedTable, copy, layout  # loads kernels

        what = f"read {self._config.subject}"
        with translated(what), self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            columns = layout(driver, *statement(connection, query.limit(0)))
            if columns is None or not FetchedTable.fits(columns, self.cursor.time, self.cursor.id):
                return None
            limited = statement(connection, query.limit(self._fetch_rows + 1))
            table, is_all = copy(driver, *limited, COPY_BYTES, len(columns.names))
        rows = CopiedRows(columns, table, self._deletes, self._deleted, what)
        fetched = FetchedTable(rows, self.cursor.time, self.cursor.id)
        if is_all and len(rows) <= self._fetch_rows:
            return fetched
        # The next fetch begins after the last key, so a second row with that key would be missed.
        if fetched.hashes()[-1] == fetched.hashes()[-2]:
            raise self._repeated()
        return fetched.cut(len(rows) - 1)

    def _in_columns(self, fetched: FetchedRows) -> Fetched:
        """These rows as columns, unless there are so few that kernels need not be loaded, or they cannot be columns."""
        if len(fetched.values) < self._least:
            return fetched
        from exchange.connect.plain_rows import in_columns  # loads kernels

        return in_columns(fetched, self.names, self.cursor, self._deletes, self._deleted) or fetched

    def _read(self, query: Select[Any]) -> FetchedRows:
        """As many rows of the query as may be in memory together."""
        fetched, held = FetchedRows(self._made), 0
        time_at, id_at = self.names.index(self.cursor.time), self.names.index(self.cursor.id)
        with (
            translated(f"read {self._config.subject}"),
            self.engine.connect() as connection,
            closing(stream(connection, query)) as rows,
        ):
            for count, row in enumerate(rows):
                key = (row[time_at], row[id_at])
                if held >= FETCH_BYTES or count == self._fetch_rows:
                    # As for `_copy`.
                    if row_hash(*key) == row_hash(*fetched.key(count - 1)):
                        raise self._repeated()
                    return fetched
                held += fetched.add(key, row)
        fetched.is_last = True
        return fetched

    def _read_keys(self, low: Any, last: Key | None) -> list[Key]:
        names = list(dict.fromkeys((self.cursor.time, self.cursor.id)))
        found = self._rows(self._from(names, low, last).limit(SINGLY_ROWS))
        return [(row[0], row[-1]) for row in found]

    def _read_singly(self, keys: Sequence[Key]) -> FetchedRows:
        """The rows with these keys; halves them until rows whose values fail are alone."""
        when, row_id, query = self._ordered(self.names)
        query = query.where(self._selection.within((when, row_id), keys[0], keys[-1]))
        try:
            return self._read(query)
        except BadValueError as error:
            if len(keys) == 1:
                alone = FetchedRows(self._made)
                alone.add(keys[0], Bad(error.message))
                alone.is_last = True
                return alone
        half = len(keys) // 2
        fetched = self._read_singly(keys[:half])
        if fetched.is_last:
            fetched.extend(self._read_singly(keys[half:]))
        return fetched

    def _rows(self, query: Select[Any]) -> list[Sequence[Any]]:
        with translated(f"read {self._config.subject}"), self.engine.connect() as connection:
            return list(stream(connection, query))


def _among(known: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """bool[n]: which hashes are among the known ones, which are sorted; numpy's own `isin` sorts both anew."""
    if not len(known):
        return np.zeros(len(hashes), np.bool_)
    found: np.ndarray = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    return found
