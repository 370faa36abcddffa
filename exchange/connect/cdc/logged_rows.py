"""The changes of a stream in columns: texts for the kernels, and rows, each loaded only if it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exchange.connect.source import Bad, Deleted, Row
from exchange.connect.text_rows import TextColumns, TextRows

if TYPE_CHECKING:
    from exchange.records.text_table import TextTable

# What a row is. One that lacks values has to be completed by reading the table.
WRITTEN, GONE, GONE_KEY_ONLY, LACKING = range(4)
ALL_CHANGES = -1  # of a transaction


class MessageLayout(NamedTuple):
    """Where a table's columns stand in its messages.

    `places` (int64[c]) are the places of the columns that are read, `key` (int64[k]) those of the key;
    `identity` (bool[a]) says of every attribute whether it identifies a row.
    """

    relation: int
    places: np.ndarray
    key: np.ndarray
    identity: np.ndarray


class StreamState(NamedTuple):
    """The transaction that is being taken, with how many changes of it were seen, and the last change that was taken.

    `at_us` is as in the stream. `ended` is the place in the log up to which whole transactions were taken.
    """

    commit: int
    at_us: int
    xid: int
    taken: int
    last_commit: int
    last_changes: int
    ended: int


class LoggedChanges(NamedTuple):
    """n rows, and of each what it is, of which change of which transaction, and which message it is from (int64[n])."""

    table: TextTable
    kind: np.ndarray
    change: np.ndarray
    xid: np.ndarray
    at_us: np.ndarray
    message: np.ndarray

    def at(self, rows: np.ndarray) -> LoggedChanges:
        """These of the rows (int64 indexes)."""
        return LoggedChanges(self.table.at(rows), *(fact[rows] for fact in self[1:]))


class LoggedRows(TextRows):
    """`kinds` (int64[n]) says what each row is; of some that are gone only the columns of `identity` are known."""

    def __init__(
        self,
        layout: TextColumns,
        table: TextTable,
        kinds: np.ndarray,
        identity: Container[str],
        load: Callable[[Sequence[str], Sequence[bytes | None]], Row | Bad],
    ) -> None:
        super().__init__(layout, table)
        self._kinds = kinds
        self._identity = identity
        self._load = load

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError
        names, texts = self.layout.names, self.table.row(index)
        if self._kinds[index] == GONE_KEY_ONLY:
            known = [number for number, name in enumerate(names) if name in self._identity]
            names, texts = tuple(names[number] for number in known), [texts[number] for number in known]
        row = self._load(names, texts)
        return row if isinstance(row, Bad) or self._kinds[index] == WRITTEN else Deleted(row)

    def values(self, column: int) -> list[Any]:
        name = self.layout.names[column]
        rows = [self._load((name,), (text,)) for text in self.table.column(column).tolist()]
        if any(isinstance(row, Bad) for row in rows):
            raise ValueError("a value cannot be loaded")
        return [row[name] for row in rows if not isinstance(row, Bad)]

    def deletions(self) -> np.ndarray:
        are_gone: np.ndarray = self._kinds != WRITTEN
        return are_gone


class ChangePlaces(Sequence[str]):
    """Where rows come from: which change of which transaction (xid), committed when (Unix time).

    Written for people only if somebody asks: hardly any row is rejected.
    """

    def __init__(self, change: Any, xid: Any, committed_at: Any) -> None:
        """Each a list, or an array."""
        self.change, self.xid, self.committed_at = change, xid, committed_at

    def __len__(self) -> int:
        return len(self.change)

    def __getitem__(self, index: Any) -> Any:
        moment = datetime.fromtimestamp(float(self.committed_at[index]), UTC).isoformat(timespec="milliseconds")
        return f"change {self.change[index]} of transaction {self.xid[index]}, committed {moment}"
