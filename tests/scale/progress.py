"""How far a run is, and when it will be through."""

from __future__ import annotations

import time

_EVERY_S = 10.0


class Progress:
    """Prints a line now and then; `whole` is the number at which all is done."""

    def __init__(self, whole: int, unit: str) -> None:
        self._whole, self._unit = max(whole, 1), unit
        self._began = self._last = time.monotonic()

    def note(self, done: int, where: str) -> None:
        """`done` of the whole are done."""
        now = time.monotonic()
        if now - self._last < _EVERY_S or not done:
            return
        self._last = now
        left_s = (now - self._began) * (self._whole - done) / done
        print(f"{where}: {done:,} of {self._whole:,} {self._unit}, {_time(left_s)} left", flush=True)


def _time(seconds: float) -> str:
    return (
        f"{seconds / 3600:.1f} h"
        if seconds > 5400
        else f"{seconds / 60:.0f} min"
        if seconds > 90
        else f"{seconds:.0f} s"
    )
