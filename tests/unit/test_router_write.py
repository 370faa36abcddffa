"""What the router's writer refuses to deliver, by the broker's time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from exchange import names
from exchange.bus.consume import Membership
from exchange.bus.produce import Producer
from exchange.ledger import entry as ledger
from exchange.router.clock import BrokerClock
from exchange.router.write import Decided, NoBrokerTimeError, Writer, WrongTimeError
from tests.rigs.routing import NOW, SUBJECT, batch, epoch, grant, route, value

END = datetime(2026, 12, 31, 16, tzinfo=UTC)  # the city's midnight
INBOX = names.inbox_topic("whole", SUBJECT)


class Kafka:
    """In the place of producer and transaction: notes what is sent, and stamps it with the broker's time."""

    def __init__(self, now: datetime | None) -> None:
        self.now = now
        self.sent: list[str] = []
        self.committed = False
        self._unacknowledged = 0

    @contextmanager
    def transaction(self) -> Iterator[Kafka]:
        yield self
        self.committed = True

    def send(self, topic: str, *_: Any) -> None:
        self.sent.append(topic)
        self._unacknowledged += 1

    def flush(self) -> list[int]:
        count, self._unacknowledged = self._unacknowledged, 0
        return [int(self.now.timestamp() * 1000) if self.now else -1] * count

    def enlist(self, *_: Any) -> None: ...

    def send_offsets(self, *_: Any) -> None: ...


def write(kafka: Kafka, decided_at: datetime, clock: BrokerClock | None = None) -> None:
    """Write what is decided for a grant that ends with 2026."""
    under = epoch(grant("whole"))
    made = route(under, [batch([(1, b"k", value(), [])])], decided_at).step
    decided = Decided([made], {}, Membership("g", 1, "m"))
    writer = Writer(cast(Producer, kafka), 8, clock or BrokerClock(decided_at.timestamp))
    writer.decided(decided, 1)


def test_what_holds_at_the_brokers_time_is_delivered() -> None:
    kafka = Kafka(END - timedelta(milliseconds=1))
    write(kafka, NOW)
    assert (kafka.sent, kafka.committed) == ([names.LEDGER_TOPIC, INBOX], True)


@pytest.mark.parametrize(
    ("decided_at", "appended"), [(END - timedelta(seconds=1), END), (END, END - timedelta(milliseconds=1))]
)
def test_nothing_is_delivered_where_a_grant_began_or_ended_meanwhile(decided_at: datetime, appended: datetime) -> None:
    kafka, clock = Kafka(appended), BrokerClock(decided_at.timestamp, lambda: 0.0)
    with pytest.raises(WrongTimeError):
        write(kafka, decided_at, clock)
    assert (kafka.sent, kafka.committed) == ([names.LEDGER_TOPIC], False)
    assert clock.now() == appended


def test_a_ledger_without_the_brokers_time_stops_the_router() -> None:
    with pytest.raises(NoBrokerTimeError, match="exchange apply"):
        write(Kafka(None), NOW)


def test_a_wrong_clock_is_found_at_the_first_entry() -> None:
    kafka, clock = Kafka(NOW), BrokerClock((NOW - timedelta(days=1)).timestamp, lambda: 0.0)
    writer = Writer(cast(Producer, kafka), 8, clock)
    said = ledger.adoption(1, "r", int(clock() * 1000), 0)
    with pytest.raises(WrongTimeError):
        writer.entries([said], 1)
    writer.entries([replace(said, time_ms=int(clock() * 1000))], 1)
    assert kafka.committed


def test_the_clock_goes_by_the_time_since_the_brokers_last_answer() -> None:
    since = [100.0]
    clock = BrokerClock(lambda: 5_000.0, lambda: since[0])
    clock.learn(90_000_500)
    since[0] += 2
    assert clock() == 90_002.5
