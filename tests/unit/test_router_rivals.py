"""When a router concludes that another one runs under its name."""

from __future__ import annotations

import logging

import pytest

from exchange.router.rivals import FENCED_AT_MOST, WITHIN_S, DuplicateInstanceError, Rivals


class Rig:
    def __init__(self) -> None:
        self.now = 0.0
        self.rivals = Rivals("r1", lambda: self.now)

    def fenced(self, times: int, epoch: object, apart_s: float = 1.0) -> None:
        for _ in range(times):
            self.now += apart_s
            self.rivals.fenced(epoch)


def test_fenced_again_and_again_under_one_contract_it_gives_up(caplog: pytest.LogCaptureFixture) -> None:
    rig, epoch = Rig(), object()
    with caplog.at_level(logging.WARNING):
        rig.fenced(FENCED_AT_MOST - 1, epoch)
    assert len(caplog.records) == FENCED_AT_MOST - 1  # each time it says so
    with pytest.raises(DuplicateInstanceError, match="--instance"):
        rig.fenced(1, epoch)


def test_an_administrator_who_publishes_often_is_no_rival() -> None:
    rig = Rig()
    for _ in range(5 * FENCED_AT_MOST):
        rig.fenced(1, object())


def test_now_and_then_is_no_rival() -> None:
    rig = Rig()
    rig.fenced(5 * FENCED_AT_MOST, object(), apart_s=WITHIN_S / 2)
