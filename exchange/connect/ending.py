"""What a sink does when no grant gives its subject: it waits, or it deletes what an ended grant has left."""

from __future__ import annotations

from collections.abc import Callable

from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.connect.held_copy import HeldCopy
from exchange.connect.sink import Taken
from exchange.connect.sink_table import SinkTable

NOTHING = Taken(0, 0, 0)


class Waiting:
    """A sink without a grant, which keeps what it has."""

    is_finished = False
    waits = False

    def __init__(self, table: SinkTable, topic: str) -> None:
        self.copy = table.copy(topic)
        self._table = table

    def step(self, timeout_s: float) -> Taken:
        """Take in nothing."""
        return NOTHING

    def lag(self) -> int:
        """Nothing is left to do."""
        return 0

    def close(self) -> None:
        """Disconnect."""
        self._table.close()


class Unfinished:
    """A deletion that was due when a new grant came: it is finished first, so that no row of the old grant stays."""

    waits = False

    def __init__(self, table: SinkTable, topic: str) -> None:
        self.copy: HeldCopy = table.copy(topic)
        self.is_finished = False
        self._table = table

    def step(self, timeout_s: float) -> Taken:
        """Delete some rows."""
        gone = self.copy.delete_some()
        if not gone:
            self.is_finished = self.copy.finish()
        return Taken(0, gone, 0)

    def lag(self) -> int | None:
        """Nothing was taken in yet, so it is not known what is left."""
        return None

    def close(self) -> None:
        """Disconnect."""
        self._table.close()


class Ending:
    """A sink whose last grant asks for deletion: its rows go, and what is still in the inbox is not taken in.

    `confirm` raises TermsChangedError if the newest contract gives the subject again.
    """

    is_finished = False
    waits = False

    def __init__(self, cluster: Cluster, table: SinkTable, topic: str, confirm: Callable[[], None]) -> None:
        self.copy: HeldCopy = table.copy(topic)
        self._table, self._topic = table, topic
        self._confirm = confirm
        self._next: dict[int, int] = {}
        note = self.copy.note()
        self._is_done = note is not None and not note.is_due
        self._consumer = Consumer(cluster)
        try:
            self._read()
        except BaseException:
            self._consumer.close()
            raise

    def _read(self) -> None:
        there = self._consumer.partitions(self._topic)
        if set(there) - self._next.keys():
            self._next = self._table.offsets(self._topic, there)
            now = self._consumer.topic_ids([self._topic]).get(self._topic, "")
            places = {(self._topic, partition): at for partition, at in self._next.items()}
            self._consumer.assign(places, {self._topic: self._table.topic_id(self._topic, now)} if now else {})

    def step(self, timeout_s: float) -> Taken:
        """Delete some rows, or pass over what one poll returns."""
        if not self._is_done:
            gone = self.copy.delete_some()
            self._is_done = not gone and self.copy.finish()
            return Taken(0, gone, 0)
        self._read()
        if not self._next:
            return NOTHING
        self._consumer.poll(timeout_s)
        moved = {
            partition: (self._next[partition], at)
            for (_, partition), (at, _) in self._consumer.positions().items()
            if at > self._next[partition]
        }
        if moved:
            self._confirm()  # what was polled may be a new grant's
            self._table.skip(self._topic, moved)
            self._next.update({partition: after for partition, (_, after) in moved.items()})
        return NOTHING

    def lag(self) -> int | None:
        """How many offsets are still to be passed over; None if that is not known, or rows are to be deleted."""
        positions = self._consumer.positions()
        if not self._is_done or len(positions) < len(self._next):
            return None
        return sum(max(0, end - at) for at, end in positions.values())

    def close(self) -> None:
        """Disconnect from Kafka and the database."""
        self._table.close()
        self._consumer.close()
