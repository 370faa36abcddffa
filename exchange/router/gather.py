"""Collects source batches until they are worth a transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from exchange.bus.consume import COLLECTED_BYTES, Consumer
from exchange.gap import Gap, GapError
from exchange.names import Partition
from exchange.records.header import RawBatch

MAX_RUN_RECORDS = 32_768  # per ledger entry: its tags then take at most 512 KiB
MAX_RUN_BYTES = 8 << 20
RARE_S = 0.25  # a batch that comes later than this after the last is not made to wait for others
REST_S = 10.0  # after this time without batches, the broker is asked less often whether there are some
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

    Every transaction costs about the same, whatever is in it, and so does every poll. A batch that comes alone hardly
    waits. If batches are frequent, the broker collects them, and transactions begin `max_wait_s` apart. If more flows
    than it would collect, a transaction takes on what comes within a third of that.
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
        self._found_s = clock() - RARE_S  # when batches were last gathered

    def revoked(self, partitions: set[Partition]) -> None:
        """Drop these partitions; pass this method to the consumer as `on_revoked`."""
        self._open.drop(partitions)

    def gather(self, consumer: Consumer, idle_s: float) -> Gathered:
        """The next batches, or none after `idle_s` without any."""
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
                began, deadline = True, self._end()
        if self._open.batches:
            consumer.collect(0 if self._is_rare() else self._max_wait_s)
            self._found_s = self._clock()
            self._open.positions = {place: at for place, (at, _) in consumer.positions().items()}
        elif self._is_rare():
            consumer.collect(0, is_at_rest=self._clock() - self._found_s > REST_S)
        return self._open

    def _is_rare(self) -> bool:
        return self._clock() - self._found_s > RARE_S

    def _end(self) -> float:
        """When the transaction that just began to be gathered is to have all that it takes on."""
        now = self._clock()
        if self._is_rare():
            return now + self._max_wait_s / 30
        if self._open.size_bytes < COLLECTED_BYTES:
            return self._found_s + self._max_wait_s
        return now + self._max_wait_s / 3
