"""Wait for what another process does, by asking again and again for a limited time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

ANSWER = TypeVar("ANSWER")


def until(done: Callable[[], object], timeout_s: float, pause_s: float = 0.05) -> bool:
    """Wait until `done()` holds; False if it does not within the time. It is asked at least once."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True


def patiently(
    ask: Callable[[], ANSWER], passes: Callable[[Exception], bool], timeout_s: float, pause_s: float = 0.05
) -> ANSWER:
    """Ask until there is an answer. An error that `passes`, a passing one, is raised only when the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except Exception as error:
            if not passes(error) or time.monotonic() > deadline:
                raise
        time.sleep(pause_s)
