"""Reads and publishes epochs on `exchange.contract`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from exchange import names
from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import TopicAppender, read, read_all
from exchange.contract.epoch import decode, encode, key, takes_over
from exchange.contract.model import Contract, Epoch
from exchange.contract.period import Interruption, interruption
from exchange.errors import ConfigError, TransientError

Place = tuple[str, str]
"""A reader and a subject."""
_LAST = 4
_ATTEMPTS = 10


class NoContractError(ConfigError):
    """No epoch was ever published."""

    code = "no-contract"
    remedy = "run `exchange apply` first"

    def __init__(self) -> None:
        super().__init__("there is no contract on the cluster")


@dataclass(frozen=True)
class Published:
    """An epoch, found at `offset` of the contract's topic."""

    epoch: Epoch
    offset: int


def epochs(cluster: Cluster) -> Iterator[Published]:
    """Every epoch that came into force, oldest first.

    Raises EpochError if a record of the topic is not an epoch.
    """
    current: Epoch | None = None
    for record in read_all(cluster, names.CONTRACT_TOPIC):
        if record.value is None:
            continue
        epoch = decode(record.value)
        if takes_over(epoch, current):
            current = epoch
            yield Published(epoch, record.offset)


def epochs_since(cluster: Cluster, number: int) -> Iterator[Published]:
    """The epochs that came into force from the one with that number on, oldest first, as far as Kafka has them.

    Reads only the end of the topic: no epoch before offset n has a number above n.
    """
    place = (names.CONTRACT_TOPIC, 0)
    current: Epoch | None = None
    with Consumer(cluster) as consumer:
        if not consumer.partitions(names.CONTRACT_TOPIC):
            return
        begin, end = (ask([place])[place] for ask in (consumer.begin_offsets, consumer.end_offsets))
        for record in read(consumer, {place: max(begin, number - 1)}, {place: end}):
            epoch = decode(record.value) if record.value is not None else None
            if epoch is not None and epoch.number >= number and takes_over(epoch, current):
                current = epoch
                yield Published(epoch, record.offset)


def contracts_of(published: Iterable[Published], places: Collection[Place]) -> list[tuple[Contract, datetime]]:
    """The contracts of these epochs, reduced to the grants of these places, with when they came into force."""
    subjects = {subject for _, subject in places}
    found = []
    for one in published:
        contract = one.epoch.contract
        parts = {
            "departments": (),
            "subjects": tuple(each for each in contract.subjects if each.id in subjects),
            "grants": tuple(each for each in contract.grants if (each.reader, each.subject) in places),
        }
        found.append((contract.model_copy(update=parts), one.epoch.time))
    return found


def interruptions(cluster: Cluster, places: Collection[Place], now: datetime) -> dict[Place, Interruption]:
    """How readers last ceased to be given these subjects; those that never did are left out."""
    contracts = contracts_of(epochs(cluster), places) if places else []
    found = {place: interruption(contracts, place[1], place[0], now) for place in places}
    return {place: each for place, each in found.items() if each is not None}


class Newest:
    """Finds the epoch in force, again and again with one consumer, which must have no other assignment meanwhile."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def find(self) -> Published | None:
        """The epoch in force; None if none was ever published. Raises EpochError as `epochs` does.

        Reads only the end of the topic. Each epoch's number is one more than the highest before it, so no epoch before
        offset n has a number above n; an epoch after it with a higher number is the highest of all. This holds even
        if older epochs were deleted, which are needed only for proofs about their time.
        """
        place = (names.CONTRACT_TOPIC, 0)
        if not self._consumer.partitions(names.CONTRACT_TOPIC):
            return None
        begin, end = (ask([place])[place] for ask in (self._consumer.begin_offsets, self._consumer.end_offsets))
        start, newest = end, None
        while start > begin and (newest is None or newest.epoch.number <= start):
            start, newest = max(begin, end - max(_LAST, 4 * (end - start))), None
            for record in read(self._consumer, {place: start}, {place: end}):
                if record.value is None:
                    continue
                epoch = decode(record.value)
                if takes_over(epoch, newest.epoch if newest else None):
                    newest = Published(epoch, record.offset)
        return newest


def latest_epoch(cluster: Cluster) -> Published | None:
    """The epoch in force, as `Newest.find` finds it."""
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        return Newest(consumer).find()


def epoch_in_force(cluster: Cluster) -> Epoch:
    """The epoch in force; NoContractError if there is none."""
    newest = latest_epoch(cluster)
    if newest is None:
        raise NoContractError
    return newest.epoch


def publish_next(out: TopicAppender, newest: Newest, change: Callable[[Epoch], Epoch | None]) -> Published | None:
    """Publish what `change` makes of the epoch in force; repeat if others publish at the same time.

    Returns the epoch in force as soon as `change` returns None for it: nothing is left to change. Returns None if
    there is no epoch. Raises TransientError after some tries.
    """
    for _ in range(_ATTEMPTS):
        found = newest.find()
        changed = change(found.epoch) if found else None
        if changed is None:
            return found
        publish_epoch(out, changed)
    raise TransientError(f"{_ATTEMPTS} times another epoch was published first", remedy="run this again")


def publish_epoch(out: TopicAppender, epoch: Epoch) -> int:
    """Publish the epoch and return its offset. It is not in force if another one with its number came first."""
    [offset] = out.publish([(key(epoch.number), encode(epoch))])
    return offset
