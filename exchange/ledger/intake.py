"""What one SQL transaction adds to the ledger's tables: entries, their states, epochs and positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from exchange.contract.model import Epoch
from exchange.ledger.entry import Entry
from exchange.names import Partition

State = Literal["open", "committed", "aborted"]


@dataclass(slots=True)
class Placed:
    """An entry with its place in the ledger; open until its transaction's marker comes."""

    partition: int
    offset: int
    producer_id: int
    digest: bytes
    body: bytes
    entry: Entry
    state: State = "open"


@dataclass(frozen=True, slots=True)
class Marker:
    """The end of a producer's transaction; it decides the producer's open entries before it."""

    partition: int
    offset: int
    producer_id: int
    state: State


@dataclass
class Intake:
    """Consecutive parts of the ledger's partitions (and of the contract's topic), collected in order.

    `positions` holds, per (topic, partition), where the intake starts and the offset after its end.
    """

    entries: list[Placed] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    positions: dict[Partition, tuple[int, int]] = field(default_factory=dict)
    records: int = 0
    _open: dict[tuple[int, int], list[Placed]] = field(default_factory=dict)

    def add(self, placed: Placed) -> None:
        """Add the next entry of its ledger partition."""
        self.entries.append(placed)
        self.records += placed.entry.count
        self._open.setdefault((placed.partition, placed.producer_id), []).append(placed)

    def end(self, marker: Marker) -> None:
        """Add a transaction marker: it decides entries of this intake now, and earlier ones in SQL."""
        self.markers.append(marker)
        for placed in self._open.pop((marker.partition, marker.producer_id), ()):
            placed.state = marker.state

    def advance(self, topic: str, partition: int, start: int, end: int) -> None:
        """Note that the offsets from `start` to before `end` are collected."""
        first, _ = self.positions.get((topic, partition), (start, start))
        self.positions[topic, partition] = (first, end)
