"""What a router reads: the partitions of its subjects, except those that it leaves aside for now."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from exchange import names
from exchange.bus.connection import BusForbiddenError
from exchange.bus.consume import Consumer
from exchange.bus.produce import Producer
from exchange.bus.refusals import RefusedError
from exchange.contract.quota import CLAIMS
from exchange.errors import ExchangeError
from exchange.names import Partition
from exchange.router.gather import Gathered
from exchange.router.suspended import Cause, Suspended
from exchange.router.write import Decided, Writer

ABSENT_S = 1.0  # a topic is absent after this time: metadata may be too early to contain a new one
LAG_S = 5.0  # the greatest age of the lag shown for partitions that are not read


class Sources:
    """The consumer of the routers' group, and which of its partitions are `suspended`."""

    def __init__(self, consumer: Consumer, suspended: Suspended, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._suspended = suspended
        self._clock = clock
        self._partitions: dict[str, int] = {}
        self._missed: dict[str, float] = {}
        self._absent: dict[Cause, set[Partition]] = {}
        self._paused: set[Partition] = set()
        self._busy: set[Partition] = set()
        self._aside: dict[Partition, tuple[int, int]] = {}
        self._aside_at_s = clock()

    def subscribe(self, partitions: Mapping[str, int], ids: Mapping[str, str]) -> None:
        """Read these topics from now on; the contract gives each one's number of partitions, and its topic id."""
        if partitions.keys() != self._partitions.keys():
            self._consumer.subscribe(sorted(partitions), ids)
        self._partitions = dict(partitions)

    def hold(self, unready: Mapping[str, Cause], busy: set[Partition]) -> None:
        """Before each reading: pause the partitions left aside, `busy`, and those of missing or `unready` topics.

        Partitions that the group assigned anew are not paused yet.
        """
        self._find_absent()
        if self._absent or unready or self._suspended.facts:
            assigned = self._consumer.assigned()
            if assigned:
                self._suspended.keep(assigned.union(*self._absent.values()))
            self._suspended.suspend(self._absent)
            self._suspended.suspend({cause: _of({topic}, assigned) for topic, cause in unready.items()})
        self._busy = busy
        self._consumer.pause(aside := self._suspended.places | busy)
        self._consumer.resume(self._paused - aside)  # but not partitions that the consumer paused before a gap
        self._paused = aside

    def leave_aside(self, error: RefusedError, decided: Collection[Decided], writer: Writer) -> bool:
        """Suspend partitions whose records go to places that accept nothing; False if that is all of them, or none."""
        if any(place[0] == names.LEDGER_TOPIC and why.is_of_topic for place, why in error.refusals.items()):
            return False
        found: dict[Cause, set[Partition]] = {}
        assigned = self._consumer.assigned()
        for one in decided:
            for place, feeding in writer.feeders(one, error.refusals).items():
                why = error.refusals[place]
                is_all = why.is_of_topic and place[0] != names.QUOTA_TOPIC
                cause = Cause(why.code, why.told, why.remedy, (place[0], 0) if is_all else place)
                also = _of({topic for topic, _ in feeding}, assigned) if is_all else set()
                found.setdefault(cause, set()).update(feeding | also)
        self._suspended.suspend(found)
        return any(found.values())

    def leave_unread(self, error: BusForbiddenError) -> bool:
        """Suspend the partitions that this router may not read; False if the error is about something else."""
        topics = error.topics & self._partitions.keys()
        self._suspended.suspend({_forbidden(topic): self._places(topic) for topic in topics})
        return bool(topics)

    def leave_unclaimed(self, error: ExchangeError, topics: set[str]) -> bool:
        """Suspend the partitions of these topics: their grants have quotas, and no claim can be made."""
        cause = Cause(error.code, error.message, error.remedy, (names.QUOTA_TOPIC, CLAIMS))
        found = _of(topics, self._consumer.assigned())
        self._suspended.suspend({cause: found})
        return bool(found)

    def drop(self, gathered: Gathered) -> None:
        """Forget what was read from partitions left aside: the group had assigned them anew, without their pause."""
        strays = (self._suspended.places | self._busy) & gathered.batches.keys()
        gathered.drop(strays)
        self._consumer.rewind(strays)

    def rewind(self) -> None:
        """Go back to the committed offsets."""
        self._consumer.rewind(self._consumer.assigned() - self._suspended.places)

    def try_again(self, out: Producer) -> None:
        """Read partitions again when their time has come, unless their destination is known to accept nothing still."""
        if due := self._suspended.due():
            refused = out.refusals({cause.destination for cause in due if cause.destination})
            self._suspended.put_off([cause for cause in due if cause.destination in refused])
            self._suspended.try_again([cause for cause in due if cause.destination not in refused])
            self._consumer.rewind(self._suspended.on_trial)
            if self._absent:
                self._consumer.refresh()

    def done(self, under_way: Gathered) -> dict[Partition, tuple[int, int]]:
        """Each partition's (committed offset, end), given that only `under_way` is not committed yet."""
        starts = under_way.starts()
        done = {place: (starts.get(place, at), end) for place, (at, end) in self._consumer.positions().items()}
        # Partitions on trial may not have been fetched yet: what the consumer knows of their end is old.
        aside = (self._suspended.places | self._suspended.on_trial) & self._consumer.assigned()
        if self._aside.keys() != aside or self._clock() - self._aside_at_s > LAG_S:
            committed, ends = self._consumer.committed(aside), self._consumer.end_offsets(aside)
            begins = self._consumer.begin_offsets(aside)
            self._aside = {place: (committed.get(place, begins[place]), ends[place]) for place in aside}
            self._aside_at_s = self._clock()
        return done | self._aside

    def is_known(self, done: Mapping[Partition, tuple[int, int]]) -> bool:
        """Whether `done` covers every assigned partition."""
        return done.keys() >= self._consumer.assigned()

    def _find_absent(self) -> None:
        now, missing = self._clock(), self._consumer.missing()
        if missing.keys() - self._missed.keys():
            self._consumer.refresh()
        self._missed = {topic: self._missed.get(topic, now) for topic in missing}
        absent = {
            _forbidden(topic) if missing[topic] else _gone(topic): self._places(topic)
            for topic, since in self._missed.items()
            if now - since >= ABSENT_S
        }
        self._suspended.try_again(self._absent.keys() - absent.keys())
        self._absent = absent

    def _places(self, topic: str) -> set[Partition]:
        return {(topic, partition) for partition in range(self._partitions[topic])}


def _gone(topic: str) -> Cause:
    return Cause("topic-missing", f"{topic} does not exist", "`exchange apply` makes it again")


def _forbidden(topic: str) -> Cause:
    return Cause(
        "source-forbidden", f"this router may not read {topic}", "`exchange apply` gives the routers the access"
    )


def _of(topics: set[str], places: Collection[Partition]) -> set[Partition]:
    return {place for place in places if place[0] in topics}
