"""Which records of an entry met one fate, and what the reasons mean."""

from __future__ import annotations

import numpy as np

from exchange.ledger.entry import Entry, Withdrawn, Withheld

WITHHELD = {
    "filter": "the grant's `where` does not cover it",
    "tombstone": "it is a deletion, and the reader may not see whom it is about, or has nothing of what it deletes",
    "unevaluable": "the grant's conditions or masks could not be applied to it",
    "quota": "the grant's quota was used up: a replay can deliver it later",
    "superseded": "a later record has a newer version of its row, or deletes it",
    "unchanged": "the reader already had what it should have of the row, or has to ask for it with a replay",
}
STAYING = frozenset(("quota", "superseded", "unchanged"))
"""Reasons for withholding a record after which the reader keeps what it has of the row."""
WITHDRAWN = {
    "left": "the row was taken back: the grant no longer covers it, because the row or the grant changed",
    "deleted": "the row was taken back: the owner deleted it, or all rows of its entity",
}


def mask(entry: Entry, part: Withheld | Withdrawn) -> np.ndarray:
    """bool[count]: which records of the entry were withheld or withdrawn for that reason."""
    if part.bitmap is not None:
        bits = np.unpackbits(np.frombuffer(part.bitmap, np.uint8), count=entry.count, bitorder="little")
        return bits.astype(bool)
    every = np.ones(entry.count, bool)
    every[[quarantined.index for quarantined in entry.quarantined]] = False
    return every
