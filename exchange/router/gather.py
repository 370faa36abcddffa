"""Collects source batches until they are worth a transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from exchange.bus.consume import Consumer
from exchange.gap import Gap, GapError
from exchange.names import Partition
from exchange.records.header import RawBatch

MAX_RUN_RECORDS = 32_768  # per ledger entry: its tags then take at most 512 KiB
MAX_RUN_BYTES = 8 << 20
RARE_S = 0.25  # a batch that comes later than this after the last is not made to wait for others
OWN_RUN_BYTES = 1 << 20  # data of one fetch response from this size on is decided in place, not joined to the next


@dataclass
class Gathered:
    """Batches by partition, in order.

    `positions`: how far each partition was read, including markers after its last batch. `gaps`: those found.
    """

    batches: dict[Partition, list[RawBatch]] = field(default_factory=dict)
    size_bytes: int = 0
    positions: dict[Partition, int] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()

    def add(self, batch: RawBatch) -> None:
        """Append a batch to its partition's."""
        self.batches.setdefault((batch.topic, batch.partition), []).append(batch)
        self.size_bytes += len(batch.data)

    def drop(self, partitions: set[Partition]) -> None:
        """Forget partitions that now belong to another router."""
        for partition in partitions:
            self.batches.pop(partition, None)

    def apart(self, topics: set[str]) -> list[Gathered]:
        """Split into the batches of all other topics and those of `topics`, one transaction each; omit empty parts."""
        parts: dict[bool, Gathered] = {}
        for place, batches in self.batches.items():
            part = parts.setdefault(place[0] in topics, Gathered(positions=self.positions))
            part.batches[place] = batches
        return [parts[key] for key in sorted(parts)]

    def starts(self) -> dict[Partition, int]:
        """The first wanted offset of each partition."""
        firsts = {partition: batches[0] for partition, batches in self.batches.items()}
        return {place: max(first.header.base_offset, first.from_offset) for place, first in firsts.items()}

    def offsets(self) -> dict[Partition, int]:
        """Where each partition goes on: after its last batch and the markers that follow it."""
        ends = {place: batches[-1].header.next_offset for place, batches in self.batches.items()}
        return {place: max(end, self.positions.get(place, 0)) for place, end in ends.items()}

    def runs(self) -> Iterator[tuple[Partition, list[RawBatch]]]:
        """Each partition's batches, as runs of limited size."""
        for partition, batches in self.batches.items():
            run: list[RawBatch] = []
            records = size = 0
            for batch in batches:
                count, length = batch.header.records, len(batch.data)
                is_full = records + count > MAX_RUN_RECORDS or size + length > MAX_RUN_BYTES
                if run and (is_full or (size >= OWN_RUN_BYTES and batch.data.obj is not run[-1].data.obj)):
                    yield partition, run
                    run, records, size = [], 0, 0
                run.append(batch)
                records, size = records + count, size + length
            yield partition, run


class Gatherer:
    """Polls a consumer; batches of partitions that the group takes away meanwhile are dropped, not decided twice.

    Every transaction costs about the same, whatever is in it. If they would be frequent, the gatherer makes fewer of
    them, up to `max_wait_s` apart; if they are rare, a batch waits a tenth of that.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._open = Gathered()
        self._found_s = -RARE_S  # when batches were last found

    def revoked(self, partitions: set[Partition]) -> None:
        """Drop these partitions; pass this method to the consumer as `on_revoked`."""
        self._open.drop(partitions)

    def gather(self, consumer: Consumer, idle_s: float) -> Gathered:
        """The next batches: empty after `idle_s` without any, else at most `max_wait_s` after the first."""
        self._open = Gathered()
        deadline = self._clock() + idle_s
        began = False
        while (left := deadline - self._clock()) > 0 and self._open.size_bytes < self._max_bytes:
            try:
                batches = consumer.poll(left)
            except GapError as error:
                self._open.gaps += error.gaps
                break
            for batch in batches:
                self._open.add(batch)
            if batches and not began:
                now = self._clock()
                is_rare = now - self._found_s > RARE_S
                began, deadline = True, now + (self._max_wait_s / 10 if is_rare else self._max_wait_s)
        if self._open.batches:
            self._found_s = self._clock()
            self._open.positions = {place: at for place, (at, _) in consumer.positions().items()}
        return self._open
