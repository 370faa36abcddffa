"""Turns the stream's messages into rows; no I/O but through the functions that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from exchange.connect.cdc.captured import Begun, Captured
from exchange.connect.cdc.logged_rows import (
    ALL_CHANGES,
    LACKING,
    WRITTEN,
    ChangePlaces,
    LoggedChanges,
    LoggedRows,
    MessageLayout,
    StreamState,
)
from exchange.connect.cdc.pgoutput import (
    Attribute,
    Begin,
    Commit,
    LoggedChange,
    Message,
    Missing,
    Raw,
    Relation,
    Truncate,
    decode,
    stream_us,
    unix_s,
)
from exchange.connect.cdc.setup import CaptureSetupError, TableAlteredError, TruncatedError
from exchange.connect.source import Bad, Deleted, Row
from exchange.connect.text_rows import TextColumns
from exchange.records.values import Values

Stored = tuple[bytes | None, ...]
Load = Callable[[Sequence[str], Sequence[bytes | None]], Row | Bad]
"""Makes a row of the text of these columns' values."""
Reread = Callable[[Mapping[str, bytes | None], int], Mapping[str, bytes | None] | None]
"""The row with this key as it is in the table once that transaction (xid) is seen; None if there is none."""


class LoggedPart(NamedTuple):
    """Rows that messages gave, and when the transaction of the first one was committed, as Unix time."""

    rows: Sequence[Row | Deleted | Bad]
    places: Sequence[str]
    oldest: float | None


