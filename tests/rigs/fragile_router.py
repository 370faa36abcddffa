"""A router that kills itself at a chosen moment of its second transaction, and ones without a guard.

    python -m tests.rigs.fragile_router MOMENT --instance NAME

`entries`, `deliveries` and `offsets` are moments of the real router: after the ledger's, after the
deliveries' acknowledgement, after the offsets are sent. The others are of broken ones: they show that
tests notice. `offsets-first` and `offsets-last` commit the offsets in a transaction of their own;
`forgetful`, which does not kill itself, begins without what the readers hold.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from typing import Any

from exchange.bus import consume
from exchange.bus.produce import Transaction
from exchange.cli.main import main
from exchange.names import Partition
from exchange.router.held import HeldRows
from exchange.router.holdings import Holdings
from exchange.router.write import Decided, Writer

FATAL_TRANSACTION = 2
_send_offsets = Transaction.send_offsets
_decided = Writer.decided
_flush = Transaction.flush
_count = {"transactions": 0, "flushes": 0}


def die(_: Any = None) -> None:
    """SIGKILL, where it is time."""
    if _count["transactions"] == FATAL_TRANSACTION:
        os.kill(os.getpid(), signal.SIGKILL)


def counted(self: Writer, decided: Decided, schema_id: int) -> None:
    """Write as usual, counting."""
    _count["transactions"] += 1
    _count["flushes"] = 0
    _decided(self, decided, schema_id)


def after_flush(fatal: int) -> Callable[[Transaction], list[int]]:
    """A flush that is the last one where it is the transaction's `fatal`-th."""

    def flush(self: Transaction) -> list[int]:
        times_ms = _flush(self)
        _count["flushes"] += 1
        if _count["flushes"] == fatal:
            die()
        return times_ms

    return flush


def after_offsets(self: Transaction, *arguments: Any) -> None:
    """Send offsets, and die."""
    _send_offsets(self, *arguments)
    die()


def nothing(*_: Any) -> None:
    """In the place of `send_offsets`, which is done elsewhere."""


def offsets_first(self: Writer, decided: Decided, schema_id: int) -> None:
    """Broken: what is not delivered yet counts as done."""
    with self._out.transaction() as transaction:
        _send_offsets(transaction, decided.offsets, decided.membership)
    die()
    counted(self, decided, schema_id)


def offsets_last(self: Writer, decided: Decided, schema_id: int) -> None:
    """Broken: what is delivered does not count as done yet."""
    counted(self, decided, schema_id)
    die()
    with self._out.transaction() as transaction:
        _send_offsets(transaction, decided.offsets, decided.membership)


def load_nothing(self: Holdings, places: Collection[Partition]) -> None:
    """Broken: nobody holds anything of partitions that are taken over."""
    self._held |= {place: HeldRows(self._key_id) for place in places}


def arm(moment: str) -> None:
    """Change this process's router; its group misses it soon."""
    consume.SESSION_MS = 4_000
    Writer.decided = counted  # type: ignore[method-assign]
    if moment in ("entries", "deliveries"):
        Transaction.flush = after_flush(1 if moment == "entries" else 2)  # type: ignore[method-assign]
    elif moment == "offsets":
        Transaction.send_offsets = after_offsets  # type: ignore[method-assign]
    elif moment == "forgetful":
        Holdings._load = load_nothing  # type: ignore[method-assign]
    else:
        _count["transactions"] = 1
        Transaction.send_offsets = nothing  # type: ignore[method-assign]
        Writer.decided = {"offsets-first": offsets_first, "offsets-last": offsets_last}[moment]  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(sys.argv.pop(1))
    sys.argv[1:1] = ["router", "run"]
    main()
