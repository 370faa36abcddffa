"""How long batches wait for others to share their transaction."""

from __future__ import annotations

from typing import Any, cast

import pytest

from exchange.bus.consume import Consumer
from exchange.records.build import pack
from exchange.records.header import RawBatch, parse
from exchange.router.gather import Gatherer

POLL_S = 0.001


class Script:
    """A consumer, and its clock: a poll takes a millisecond; a batch is there at each of the given moments."""

    def __init__(self, moments: list[float]) -> None:
        self.now = 0.0
        self._moments = moments

    def poll(self, timeout_s: float) -> list[RawBatch]:
        self.now += min(POLL_S, timeout_s)
        due = [moment for moment in self._moments if moment <= self.now]
        self._moments = self._moments[len(due) :]
        return [batch() for _ in due]

    def membership(self) -> None:
        """In no group."""

    def positions(self) -> dict[Any, Any]:
        return {}


def batch() -> RawBatch:
    [made] = pack([b"k"], [b"v"], [0])
    data = bytes(made.head) + bytes(made.body)
    return RawBatch("t", 0, parse(memoryview(data)), memoryview(data), 0)


@pytest.mark.parametrize(
    ("moments", "ends"),
    [
        ([1.0], [1.005]),  # the first since long: it waits a tenth
        ([1.0, 1.004], [1.005]),  # with what comes in that time
        ([1.0, 1.02, 1.04], [1.005, 1.07]),  # more comes soon: now it is waited for
        ([1.0, 1.02, 1.5], [1.005, 1.07, 1.505]),  # until it is rare again
    ],
)
def test_what_is_rare_hardly_waits_and_what_is_frequent_waits_for_more(moments: list[float], ends: list[float]) -> None:
    script = Script(moments)
    consumer = cast(Consumer, script)
    gatherer = Gatherer(max_bytes=1 << 20, max_wait_s=0.05, clock=lambda: script.now)
    for end in ends:
        while not gatherer.gather(consumer, 0.2).batches:
            assert script.now < 5
        assert script.now == pytest.approx(end, abs=2 * POLL_S)


def test_what_is_enough_for_a_transaction_waits_for_nothing() -> None:
    script = Script([1.0, 1.01])
    consumer = cast(Consumer, script)
    gatherer = Gatherer(max_bytes=1, max_wait_s=0.05, clock=lambda: script.now)
    gatherer.gather(consumer, 2.0)
    assert len(gatherer.gather(consumer, 2.0).batches) == 1
    assert script.now == pytest.approx(1.01, abs=2 * POLL_S)
