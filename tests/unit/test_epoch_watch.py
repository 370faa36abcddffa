"""What the watch of the contract's topic does when it cannot go on."""

from __future__ import annotations

import time

import pytest

from exchange import epoch_watch
from exchange.bus import Cluster
from exchange.contract.epoch import EpochError
from exchange.epoch_watch import EpochWatch
from exchange.errors import TransientError


def test_a_record_that_is_no_epoch_is_raised_where_an_epoch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([TransientError("not now"), EpochError("no epoch")])

    def latest(_: Cluster) -> None:
        raise next(answers)

    monkeypatch.setattr(epoch_watch, "latest_epoch", latest)
    with EpochWatch(Cluster("nowhere:1")) as watch:
        began = time.monotonic()
        with pytest.raises(EpochError):
            watch.catch_up(1, timeout_s=30)
        with pytest.raises(EpochError):
            _ = watch.newest
    assert time.monotonic() - began < 15
