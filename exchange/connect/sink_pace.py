"""How long the broker collects what comes for a sink: a transaction costs about the same, whatever is in it."""

from __future__ import annotations

import time
from collections.abc import Callable

RARE_S = 0.5  # what comes later than this after the last is not made to wait for more
LEAST_S, MOST_S = 0.02, 0.2
SHARE = 20  # while more keeps coming, transactions take at most so small a part of the time, as far as `MOST_S` allows


class Pace:
    """What comes alone does not wait; if more keeps coming, it is collected, the longer the slower the database is."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = self._ended_s = clock() - 2 * RARE_S

    def begin(self) -> None:
        """Note that a transaction begins."""
        self._began_s = self._clock()

    def end(self) -> float:
        """Note that it is over; return for how many seconds the broker is to collect what follows (0: not at all)."""
        was_rare = self._began_s - self._ended_s > RARE_S
        self._ended_s = self._clock()
        return 0.0 if was_rare else min(MOST_S, max(LEAST_S, SHARE * (self._ended_s - self._began_s)))

    def is_rare(self) -> bool:
        """Whether nothing more has come for a while."""
        return self._clock() - self._ended_s > RARE_S
