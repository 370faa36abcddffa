"""Chooses which of a run's records pass a view, and says why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exchange.contract.model import Quota, Resync
from exchange.ledger.entry import Withheld
from exchange.records.scan import Run
from exchange.records.values import Values
from exchange.router.held import NOT, PASS, STAY, Progress
from exchange.router.quarantine import Examined
from exchange.router.ready import ReadyView

STAYING = frozenset(("quota", "superseded", "unchanged"))
"""Reasons for withholding a record that leave with the reader what it has of the row."""

Allow = Callable[[str, Quota, int], int]
"""How many of so many records may be delivered under a grant and its quota."""


def no_quotas(_grant: str, _quota: Quota, records: int) -> int:
    """Allow all of them."""
    return records


@dataclass(frozen=True, eq=False)
class Again:
    """Says that records are decided again, to make true what the reader of one grant holds.

    Only those that are the `latest` of their rows count (bool[n]). `progress` is how far it has come with them.
    """

    resync: Resync
    latest: np.ndarray
    progress: Progress

    def unchanged(self, passing: np.ndarray, held: np.ndarray) -> np.ndarray:
        """bool[n]: of the records that pass, those whose rows stay with the reader, or away from it, as they are."""
        return passing & np.where(held, not self.resync.again, not self.resync.gives)


@dataclass(frozen=True, eq=False)
class Checked:
    """A run of n records with all that views need.

    `row_tags` (uint64[n, 2]) are those of the records' rows, if the subject has a key. `leaves` (uint8[n, 32]) and
    their `root` form the Merkle tree. `headers` are those of each delivered record, beside its own. `again`: these
    records were decided before; `held` are then those of whose rows the reader holds a version (bool[n]).
    """

    run: Run
    examined: Examined
    row_tags: np.ndarray | None
    leaves: np.ndarray
    root: bytes
    headers: Mapping[str, bytes]
    again: Again | None = None
    held: np.ndarray | None = None

    @cached_property
    def good(self) -> np.ndarray:
        """int64[m]: the indexes of the valid records."""
        return self.examined.good

    @cached_property
    def tombstones(self) -> np.ndarray:
        """bool[n]: the valid records without a value."""
        found = np.zeros(self.run.rows, bool)
        found[self.good] = self.run.values.length[self.good] < 0
        return found

    @cached_property
    def ends(self) -> np.ndarray:
        """int64[m]: the indexes of the valid records that delete all rows of an entity."""
        return np.flatnonzero(self.tombstones & (self.examined.names.bodies.length < 0))


@dataclass(frozen=True, eq=False)
class Choice:
    """The indexes `rows` (int64[m]) of the records that pass a view, and the `values` that it makes of them, by record.

    `withheld`: which of the valid records do not pass (bool[n]), by reason.
    """

    view: ReadyView
    rows: np.ndarray
    values: Values
    withheld: Mapping[str, np.ndarray]

    def states(self) -> np.ndarray:
        """uint8[n]: what becomes of the row of each record, see `held`."""
        states = np.full(self.values.rows, NOT, np.uint8)
        states[self.rows] = PASS
        for reason in STAYING & self.withheld.keys():
            states[self.withheld[reason]] = STAY
        return states

    def reasons(self, good: int, gone: np.ndarray | None = None) -> tuple[Withheld, ...]:
        """What the ledger says of the records withheld; those that are `gone` (bool[n]) have another outcome."""
        left = {reason: which if gone is None else which & ~gone for reason, which in self.withheld.items()}
        return tuple(Withheld(reason, *counted(which, good)) for reason, which in left.items() if which.any())


def choose(checked: Checked, view: ReadyView, allow: Allow) -> Choice:
    """Choose from the valid records of a run.

    The readers of a subject with a key do not get its tombstones: they lose the rows that these delete, see `withdraw`.
    """
    run, examined = checked.run, checked.examined
    values = run.values
    keep = np.zeros(run.rows, bool)
    keep[checked.good] = True
    withheld: dict[str, np.ndarray] = {}
    if checked.again:
        withheld["superseded"] = keep & ~checked.again.latest
        keep &= checked.again.latest
    tombstones = keep & checked.tombstones
    if (checked.row_tags is not None or not view.takes_tombstones) and tombstones.any():
        withheld["tombstone"] = tombstones
    if not view.is_whole or view.is_filtered:
        asked = keep & ~tombstones  # nothing of a tombstone can be filtered or projected
        made = view.kernels.evaluate(run.values, examined.ids, np.flatnonzero(asked), examined.located)
        values = made.values
        withheld["unevaluable"] = made.unevaluable
        withheld["filter"] = asked & ~made.keep & ~made.unevaluable
    for which in withheld.values():
        keep &= ~which
    if checked.again and checked.held is not None:
        withheld["unchanged"] = checked.again.unchanged(keep, checked.held)
        keep &= ~withheld["unchanged"]
    rows = np.flatnonzero(keep)
    if view.quota.is_limited and len(rows):
        rows, excess = np.split(rows, [allow(view.grants[0], view.quota, len(rows))])
        withheld["quota"] = np.zeros(run.rows, bool)
        withheld["quota"][excess] = True
    return Choice(view, rows, values, withheld)


def counted(which: np.ndarray, good: int) -> tuple[int, bytes | None]:
    """How many records these are (bool[n]), and their bitmap; None if they are all the valid ones."""
    count = int(which.sum())
    return count, None if count == good else np.packbits(which, bitorder="little").tobytes()
