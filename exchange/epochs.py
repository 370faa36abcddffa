"""The epochs on `exchange.contract`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from exchange import names
from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import Publisher, read, read_all
from exchange.contract.epoch import decode, encode, key, takes_over
from exchange.contract.model import Epoch
from exchange.errors import TransientError

_LAST = 4
_ATTEMPTS = 10


def epochs(cluster: Cluster) -> Iterator[tuple[Epoch, int]]:
    """Every epoch that came into force, with its offset, oldest first.

    EpochError where a record of the topic is not an epoch.
    """
    current: Epoch | None = None
    for record in read_all(cluster, names.CONTRACT):
        if record.value is None:
            continue
        epoch = decode(record.value)
        if takes_over(epoch, current):
            current = epoch
            yield epoch, record.offset


class Newest:
    """Finds the epoch in force, over and over with one client, which has no other assignment meanwhile."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def find(self) -> tuple[Epoch, int] | None:
        """The epoch and its offset; None where none was ever published. Raises as `epochs` does.

        Reads only the end of the topic. Each epoch has the number after the highest before it, so that none
        before offset n has a higher number than n: a higher one from there on is the highest of all. It is in force
        also where older ones were deleted, which only the proofs of that time need.
        """
        place = (names.CONTRACT, 0)
        if not self._consumer.partitions(names.CONTRACT):
            return None
        begin, end = (ask([place])[place] for ask in (self._consumer.begin_offsets, self._consumer.end_offsets))
        start, newest = end, None
        while start > begin and (newest is None or newest[0].number <= start):
            start, newest = max(begin, end - max(_LAST, 4 * (end - start))), None
            for record in read(self._consumer, {place: start}, {place: end}):
                if record.value is not None and takes_over(epoch := decode(record.value), newest and newest[0]):
                    newest = epoch, record.offset
        return newest


def latest_epoch(cluster: Cluster) -> tuple[Epoch, int] | None:
    """The epoch in force and its offset, see `Newest.find`."""
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        return Newest(consumer).find()


def publish_next(out: Publisher, newest: Newest, change: Callable[[Epoch], Epoch | None]) -> tuple[Epoch, int] | None:
    """Publish what `change` makes of the epoch in force, over and over while others publish at the same time.

    Returns the epoch that is in force then, and its offset: that one as soon as `change` has nothing to change
    (None); None where there is no epoch. TransientError after some tries.
    """
    for _ in range(_ATTEMPTS):
        found = newest.find()
        changed = change(found[0]) if found else None
        if changed is None:
            return found
        publish_epoch(out, changed)
    raise TransientError(f"{_ATTEMPTS} times another epoch was published first", remedy="run this again")


def publish_epoch(out: Publisher, epoch: Epoch) -> int:
    """Publish the epoch; its offset. It is not in force where another one of its number came first."""
    [offset] = out.publish([(key(epoch.number), encode(epoch))])
    return offset
