"""What one record of an inbox changes in a sink's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RecordOrigin:
    """The record from which a change comes: its place in the inbox, its time in ms, the replay that delivered it."""

    partition: int
    offset: int
    time_ms: int
    replay: str | None = None


@dataclass(frozen=True)
class RowChange:
    """A row to write or, if it `is_gone`, the values of the rows to remove; made by `SinkTable`."""

    row: Mapping[str, Any]
    origin: RecordOrigin
    is_gone: bool = False


Refused = Sequence[tuple[RecordOrigin, str]]
"""Records that the database refused, and why."""


def runs(changes: Sequence[RowChange], by: str | None) -> list[list[RowChange]]:
    """The changes as few runs of the same kind: rows that come or rows that go, of the same columns and flow.

    Changes with the same value in the column `by` stay in order; if it is None, all do.
    """
    found: list[list[RowChange]] = []
    kinds: list[tuple[str | None, bool, tuple[str, ...]]] = []
    last: dict[Any, int] = {}  # value in `by` -> the run with its last change
    for change in changes:
        kind = (change.origin.replay, change.is_gone, tuple(change.row))
        whose = change.row[by] if by else None
        at = next((i for i in range(last.get(whose, 0), len(kinds)) if kinds[i] == kind), len(kinds))
        if at == len(kinds):
            kinds.append(kind)
            found.append([])
        found[at].append(change)
        last[whose] = at
    return found
