"""When a router has a transaction open, and how many entries were in transactions that did not commit."""

from __future__ import annotations

import time

from kafka import KafkaConsumer, TopicPartition

from tests.rigs import plain
from tests.rigs.place import Place


class OpenTransaction:
    """The moment at which a router has written to the ledger and not yet committed; at most `PATIENCE_S` away."""

    PATIENCE_S = 3.0

    def __init__(self, place: Place) -> None:
        levels = ("read_uncommitted", "read_committed")
        self._watchers = [KafkaConsumer(**place.cluster.config(), isolation_level=level) for level in levels]
        partitions = plain.topics(place.kafka)["exchange.ledger"]
        self._places = [TopicPartition("exchange.ledger", p) for p in range(partitions)]

    def __call__(self) -> None:
        deadline = time.monotonic() + self.PATIENCE_S
        while time.monotonic() < deadline:
            stable, written = (watcher.end_offsets(self._places) for watcher in reversed(self._watchers))
            if any(written[place] > stable[place] for place in self._places):
                return

    def close(self) -> None:
        """Disconnect its two clients."""
        for watcher in self._watchers:
            watcher.close()


def aborted_entries(place: Place) -> int:
    """How many ledger entries were written in transactions that did not commit."""
    registry = plain.Registry(place.kafka)
    count = {
        isolation: sum(1 for _ in plain.entries(place.kafka, registry, isolation=isolation))
        for isolation in ("read_uncommitted", "read_committed")
    }
    return count["read_uncommitted"] - count["read_committed"]
