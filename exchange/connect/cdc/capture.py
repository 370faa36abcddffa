"""A source that takes a table's changes from PostgreSQL's log, in the order of their commits.

First it makes a replication slot, which keeps all changes from its own moment on, and reads the table as it was at
just that moment. Each row has a place in an order (a digest of its key), so that a connector that was killed goes on
where it was, under a new snapshot. Then it takes the changes from the slot's moment on, and leaves out those that the
snapshot saw under which their row was read. Hence every version of every row is published once, and in order.

Afterwards the slot is told how far the pages are committed, so that PostgreSQL removes its log. What the slot sends
again after a kill is left out by the position that was committed with the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import psycopg

from exchange import metrics
from exchange.connect.cdc.captured import BEGUN, LAST, READ, TAKEN, Begun, Captured, lsn
from exchange.connect.cdc.following import Following
from exchange.connect.cdc.pgoutput import decode
from exchange.connect.cdc.reading import PAGE_BYTES, Loader, Reading, reread
from exchange.connect.cdc.setup import (
    CaptureSetupError,
    Fault,
    LostSlotError,
    Table,
    TableAlteredError,
    examine,
    name_of,
)
from exchange.connect.cdc.stream import Stream
from exchange.connect.config import SourceConfig
from exchange.connect.database import DatabaseConfigError, translated
from exchange.connect.postgres import Connection
from exchange.connect.source import Bad, Deleted, Page, Progress, Row, Source

LOOK_S = 5.0  # how often it looks whether slot, publication and table are still there


class Connect(Protocol):
    """Connects to the database."""

    def __call__(self, *, replication: bool) -> Connection:
        """A connection; with `replication`, one for that protocol."""


class CaptureSource(Source):
    """Yields a table's rows, then its changes; `key` are the columns of the subject's key, `columns` None: all.

    It does not open without the `required` columns.
    """

    def __init__(
        self,
        config: SourceConfig,
        connect: Connect,
        key: Sequence[str],
        columns: Sequence[str] | None,
        required: Sequence[str] = (),
        *,
        look_s: float = LOOK_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__({})
        assert config.table is not None
        assert config.cdc is not None
        self._config, self._table, self._cdc = config, config.table, config.cdc
        self._connect = connect
        self._key = tuple(key)
        self._columns = columns
        self._required = required
        self._look_s = look_s
        self._monotonic = monotonic
        self._name = name_of(config.subject)
        self._open: list[Connection] = []

    def faults(self) -> tuple[Fault, ...]:
        """All that keeps the table's changes from being taken, and what is missing; changes nothing."""
        with translated(f"look at {self._config.subject}"):
            connection = self._connection()
            return self._examine(connection).faults

    def open(self, progress: Progress) -> None:
        self._position = Captured.of(progress)
        self._foreign = dict.fromkeys(name for name in progress if name not in (BEGUN, READ, TAKEN))
        with translated(f"open {self._config.subject}"):
            self._sql = self._connection()
            table = self._sound()
            self._stream = Stream(self._connection(replication=True))
            system = self._stream.system()
        wanted = [name for name in table.columns if self._columns is None or name in {*self._columns, *self._key}]
        now = Begun(self._cdc.snapshot, system, table.oid, {name: table.columns[name] for name in wanted})
        begun = self._position.begun
        self._is_new = begun is None or begun.snapshot != now.snapshot
        self._begun = begun if begun and not self._is_new else now
        self._changes: Following | None = None
        self._target = 0
        if not self._is_new:
            self._same(now, table)
        self._look()
        with translated(f"open {self._config.subject}"):
            self._loader = Loader(self._sql, self._table, tuple(self._begun.columns))

    def pages(self) -> Iterator[Page]:
        if self._is_new:
            self._position = Captured(self._begun)
            yield Page([], self._foreign | self._begun.progress())
            self._is_new = False
        if self._position.overlap is None:
            yield from self._whole_table()
        if self._monotonic() - self._looked >= self._look_s:
            if self._sound().oid != self._begun.table:
                raise TableAlteredError(f"{self._table} is another table now")
            self._look()
        yield from self._news()

    def settled(self) -> bool:
        """Whether the server has sent everything that was in its log when this last looked."""
        return self._changes is not None and self._stream.sent >= self._target

    def close(self) -> None:
        for connection in self._open:
            with suppress(psycopg.Error):
                connection.close()

    def _connection(self, *, replication: bool = False) -> Connection:
        made = self._connect(replication=replication)
        self._open.append(made)
        return made

    def _examine(self, connection: Connection) -> Table:
        transforms = self._config.transform is not None
        return examine(connection, self._table, self._name, self._key, transforms=transforms)

    def _sound(self) -> Table:
        """The table; raises if something keeps its changes from being taken."""
        with translated(f"look at {self._config.subject}"):
            table = self._examine(self._sql)
        for fault in table.faults:
            if not fault.is_warning:
                raise CaptureSetupError(f"{self._table}: {fault.message}", remedy=fault.remedy)
        if missing := [name for name in self._required if name not in table.columns]:
            raise DatabaseConfigError(
                f"{self._table} has no column {', '.join(missing)}, or its publication or the log leave it out",
                remedy="correct `columns`; a generated column cannot be taken",
            )
        return table

    def _same(self, now: Begun, table: Table) -> None:
        """Raise if this is not the table whose changes were taken so far."""
        if now.system != self._begun.system:
            raise LostSlotError(f"{self._table} is on another server than the changes that were taken")
        if now.table != self._begun.table:
            raise TableAlteredError(f"{self._table} is another table than the one whose changes were taken")
        if more := now.columns.keys() - self._begun.columns.keys() if self._columns is not None else ():
            raise TableAlteredError(f"column {', '.join(sorted(more))} of {self._table} was not read in the beginning")
        self._unaltered(table)

    def _look(self) -> None:
        """Look at the slot; raises if it is not what it must be."""
        self._looked = self._monotonic()
        query = (
            "SELECT s.slot_name, s.wal_status, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), s.restart_lsn), "
            "pg_current_wal_flush_lsn()::text FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = %s"
        )
        with translated(f"look at the slot of {self._config.subject}"):
            row = self._sql.execute(query, [self._name]).fetchone()
        assert row is not None
        slot, status, held, flushed = row
        metrics.SOURCE_SLOT_BYTES.labels(self._config.subject).set(float(held or 0))
        self._target = lsn(flushed)
        if self._position.begun is None and slot is not None:
            raise CaptureSetupError(
                f"there is a slot {self._name} that this source did not make",
                remedy=f"if nobody uses it: SELECT pg_drop_replication_slot('{self._name}')",
            )
        if self._is_new or (not self._position.parts and self._position.overlap is None):
            return
        if slot is None or status == "lost":
            what = "is gone" if slot is None else "was given up by the server, because it kept too much of the log"
            raise LostSlotError(f"the replication slot {self._name} {what}")
        if self._target < self._position.commit:
            raise LostSlotError(f"the server of {self._table} is further back than the changes that were taken")

    def _whole_table(self) -> Iterator[Page]:
        """The rows that were not read yet."""
        with translated(f"read {self._config.subject}"):
            reading = self._reading()
        while True:
            with translated(f"read {self._config.subject}"):
                place, rows = reading.fetch(self._config.page_rows)
            if not rows:
                break
            self._position = self._position.reading(place, reading.seen)
            names = tuple(self._begun.columns)
            yield Page([self._loader.load(names, row) for row in rows], self._position.read_progress())
        with translated(f"read {self._config.subject}"):
            end = lsn(reading.end())
        self._position = replace(self._position.reading(LAST, reading.seen), overlap=end)
        yield Page([], self._position.read_progress())

    def _reading(self) -> Reading:
        position, columns = self._position, tuple(self._begun.columns)
        connection = self._connection()
        if position.parts:
            earlier = position.parts[0].seen
            made = Reading(
                connection, self._table, columns, self._key, after=position.after, snapshot=None, earlier=earlier
            )
            self._unaltered(self._examine(self._sql))
            return made
        # Nothing was published yet: a slot that is there was made just before a kill.
        drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
        self._sql.execute(drop, [self._name])
        snapshot = self._stream.create_slot(self._name)
        made = Reading(connection, self._table, columns, self._key, after=b"", snapshot=snapshot, earlier=None)
        self._unaltered(self._examine(self._sql))
        return made

    def _unaltered(self, now: Table) -> None:
        """Raise if the table has not the columns with which the capture began."""
        changed = sorted(name for name, kind in self._begun.columns.items() if now.columns.get(name) != tuple(kind))
        if changed:
            raise TableAlteredError(
                f"column {', '.join(changed)} of {self._table} is gone, or has another type than when it was read"
            )

    def _news(self) -> Iterator[Page]:
        """The changes that have arrived."""
        if self._changes is None:
            with translated(f"follow {self._config.subject}"):
                self._stream.start(self._name)
            again = reread(self._sql, self._table, tuple(self._begun.columns))
            self._changes = Following(self._position, self._begun, self._key, self._loader.load, again)
        page = _Open()
        while True:
            with translated(f"follow {self._config.subject}"):
                messages = self._stream.receive()
            for message in messages:
                page.add(self._changes.take(decode(message)), len(message), self._changes.committed_at)
                if len(page.rows) >= self._config.page_rows or page.held >= PAGE_BYTES:
                    yield self._page(page)
                    page = _Open()
                    self._confirm(self._changes.ended)
            if not messages:
                break
        if page.rows:
            yield self._page(page)
        self._confirm(max(self._changes.ended, self._stream.sent))

    def _page(self, page: _Open) -> Page:
        assert self._changes is not None
        before, self._position = self._position, self._changes.position
        progress = self._position.taken_progress()
        if self._position.parts != before.parts:
            progress |= self._position.read_progress()
        return Page(page.rows, progress, oldest=page.oldest)

    def _confirm(self, taken: int) -> None:
        with translated(f"follow {self._config.subject}"):
            self._stream.confirm(taken)


class _Open:
    """Rows that are gathered for a page."""

    def __init__(self) -> None:
        self.rows: list[Row | Deleted | Bad] = []
        self.held = 0
        self.oldest: float | None = None

    def add(self, rows: Sequence[Row | Deleted | Bad], size: int, committed_at: float | None) -> None:
        """Append rows that came from a message of that size."""
        if not rows:
            return
        if not self.rows:
            self.oldest = committed_at
        self.rows += rows
        self.held += size
