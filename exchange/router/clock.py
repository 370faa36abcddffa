"""The time by which grants begin and end: the broker's, as the router knows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class BrokerClock:
    """Follows the broker's clock, from when it appended the router's newest ledger entry.

    In between, it goes by the time since then, which no setting of the router's own clock changes;
    that one, `guess` in seconds since 1970, only serves until the first answer of the broker.
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
        """The broker has just appended something, at `append_ms` since 1970."""
        self._ahead_s = append_ms / 1000 - self._since()
