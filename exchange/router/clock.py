"""The time that decides when grants begin and end: the broker's, as far as the router knows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class BrokerClock:
    """Follows the broker's clock, by the times at which it appended this router's ledger entries.

    Between two entries it adds the time that passed, which no change of the router's own clock affects. The router's
    own clock, `guess` in seconds since 1970, is used only until the broker's first answer.
    """

    def __init__(self, guess: Callable[[], float], since: Callable[[], float] = time.monotonic) -> None:
        self._since = since
        self._ahead_s = guess() - since()

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self._since() + self._ahead_s

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.fromtimestamp(self(), UTC)

    def learn(self, append_ms: int) -> None:
        """Learn that the broker has just appended something, at `append_ms` since 1970."""
        self._ahead_s = append_ms / 1000 - self._since()
