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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import psycopg

from exchange import metrics
from exchange.connect.cdc import slots
from exchange.connect.cdc.captured import BEGUN, LAST, READ, TAKEN, Begun, Captured, Visibility, lsn, place
from exchange.connect.cdc.following import Following, LastDeletions, Stored
from exchange.connect.cdc.reading import Loader, Reading, first_rows, reread
from exchange.connect.cdc.setup import (
    CaptureSetupError,
    Fault,
    LostSlotError,
    Table,
    TableAlteredError,
    examine,
    name_of,
)
from exchange.connect.cdc.slot_pages import SlotPages
from exchange.connect.cdc.stream import Stream
from exchange.connect.config import SourceConfig
from exchange.connect.database import translated
from exchange.connect.postgres import Connection
from exchange.connect.source import Page, Progress, Source

WAIT_S = 0.1  # between looks at what a stream has sent
LOOK_S = 5.0  # how often it looks whether slot, publication and table are still there


class Connect(Protocol):
    """Connects to the database."""

    def __call__(self, *, replication: bool) -> Connection:
        """A connection; with `replication`, one for that protocol."""


class CaptureSource(Source):
    """Yields a table's rows, then its changes; `key` are the columns of the subject's key, `columns` None: all.

    It does not open without the `required` columns.
    """

    is_told = True

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

    def look(self) -> Table:
        """The table, and all that keeps its changes from being taken; changes nothing."""
        with translated(f"look at {self._config.subject}"):
            return self._examine(self._connection())

    def first_page(self, table: Table) -> Page:
        """Some rows of the table that `look` found, as they are now."""
        columns = self._wanted(table)
        with translated(f"read {self._config.subject}"):
            connection = self._connection()
            loader = Loader(connection, self._table, columns)
            return Page(loader.rows(first_rows(connection, self._table, columns, self._config.page_rows)), {})

    def open(self, progress: Progress) -> None:
        self._position = Captured.of(progress)
        # What this source knew when it found rows in another way: it is wrong as soon as the log is followed.
        self._foreign: Mapping[str, bytes | None] = dict.fromkeys(progress.keys() - {BEGUN, READ, TAKEN})
        begun = self._position.begun
        with translated(f"open {self._config.subject}"):
            self._sql = self._connection()
            self._stream = Stream(self._connection(replication=True))
            system = self._stream.system()
        self._slot = slots.slot_of(self._config.subject, begun.snapshot if begun else self._cdc.snapshot)
        state = self._look()
        table = self._sound()
        columns = {name: table.columns[name] for name in self._wanted(table)}
        now = Begun.now(self._cdc.snapshot, system, table, columns, again=bool(progress))
        if begun is not None and begun.snapshot > now.snapshot:
            raise CaptureSetupError(
                f"`snapshot` was {begun.snapshot} before", remedy=f"write {begun.snapshot}, or a number above it"
            )
        if begun is None and state.is_there:
            raise CaptureSetupError(
                f"there is a slot {self._slot} that this source did not make",
                remedy=f"if nobody uses it: SELECT pg_drop_replication_slot('{self._slot}')",
            )
        self._before: Captured | None = None  # what was captured under another number, if its slot has still changes
        self._begins = begun is None or begun.snapshot != now.snapshot
        has_changes = state.is_there and not state.is_lost
        # A slot gives nothing of a publication that was made after it.
        if begun is not None and self._begins and has_changes and begun.publication[0] == now.publication[0]:
            self._before = self._position if begun.system == system else None
        self._begun = now if begun is None or self._begins else begun
        self._slot_pages: SlotPages | None = None
        if not self._begins:
            if system != self._begun.system:
                raise LostSlotError(f"{self._table} is on another server than the changes that were taken")
            self._same(table)
            self._hold(state)
        with translated(f"open {self._config.subject}"):
            self._loader = Loader(self._sql, self._table, tuple(self._begun.columns))

    def pages(self) -> Iterator[Page]:
        if self._foreign and self._position.begun is not None:
            yield Page([], self._foreign)
            self._foreign = {}
        if self._begins or self._position.overlap is None:
            yield from self._whole_table()
        if self._monotonic() - self._looked >= self._look_s:
            self._same(self._sound())
            self._hold(self._look())
            with translated(f"look at {self._config.subject}"):
                slots.drop_earlier(self._sql, self._config.subject, self._begun.snapshot)
        if self._slot_pages is None:
            again = reread(self._sql, self._table, tuple(self._begun.columns))
            load, texts = self._loader.load, self._loader.texts
            following = Following(self._position, self._begun, self._key, load, again, texts)
            self._slot_pages = SlotPages(self._config.subject, self._stream, self._slot, self._name, following)
        yield from self._slot_pages.pages(self._config.page_rows)

    def settled(self) -> bool:
        """Whether the server has sent everything that was in its log when this last looked."""
        return self._slot_pages is not None and self._slot_pages.has_passed(self._end)

    def close(self) -> None:
        for connection in self._open:
            with suppress(psycopg.Error):
                connection.close()

    def _wanted(self, table: Table) -> list[str]:
        """The columns that are taken."""
        return [name for name in table.columns if self._columns is None or name in {*self._columns, *self._key}]

    def _connection(self, *, replication: bool = False) -> Connection:
        made = self._connect(replication=replication)
        self._open.append(made)
        return made

    def _examine(self, connection: Connection) -> Table:
        transforms = self._config.transform is not None
        table = examine(connection, self._table, self._name, self._key, transforms=transforms)
        missing = [name for name in self._required if name not in table.columns]
        if table.oid == 0 or not missing:
            return table
        message = f"it has no column {', '.join(missing)}, or its publication or the log leaves it out"
        fault = Fault(message, "correct `columns`; a generated column cannot be taken")
        return replace(table, faults=(*table.faults, fault))

    def _sound(self) -> Table:
        """The table; raises if something keeps its changes from being taken."""
        with translated(f"look at {self._config.subject}"):
            table = self._examine(self._sql)
        for fault in table.faults:
            if not fault.is_warning:
                raise CaptureSetupError(f"{self._table}: {fault.message}", remedy=fault.remedy)
        return table

    def _same(self, table: Table) -> None:
        """Raise if this is not the table whose changes were taken so far, or if not all were in the stream."""
        if table.oid != self._begun.table:
            raise TableAlteredError(f"{self._table} is another table than the one whose changes were taken")
        if more := {*(self._columns or ())} & (table.columns.keys() - self._begun.columns.keys()):
            raise TableAlteredError(f"column {', '.join(sorted(more))} of {self._table} was not read in the beginning")
        self._unaltered(table)
        if table.publication != self._begun.publication:
            raise LostSlotError(f"publication {self._name} was altered, so changes of {self._table} may not be in it")

    def _look(self) -> slots.SlotState:
        """Look at the slot, and at how far the log goes."""
        self._looked = self._monotonic()
        with translated(f"look at the slot of {self._config.subject}"):
            state = slots.state(self._sql, self._slot)
        metrics.SOURCE_SLOT_BYTES.labels(self._config.subject).set(state.held_bytes)
        self._end = state.flushed
        return state

    def _hold(self, state: slots.SlotState) -> None:
        """Raise if the slot does not have what follows the position; before any row is read, there may be none."""
        if not self._position.parts and self._position.overlap is None:
            return
        if not state.is_there or state.is_lost:
            what = "was given up by the server, because it kept too much of the log" if state.is_there else "is gone"
            raise LostSlotError(f"the replication slot {self._slot} {what}")
        if state.flushed < self._position.commit:
            raise LostSlotError(f"the server of {self._table} is further back than the changes that were taken")

    def _whole_table(self) -> Iterator[Page]:
        """The rows that were not read yet."""
        first: Mapping[str, bytes | None] = {}
        if self._before is None and self._begins:
            # From now on, a slot of that name is this source's, even if it is killed before it reads a row.
            yield Page([], {**self._foreign, **self._begun.progress()})
            self._position, self._begins, self._foreign = Captured(self._begun), False, {}
        if self._position.parts and not self._begins:
            earlier = self._position.parts[0].seen
            reading = self._reading(after=self._position.after, earlier=earlier)
            if self._begun.again:
                yield from self._deletions_seen(reading.seen)
        else:
            self._slot = slots.slot_of(self._config.subject, self._begun.snapshot)
            with translated(f"read {self._config.subject}"):
                slots.drop(self._sql, self._slot)
                start, snapshot = self._stream.create_slot(self._slot)
            reading = self._reading(snapshot=snapshot)
            if self._before is not None:
                yield from self._last_deletions(self._before, start)
                # Together with the first rows: until then, the slot of before is the one that counts.
                first = self._begun.progress()
                self._position = Captured(self._begun)
        yield from self._rows(reading, first)

    def _reading(
        self, *, after: bytes = b"", snapshot: str | None = None, earlier: Visibility | None = None
    ) -> Reading:
        columns = tuple(self._begun.columns)
        with translated(f"read {self._config.subject}"):
            made = Reading(
                self._connection(), self._table, columns, self._key, after=after, snapshot=snapshot, earlier=earlier
            )
        self._unaltered(self._sound())  # nobody can alter it now
        return made

    def _rows(self, reading: Reading, first: Mapping[str, bytes | None]) -> Iterator[Page]:
        while True:
            with translated(f"read {self._config.subject}"):
                last, rows, addresses = reading.fetch(self._config.page_rows)
            if not rows:
                break
            self._position = self._position.reading(last, reading.seen)
            places = [f"{self._table}, ctid {address}" for address in addresses]
            progress = {**first, **self._position.read_progress()}
            yield Page(self._loader.rows(rows), progress, places)
            self._begins, first = False, {}
        with translated(f"read {self._config.subject}"):
            end = lsn(reading.end())
        self._position = replace(self._position.reading(LAST, reading.seen), overlap=end)
        yield Page([], {**first, **self._position.read_progress()})
        self._begins = False

    def _last_deletions(self, before: Captured, until: int) -> Iterator[Page]:
        """What was deleted after `before` and before the place in the log where the new slot begins."""
        assert before.begun is not None
        yield from self._deletions(before, before.begun, until, lambda key, xid: not before.was_read(key, xid), until)

    def _deletions_seen(self, seen: Visibility) -> Iterator[Page]:
        """What was deleted since the slot was made and will not be read now: rows that were published before it."""
        after, progress = self._position.after, self._position.read_progress()
        with translated(f"read {self._config.subject}"):
            end = slots.mark(self._sql)
        for page in self._deletions(
            self._position, self._begun, end, lambda key, xid: place(key) > after and seen.sees(xid), 0
        ):
            yield replace(page, progress=progress)

    def _deletions(
        self, position: Captured, begun: Begun, until: int, wanted: Callable[[Stored, int], bool], keep: int
    ) -> Iterator[Page]:
        columns = tuple(self._begun.columns)
        following = LastDeletions(position, begun, columns, self._key, self._loader.load, until, wanted)
        connection = self._connection(replication=True)
        stream, slot = Stream(connection), slots.slot_of(self._config.subject, begun.snapshot)
        slot_pages = SlotPages(self._config.subject, stream, slot, self._name, following, keep=keep)
        while not slot_pages.has_passed(until):
            yield from slot_pages.pages(self._config.page_rows)
            stream.wait(WAIT_S)
        yield from slot_pages.pages(self._config.page_rows)
        connection.close()

    def _unaltered(self, now: Table) -> None:
        """Raise if the table has not the columns with which the capture began."""
        if changed := self._begun.altered(now):
            raise TableAlteredError(
                f"column {', '.join(changed)} of {self._table} is gone, or has another type than when it was read, "
                "or was made anew or rewritten"
            )
