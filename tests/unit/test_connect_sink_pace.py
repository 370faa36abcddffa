"""How long the broker collects for a sink."""

from __future__ import annotations

import pytest

from exchange.connect.sink_pace import LEAST_S, MOST_S, RARE_S, SHARE, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Sink:
    """Takes something in, again and again."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pace = Pace(clock=self.clock)

    def take(self, after_s: float, took_s: float) -> float:
        """A transaction that begins so long after the last and takes so long; what follows is collected so long."""
        self.clock.now += after_s
        self.pace.begin()
        self.clock.now += took_s
        return self.pace.end()


def test_what_comes_alone_does_not_make_the_next_wait() -> None:
    sink = Sink()
    assert sink.take(0, 0.001) == 0
    assert sink.take(RARE_S + 0.01, 0.3) == 0
    assert sink.take(RARE_S + 0.01, 0.001) == 0


@pytest.mark.parametrize(("took_s", "collected_s"), [(0.0001, LEAST_S), (0.004, 0.004 * SHARE), (1.0, MOST_S)])
def test_what_keeps_coming_is_collected_the_longer_the_slower_the_database_is(
    took_s: float, collected_s: float
) -> None:
    sink = Sink()
    sink.take(0, took_s)
    assert sink.take(0.1, took_s) == pytest.approx(collected_s)
    assert sink.take(0.1, took_s) == pytest.approx(collected_s)


def test_it_is_at_rest_only_a_while_after_the_last() -> None:
    sink = Sink()
    assert sink.pace.is_rare()
    sink.take(0, 0.001)
    assert not sink.pace.is_rare()
    sink.clock.now += RARE_S + 0.01
    assert sink.pace.is_rare()
