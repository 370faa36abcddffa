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


def runs(changes: Sequence[RowChange]) -> list[list[RowChange]]:
    """The changes in order, cut where rows go and come in turn, the columns differ, or another flow begins."""
    found: list[list[RowChange]] = []
    shape: Any = ()
    for change in changes:
        before, shape = shape, (change.origin.replay, change.is_gone, tuple(change.row))
        if not found or shape != before:
            found.append([])
        found[-1].append(change)
    return found