class Following:
    """Follows the stream of one table from a position on, and moves the position.

    A change before the position gives no rows, so that a stream that is sent again is taken once. `ended` is the place
    in the log up to which whole transactions were taken. With `texts` (those of the columns that were read), most
    messages are taken all at once.
    """

    def __init__(
        self,
        position: Captured,
        begun: Begun,
        key: Sequence[str],
        load: Load,
        reread: Reread,
        texts: TextColumns | None = None,
    ) -> None:
        self._captured, self._last_commit, self._last_changes = position, position.commit, position.changes
        self.ended = 0
        self._begun = begun
        self._key = key
        self._load = load
        self._reread = reread
        self._texts = texts
        self._at: Begin | None = None
        self._taken = 0  # changes of the transaction that were seen
        self._layout: _Layout | None = None

    @property
    def position(self) -> Captured:
        """Behind the last change that was taken; made only when it is asked for, because it moves with every change."""
        return replace(self._captured, commit=self._last_commit, changes=self._last_changes)

    def take_many(self, messages: Values, at: int, most: int) -> tuple[int, LoggedPart]:
        """About so many rows from the messages from `at` on; return which message is the next.

        The last message is a single byte and says nothing.
        """
        rows: list[Row | Deleted | Bad] = []
        places = ChangePlaces([], [], [])
        while at < messages.rows and len(rows) < most:
            if self._layout is not None and self._texts is not None and not self._was_any_read():
                if rows:
                    break
                begin = at
                at, taken = self._take_columns(messages, at, most, self._layout, self._texts)
                if taken.rows or at == messages.rows:
                    return at, taken
                if at > begin:
                    continue
            for row in self.take(decode(messages.string(at))):
                assert self._at is not None
                rows.append(row)
                places.change.append(self._taken)
                places.xid.append(self._at.xid)
                places.committed_at.append(self._at.committed_at)
            at += 1
        return at, LoggedPart(rows, places, places.committed_at[0] if rows else None)

    def take(self, message: Message | None) -> list[Row | Deleted | Bad]:
        """The rows that a message gives, oldest first."""
        match message:
            case LoggedChange() if message.relation == self._begun.table:
                return self._change(message) if self._is_new() else []
            case Begin():
                self._begin(message)
            case Commit():
                self._commit(message)
            case Relation() if message.oid == self._begun.table:
                self._layout = self._laid_out(message.attributes)
            case Truncate() if self._begun.table in message.relations and self._is_new():
                self._truncate()
        return []

    def _was_any_read(self) -> bool:
        """Whether a change can be one that was read with the table."""
        return self._captured.overlap is None or len(self._captured.parts) > 1

    def _take_columns(
        self, messages: Values, at: int, most: int, layout: _Layout, texts: TextColumns
    ) -> tuple[int, LoggedPart]:
        from exchange.connect.cdc import change_columns  # kernels, which only those who need them load

        at, state, changes = change_columns.take(messages, at, layout.of(self._begun.table), self._state(), most)
        self._move(state)
        changes = self._completed(changes, messages, layout)
        places = ChangePlaces(changes.change, changes.xid, unix_s(changes.at_us))
        rows = LoggedRows(texts, changes.table, changes.kind, layout.identity, self._load)
        return at, LoggedPart(rows, places, float(places.committed_at[0]) if rows else None)

    def _state(self) -> StreamState:
        assert self._at is not None
        commit, committed_at, xid = self._at
        changes = ALL_CHANGES if self._last_changes is None else self._last_changes
        return StreamState(commit, stream_us(committed_at), xid, self._taken, self._last_commit, changes, self.ended)

    def _move(self, state: StreamState) -> None:
        commit, at_us, xid, self._taken, self._last_commit, changes, self.ended = state
        self._at = Begin(commit, unix_s(at_us), xid)
        self._last_changes = None if changes == ALL_CHANGES else changes
        self._forget_parts(commit)

    def _completed(self, changes: LoggedChanges, messages: Values, layout: _Layout) -> LoggedChanges:
        """With the values that the stream leaves out."""
        lacking = np.flatnonzero(changes.kind == LACKING)
        if not len(lacking):
            return changes
        texts: list[bytes | None] = []
        for row in lacking.tolist():
            change = decode(messages.string(int(changes.message[row])))
            assert isinstance(change, LoggedChange)
            values = self._complete(layout.filled(change), int(changes.xid[row]))
            if values is not None:
                texts += values
                changes.kind[row] = WRITTEN
        found = lacking[changes.kind[lacking] == WRITTEN]
        completed = changes._replace(table=changes.table.replaced(found, texts))
        return completed.at(np.flatnonzero(changes.kind != LACKING))

    def _laid_out(self, attributes: Sequence[Attribute]) -> _Layout | None:
        """Where the columns stand from now on; raises if they are not those that were read."""
        there = {a.name: (a.type_oid, a.modifier) for a in attributes}
        changed = sorted(name for name, column in self._begun.columns.items() if there.get(name) != column[:2])
        if changed:
            raise TableAlteredError(f"column {', '.join(changed)} is gone, or has another type than when it was read")
        layout = _Layout(attributes, tuple(self._begun.columns), self._key)
        if missing := [name for name in self._key if name not in layout.identity]:
            raise CaptureSetupError(
                f"the table's replica identity has no {', '.join(missing)}: deletions do not name their rows",
                remedy="ALTER TABLE … REPLICA IDENTITY FULL, and raise `snapshot` of `cdc` by one",
            )
        return layout

    def _begin(self, begin: Begin) -> None:
        self._at, self._taken = begin, 0
        self._forget_parts(begin.commit)

    def _forget_parts(self, commit: int) -> None:
        """From that place in the log on, nothing is sent that was read with the table."""
        overlap = self._captured.overlap
        if self._captured.parts and overlap is not None and commit >= overlap:
            self._captured = replace(self._captured, parts=())

    def _commit(self, commit: Commit) -> None:
        assert self._at is not None
        if self._taken and self._at.commit >= self._last_commit:
            self._last_commit, self._last_changes = self._at.commit, None
        self.ended = commit.end

    def _is_new(self) -> bool:
        """Count a change; whether it comes after the position, which then moves past it."""
        assert self._at is not None
        self._taken += 1
        commit, changes = self._last_commit, self._last_changes
        if self._at.commit < commit or (self._at.commit == commit and (changes is None or self._taken <= changes)):
            return False
        self._last_commit, self._last_changes = self._at.commit, self._taken
        return True

    def _truncate(self) -> None:
        assert self._at is not None
        parts = self._captured.parts
        if not parts or not all(part.seen.sees(self._at.xid) for part in parts):
            raise TruncatedError("the table was emptied by TRUNCATE, which does not say what rows it had")

    def _change(self, change: LoggedChange) -> list[Row | Deleted | Bad]:
        assert self._at is not None
        assert self._layout is not None
        layout = self._layout
        rows: list[Row | Deleted | Bad] = []
        old = layout.key(change.old) if change.old is not None else None
        new = layout.key(layout.filled(change)) if change.new is not None else None
        if old is not None and old != new and not self._captured.was_read(old, self._at.xid):
            rows.append(self._deleted(layout, change))
        if new is not None and not self._captured.was_read(new, self._at.xid):
            values = self._complete(layout.filled(change), self._at.xid)
            if values is not None:
                rows.append(self._load(layout.names, values))
        return rows

    def _deleted(self, layout: _Layout, change: LoggedChange) -> Deleted | Bad:
        names = [name for name in layout.names if change.whole or name in layout.identity]
        row = self._load(names, layout.stored(names, change.old or ()))
        return row if isinstance(row, Bad) else Deleted(row)

    def _complete(self, values: Sequence[Raw], xid: int) -> Sequence[bytes | None] | None:
        """The columns that are read, with the values that the stream leaves out taken from the table.

        If the table has another version by now, its change follows in the stream: then None, and this version is left
        out. A mixture of two versions is never published.
        """
        assert self._layout is not None
        layout = self._layout
        found = [values[at] for at in layout.places]
        if Missing.UNCHANGED not in found:
            return [value for value in found if not isinstance(value, Missing)]
        key = dict(zip(self._key, layout.key(values), strict=True))
        now = self._reread(key, xid)
        if now is None:
            return None
        there = [now[name] for name in layout.names]
        same = all(a is Missing.UNCHANGED or a == b for a, b in zip(found, there, strict=True))
        return there if same else None


