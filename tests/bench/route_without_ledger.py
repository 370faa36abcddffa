"""The router with its ledger taken out, only here and only to say what the ledger costs."""

from __future__ import annotations

import numpy as np

from exchange.cli.main import exchange
from exchange.records import hash
from exchange.router.loop import Router


def _zeros(*columns: object, **_: object) -> np.ndarray:
    out = columns[-1]
    assert isinstance(out, np.ndarray)
    return out


hash.leaves = _zeros
hash.tags = _zeros
hash.merkle_root = lambda leaves: bytes(hash.DIGEST_BYTES)
Router._write_entry = lambda *_: None  # type: ignore[method-assign]

if __name__ == "__main__":
    exchange()
