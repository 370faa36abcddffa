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
        self.collecting_s = 0.0
        self.is_at_rest = False
        self._moments = moments

    def poll(self, timeout_s: float) -> list[RawBatch]:
        self.now += min(POLL_S, timeout_s)
        due = [moment for moment in self._moments if moment <= self.now]
        self._moments = self._moments[len(due) :]
        return [batch() for _ in due]

    def collect(self, wait_s: float, *, is_at_rest: bool = False) -> None:
        self.collecting_s, self.is_at_rest = wait_s, is_at_rest

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
        ([1.0], [1.002]),  # the first since long hardly waits
        ([1.0, 1.001], [1.002]),  # it shares its transaction with what comes in that time
        ([1.0, 1.02, 1.04], [1.002, 1.062]),  # more comes soon: transactions begin apart
        ([1.0, 1.08], [1.002, 1.081]),  # the broker had time to collect this
        ([1.0, 1.02, 1.5], [1.002, 1.062, 1.502]),  # until it is rare again
    ],
)
def test_what_is_rare_hardly_waits_and_what_is_frequent_waits_for_more(moments: list[float], ends: list[float]) -> None:
    script = Script(moments)
    consumer = cast(Consumer, script)
    gatherer = Gatherer(max_bytes=1 << 20, max_wait_s=0.06, clock=lambda: script.now)
    for end in ends:
        while not gatherer.gather(consumer, 0.2).batches:
            assert script.now < 5
        assert script.now == pytest.approx(end, abs=2 * POLL_S)


def test_the_broker_collects_while_batches_are_frequent() -> None:
    script = Script([1.0, 1.02])
    consumer = cast(Consumer, script)
    gatherer = Gatherer(max_bytes=1 << 20, max_wait_s=0.06, clock=lambda: script.now)
    gatherer.gather(consumer, 2.0)
    assert script.collecting_s == 0
    gatherer.gather(consumer, 2.0)
    assert script.collecting_s == 0.06
    gatherer.gather(consumer, 0.2)
    assert script.collecting_s == 0.06
    gatherer.gather(consumer, 0.2)
    assert script.collecting_s == 0


def test_what_is_enough_for_a_transaction_waits_for_nothing() -> None:
    script = Script([1.0, 1.01])
    consumer = cast(Consumer, script)
    gatherer = Gatherer(max_bytes=1, max_wait_s=0.05, clock=lambda: script.now)
    gatherer.gather(consumer, 2.0)
    assert len(gatherer.gather(consumer, 2.0).batches) == 1
    assert script.now == pytest.approx(1.01, abs=2 * POLL_S)


def test_a_broker_that_long_has_nothing_is_asked_less_often_until_it_has_something() -> None:
    script = Script([1.0, 20.0])
    gatherer = Gatherer(max_bytes=1 << 20, max_wait_s=0.06, clock=lambda: script.now)
    rests = []
    for until in (1.1, 5.0, 12.0, 20.1):
        while script.now < until:
            gatherer.gather(cast(Consumer, script), 0.2)
        rests.append(script.is_at_rest)
    assert rests == [False, False, True, False]
