"""Rows that are published once and then changed, as they follow each other in a source (W4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

VERSIONS = 5
"""Of each row on average: every fifth record is a new row, each of the others changes one of those before it."""
_ID = slice(6, 24)  # of the entity in a value: behind the wire header and the string's length


@dataclass(frozen=True, eq=False)
class History:
    """Of which row each of n records is a version (`rows`, int64[n]), and which distinct record it says (`says`).

    Half of the changes flip a filter, each of them as often as the others, everywhere in the history alike.
    """

    rows: np.ndarray
    says: np.ndarray

    @classmethod
    def of(cls, records: int, filters: Sequence[np.ndarray], seed: int = 4) -> Self:
        """A history of so many records, always the same; filters say which distinct records pass (bool[distinct])."""
        rng = np.random.default_rng(seed)
        at = np.arange(records)
        there = at // VERSIONS + 1
        rows = np.where(at % VERSIONS == 0, there - 1, (rng.random(records) * there).astype(np.int64))
        kinds = np.stack(filters, axis=1) @ (1 << np.arange(len(filters)))  # which filters a distinct record passes
        flipped = np.where(rng.random(records) < 0.5, 1 << rng.integers(len(filters), size=records), 0)
        first = np.flatnonzero(at % VERSIONS == 0)
        flipped[first] = rng.integers(1 << len(filters), size=len(first))
        order = np.argsort(rows, kind="stable")
        so_far = np.bitwise_xor.accumulate(flipped[order])
        starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
        before = np.repeat(np.concatenate([[0], so_far[starts[1:] - 1]]), np.diff(starts, append=records))
        kind, says = np.empty_like(rows), np.empty_like(rows)
        kind[order] = so_far ^ before
        for number in range(1 << len(filters)):
            those = np.flatnonzero(kind == number)
            says[those] = rng.choice(np.flatnonzero(kinds == number), len(those))
        return cls(rows, says)

    def passing(self, takes: np.ndarray) -> int:
        """How many versions a filter lets pass; `takes` says it of each distinct record (bool[distinct])."""
        return int(takes[self.says].sum())

    def leaving(self, takes: np.ndarray) -> int:
        """How many changes take a row out of the filter that was in it."""
        was, is_ = self.changes(takes)
        return int((was & ~is_).sum())

    def changes(self, takes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether the filter let each row pass before a change, and after it."""
        order = np.argsort(self.rows, kind="stable")
        rows, passes = self.rows[order], takes[self.says[order]]
        same = rows[1:] == rows[:-1]
        return passes[:-1][same], passes[1:][same]

    def versions(self, which: slice, values: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of some records; `values` are those of the distinct ones."""
        keys = [b"4401%014d" % row for row in self.rows[which].tolist()]
        said = (values[number] for number in self.says[which].tolist())
        return keys, [value[: _ID.start] + key + value[_ID.stop :] for key, value in zip(keys, said, strict=True)]