class LastDeletions(Following):
    """Of what a slot has before a place in the log, only the deletions that are `wanted`: the rows are read after them.

    `columns` are those that are read; the stream may have others, or tell the rows apart no longer.
    """

    def __init__(
        self,
        position: Captured,
        begun: Begun,
        columns: Sequence[str],
        key: Sequence[str],
        load: Load,
        until: int,
        wanted: Callable[[Stored, int], bool],
    ) -> None:
        super().__init__(position, begun, key, load, lambda _key, _xid: None)
        self._names = columns
        self._until = until
        self._wanted = wanted

    def _is_new(self) -> bool:
        assert self._at is not None
        return self._at.commit < self._until and super()._is_new()

    def _truncate(self) -> None:
        return None  # a person has decided to go on

    def _laid_out(self, attributes: Sequence[Attribute]) -> _Layout | None:
        identity = {a.name for a in attributes if a.identifies}
        names = tuple(a.name for a in attributes if a.name in self._names)
        return _Layout(attributes, names, self._key) if identity.issuperset(self._key) else None

    def _change(self, change: LoggedChange) -> list[Row | Deleted | Bad]:
        layout = self._layout
        if layout is None or change.old is None:
            return []
        key, at = layout.key(change.old), self._at
        if change.new is not None and key == layout.key(layout.filled(change)):
            return []
        return [self._deleted(layout, change)] if at and self._wanted(key, at.xid) else []


class _Layout:
    """Where the columns that are read stand in the stream's rows, and which of them identify a row."""

    def __init__(self, attributes: Sequence[Attribute], names: tuple[str, ...], key: Sequence[str]) -> None:
        at = {a.name: index for index, a in enumerate(attributes)}
        self.identity = {a.name for a in attributes if a.identifies}
        self.names = names
        self.places = tuple(at[name] for name in self.names)
        self._identity_places = [index for index, a in enumerate(attributes) if a.identifies]
        self._key = tuple(at[name] for name in key)
        self._at = at
        self._is_identity = [a.identifies for a in attributes]

    def of(self, relation: int) -> MessageLayout:
        """As the kernel takes it, for that table."""
        places, key = np.array(self.places, np.int64), np.array(self._key, np.int64)
        return MessageLayout(relation, places, key, np.array(self._is_identity, np.bool_))

    def key(self, values: Sequence[Raw]) -> Stored:
        """The row's key."""
        return self._known([values[at] for at in self._key])

    def stored(self, names: Sequence[str], values: Sequence[Raw]) -> Stored:
        """The values of these columns of a row that has them."""
        return self._known([values[self._at[name]] for name in names])

    def filled(self, change: LoggedChange) -> Sequence[Raw]:
        """The new row; what the stream leaves out is taken from the old one if that has it."""
        assert change.new is not None
        if change.old is None or Missing.UNCHANGED not in change.new:
            return change.new
        values = list(change.new)
        for at in range(len(values)) if change.whole else self._identity_places:
            if values[at] is Missing.UNCHANGED:
                values[at] = change.old[at]
        return values

    @staticmethod
    def _known(values: Sequence[Raw]) -> Stored:
        known = tuple(value for value in values if not isinstance(value, Missing))
        assert len(known) == len(values), "PostgreSQL logs the old key if a value of it is stored apart"
        return known
