"""Read record batches, raw and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Self

import kafka.errors
from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.base import MemberState
from kafka.errors import LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.structs import TopicPartition

from exchange.bus import gaps, raw
from exchange.bus.connection import Cluster, translated
from exchange.bus.raw import Position
from exchange.bus.transport import RECEIVE_BYTES, raise_refusal
from exchange.errors import TransientError
from exchange.gap import Gap, GapError
from exchange.names import Partition
from exchange.records.header import RawBatch

FETCH_PARTITION_BYTES = 8 << 20
FETCH_BYTES = 32 << 20
JOIN_S = 5.0
METADATA_MS = 30_000  # how old what a client knows of topics and their partitions may be


class NotInGroupError(TransientError):
    """The consumer is not, or no longer, a member of its group: what it holds may be another's by now."""

    code = "not-in-group"
    remedy = "wait: it joins again, and reads on from what was committed"


class Membership(NamedTuple):
    """Which generation of the group the consumer is in; offsets commit only under it (KIP-447).

    `topic_ids` are those of the topics whose offsets they are.
    """

    group: str
    generation: int
    member: str
    topic_ids: Mapping[str, str] = MappingProxyType({})


class Consumer:
    """Raw batches of topics: as a member of a group, or of assigned partitions from given offsets.

    `isolation` is read_committed or read_uncommitted. With `control`, transaction markers come too.
    A group starts at the committed offset, else at 0; `on_revoked` is called, inside of
    `poll`, with the partitions that the group takes away; those that come back start at their
    committed offsets again, so that what was polled of them has to be dropped. The broker answers a
    fetch at once when there is something, else after `idle_ms`.

    Never passes over a record in silence: where Kafka no longer keeps what comes next, or the topic is not the one
    that was read before, `poll` raises GapError. The partition then stands still until `pass_over`; the next
    `poll` goes on with the others.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        assignment: Mapping[Partition, int] | None = None,
        topic_ids: Mapping[str, str] = MappingProxyType({}),
        topics: Sequence[str] = (),
        group: str | None = None,
        isolation: str = "read_committed",
        control: bool = False,
        max_batches: int = 4096,
        idle_ms: int = 20,
        on_revoked: Callable[[set[Partition]], None] = lambda partitions: None,
    ) -> None:
        self._on_revoked = on_revoked
        self._unplaced: set[TopicPartition] = set()
        self._topic_ids: Mapping[str, str] = {}
        self._watch = gaps.Watch()
        self._gaps: tuple[Gap, ...] = ()
        self._still: set[TopicPartition] = set()
        with translated("connect to Kafka"):
            self._consumer = KafkaConsumer(
                **cluster.config(),
                receive_buffer_bytes=RECEIVE_BYTES,
                group_id=group,
                isolation_level=isolation,
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_poll_records=max_batches,
                fetch_max_wait_ms=idle_ms,
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=FETCH_PARTITION_BYTES,
                session_timeout_ms=10_000,
                heartbeat_interval_ms=2_000,
                metadata_max_age_ms=METADATA_MS,
                # A poll sleeps for so long where a response arrives just while it looks whether one is under way.
                retry_backoff_ms=5,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        raw.fetch_raw(self._consumer, control=control)
        if group is not None:
            raw.ask_calmly(self._consumer)
        if assignment is not None:
            self.assign(assignment, topic_ids)
        elif topics:
            self.subscribe(topics)

    def assign(self, assignment: Mapping[Partition, int], topic_ids: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read these partitions, from these offsets, instead of what was read before.

        The offsets are those of the topics with these ids; of topics without one, of whatever has the name now.
        """
        partitions = {TopicPartition(*tp): offset for tp, offset in assignment.items()}
        self._gaps = ()
        self._consumer.assign(list(partitions))
        for tp, offset in partitions.items():
            self._consumer.seek(tp, offset)
        self._watch.expect(topic_ids)

    def subscribe(self, topics: Sequence[str], topic_ids: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read these topics as a member of the group from now on; where it committed nothing, those with these ids."""
        self._topic_ids = topic_ids
        self._consumer.subscribe(topics=list(topics), listener=_Listener(self._leave, self._take))

    def poll(self, timeout_s: float) -> list[RawBatch]:
        """The next batches, in order per partition; empty after the timeout. TransientError: try again.

        Takes up to `JOIN_S` longer while the group shares out its partitions. GapError names partitions that stand
        still from now on.
        """
        with translated("fetch"):
            raw.join(self._consumer, JOIN_S)
            if self._unplaced:
                self._find_places()
            if self._gaps:
                found, self._gaps = self._gaps, ()
                raise GapError(found)
            try:
                polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
            except NoOffsetForPartitionError:
                return []  # assigned just now
            except (OffsetOutOfRangeError, LogTruncationError) as error:
                # What else had been fetched comes with the next poll.
                self._stand_still(gaps.of_error(self._consumer, error, self._watch))
                return []
            raise_refusal(self._consumer)
            if self._unplaced:
                return []  # what was polled meanwhile may begin anywhere: begin at the committed offsets
            if recreated := self._watch.recreated(self._consumer, polled):
                self._stand_still(recreated)
                polled = {tp: batches for tp, batches in polled.items() if tp not in self._consumer.paused()}
            if polled:
                raw.fetch_ahead(self._consumer)
        return [batch for batches in polled.values() for batch in batches]

    def _leave(self, revoked: Iterable[TopicPartition]) -> None:
        self._on_revoked({(tp.topic, tp.partition) for tp in revoked})
        raw.forget_assignment(self._consumer)

    def _take(self, assigned: Iterable[TopicPartition]) -> None:
        self._unplaced = set(assigned)

    def _find_places(self) -> None:
        """Go to the committed offsets of what was assigned anew or is to be rewound."""
        places = raw.committed(self._consumer, self._unplaced & self._consumer.assignment(), self._topic_ids)
        for tp, place in places.items():
            self._consumer.seek(tp, place.offset)
        self._consumer.resume(*(self._still & places.keys()))
        self._still -= places.keys()
        self._stand_still(gaps.at(self._consumer, places))
        self._watch.expect({tp.topic: raw.topic_id(self._consumer, tp.topic) for tp in places})
        self._unplaced.clear()

    def _stand_still(self, found: tuple[Gap, ...]) -> None:
        self.pause((gap.topic, gap.partition) for gap in found)
        self._still |= {TopicPartition(gap.topic, gap.partition) for gap in found}
        self._gaps += found

    def pass_over(self, gap: Gap) -> None:
        """Go on behind a gap: its records are never read."""
        tp = TopicPartition(gap.topic, gap.partition)
        self._consumer.seek(tp, gap.next)
        self._watch.expect({gap.topic: gap.topic_id})
        self._consumer.resume(tp)
        self._still.discard(tp)

    def gaps(self, partitions: Iterable[Partition], topic_ids: Mapping[str, str]) -> tuple[Gap, ...]:
        """Where the group cannot go on without leaving records out, of these partitions. Needs no membership."""
        with translated("read committed offsets"):
            tps = [TopicPartition(*tp) for tp in partitions]
            return gaps.before(self._consumer, raw.committed(self._consumer, tps, topic_ids))

    def gaps_before(self, places: Mapping[Partition, int], topic_ids: Mapping[str, str]) -> tuple[Gap, ...]:
        """Where a reader at these offsets of these topics cannot go on without leaving records out."""
        with translated("read offsets"):
            positions = {TopicPartition(*tp): Position(at, topic_ids.get(tp[0], "")) for tp, at in places.items()}
            return gaps.before(self._consumer, positions)

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """The ids of the topics that there are; a topic that is deleted and made anew has another one."""
        with translated("read metadata"):
            there = [topic for topic in topics if self._consumer.partitions_for_topic(topic)]
        return {topic: raw.topic_id(self._consumer, topic) for topic in there}

    def membership(self) -> Membership:
        """The generation that the group is in now; NotInGroupError where this consumer is not in it."""
        now = self._consumer.group_metadata()
        if now.state is not MemberState.STABLE or now.generation_id < 0 or not now.member_id:
            raise NotInGroupError("this router is not in its group")
        return Membership(now.group_id, now.generation_id, now.member_id, dict(self._watch.expected))

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Fetch nothing of these partitions, those of them that are assigned, until they are resumed."""
        self._consumer.pause(*self._assigned(partitions))

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Fetch paused partitions again, from where they stand."""
        self._consumer.resume(*self._assigned(partitions))

    def rewind(self, partitions: Iterable[Partition] | None = None) -> None:
        """Go back to the committed offsets of these partitions (None: all), with the next `poll`."""
        self._unplaced |= self._consumer.assignment() if partitions is None else self._assigned(partitions)

    def _assigned(self, partitions: Iterable[Partition]) -> set[TopicPartition]:
        return {TopicPartition(*place) for place in partitions}.intersection(self._consumer.assignment())

    def assigned(self) -> set[Partition]:
        """The partitions that this consumer reads."""
        return {(tp.topic, tp.partition) for tp in self._consumer.assignment()}

    def positions(self) -> dict[Partition, tuple[int, int]]:
        """Per partition (next offset to read, high watermark), as known from the last fetches."""
        return {(tp.topic, tp.partition): ends for tp, ends in raw.high_watermarks(self._consumer).items()}

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Where each partition ends now (under read_committed: its last stable offset)."""
        with translated("read end offsets"):
            ends = self._consumer.end_offsets([TopicPartition(*tp) for tp in partitions])
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that each partition still keeps."""
        with translated("read first offsets"):
            begins = self._consumer.beginning_offsets([TopicPartition(*tp) for tp in partitions])
        return {(tp.topic, tp.partition): offset for tp, offset in begins.items()}

    def offsets_at(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int]:
        """The first offset of each partition whose record has that time or a later one; the end where there is none."""
        asked = {TopicPartition(*tp): time_ms for tp in partitions}
        with translated("find offsets by time"):
            found = self._consumer.offsets_for_times(asked)
            ends = self._consumer.end_offsets([tp for tp in asked if found.get(tp) is None])
        offsets = ends | {tp: at.offset for tp, at in found.items() if at is not None}
        return {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Where the group goes on in each partition; one that it never committed is absent. Needs no membership."""
        with translated("read committed offsets"):
            known = raw.committed_offsets(self._consumer, [TopicPartition(*tp) for tp in partitions])
        return {(tp.topic, tp.partition): at.offset for tp, at in known.items()}

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions; empty where it does not exist."""
        with translated("read metadata"):
            return sorted(self._consumer.partitions_for_topic(topic) or ())

    def missing(self) -> dict[str, bool]:
        """The subscribed topics that are not there as far as is known, and whether this principal may not see them.

        Right after `subscribe` that may be all.
        """
        return raw.missing_topics(self._consumer)

    def refresh(self) -> None:
        """Look for topics and partitions that are new, without waiting: the group then shares them out."""
        raw.refresh(self._consumer)

    def close(self) -> None:
        """Leave the group and disconnect."""
        try:
            self._consumer.close(timeout_ms=5_000)
        except kafka.errors.KafkaError as error:
            raise TransientError("the consumer did not close in time") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_Call = Callable[[Iterable[TopicPartition]], None]


class _Listener(ConsumerRebalanceListener):
    def __init__(self, leave: _Call, take: _Call) -> None:
        self._leave, self._take = leave, take

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._leave(revoked)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._take(assigned)


def gaps_of_group(
    cluster: Cluster, group: str, topics: Iterable[str], topic_ids: Mapping[str, str] = MappingProxyType({})
) -> tuple[Gap, ...]:
    """Where that group cannot go on in these topics without leaving records out, by what it has committed.

    Where it committed nothing, it has to find the topics with these ids.
    """
    with Consumer(cluster, group=group) as consumer:
        places = [(topic, partition) for topic in topics for partition in consumer.partitions(topic)]
        return consumer.gaps(places, topic_ids)
