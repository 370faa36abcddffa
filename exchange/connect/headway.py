"""How far a source or a sink has come: rows, rows a second, what is left, and when that is done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

RATE_S = 10.0  # the rate is that of so many seconds
EVERY_S = 0.25  # the time between the moments that are remembered for it


class Headway:
    """Counts the rows of one worker since it was made; any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.rows = 0
        self.rejected = 0
        self.left: int | None = None
        self._moments = deque([(clock(), 0)])

    def note(self, rows: int, rejected: int, left: int | None) -> None:
        """Add rows that were worked on, with those that were rejected; `left`: how many remain, if that is known."""
        now = self._clock()
        self.rows += rows
        self.rejected += rejected
        self.left = left
        if now - self._moments[-1][0] >= EVERY_S:
            self._moments.append((now, self.rows))
            while now - self._moments[1][0] > RATE_S:
                self._moments.popleft()

    @property
    def rate(self) -> float:
        """Rows a second of late; 0 if nothing came for as long."""
        began_s, before = next(((at, rows) for at, rows in list(self._moments) if self._clock() - at <= RATE_S), (0, 0))
        lasted_s = self._clock() - began_s
        return (self.rows - before) / lasted_s if began_s and lasted_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """The seconds that what is left takes at this rate, if both are known."""
        return self.left / self.rate if self.left and self.rate else None

    def __str__(self) -> str:
        """Such as `12,345 rows, 850 a second, 40,000 left for 47 s, 2 rejected`."""
        said = [f"{self.rows:,} row{'' if self.rows == 1 else 's'}"]
        if (rate := self.rate) >= 1:
            said.append(f"{rate:,.0f} a second")
        if self.left:
            said.append(f"{self.left:,} left" + (f" for {self.left_s:,.0f} s" if self.left_s else ""))
        if self.rejected:
            said.append(f"{self.rejected:,} rejected")
        return ", ".join(said)
