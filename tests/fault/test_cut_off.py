"""A client that has lost its broker says so, asks for it seldom, and goes on when it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from exchange.broker import LocalBroker
from exchange.bus import Cluster, calm
from exchange.bus.admin import Admin
from exchange.bus.connection import BusUnavailableError
from exchange.bus.consume import Consumer
from exchange.bus.topic import Topic
from exchange.bus.topics import publish
from tests.rigs.plain import wait_until

AWAY_S = 4.0


@pytest.mark.parametrize("is_member", [True, False])
def test_a_consumer_without_a_broker(
    fresh_broker: LocalBroker,
    fresh_cluster: Cluster,
    unique: str,
    is_member: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Admin(fresh_cluster) as admin:
        admin.create({unique: Topic(1, 1)})
    how: dict[str, Any] = {"group": unique, "topics": [unique]} if is_member else {"assignment": {(unique, 0): 0}}
    with Consumer(fresh_cluster, **how) as consumer:
        publish(fresh_cluster, unique, [(b"a", b"1")])
        wait_until(lambda: len(consumer.poll(0.1)) == 1, "a record comes")
        consumer.collect(0, is_at_rest=True)
        monkeypatch.setattr(calm, "CUT_OFF_S", 1.0)
        fresh_broker.stop()
        prepared = counted(monkeypatch, consumer._consumer._fetcher, "_create_fetch_requests")
        caplog.set_level(logging.WARNING)
        wait_until(lambda: is_lost(consumer), "it says that the broker is away")
        prepared.clear()
        caplog.clear()
        ends = time.monotonic() + AWAY_S
        while time.monotonic() < ends:
            is_lost(consumer)
        assert len(prepared) < 120  # 800, if it looked every 5 ms
        assert len(caplog.records) < 100
        fresh_broker.start()
        wait_until(lambda: not is_lost(consumer), "it reaches the broker")
        publish(fresh_cluster, unique, [(b"b", b"2")])
        wait_until(lambda: len(consumer.poll(0.1)) == 1, "the next record comes")


def is_lost(consumer: Consumer) -> bool:
    try:
        assert consumer.poll(0.1) == []
    except BusUnavailableError:
        return True
    return bool(consumer._reach._manager.is_cut_off())


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[None]:
    """One element for each call of that function from now on."""
    calls: list[None] = []
    call: Callable[..., Any] = getattr(owner, name)

    def counting(*args: Any) -> Any:
        calls.append(None)
        return call(*args)

    monkeypatch.setattr(owner, name, counting)
    return calls
