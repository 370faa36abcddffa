"""Reads record batches, raw and in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Self

import kafka.errors
from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.base import MemberState
from kafka.errors import LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.structs import TopicPartition

from exchange.bus import calm, gaps, raw
from exchange.bus.connection import Cluster, translated
from exchange.bus.raw import Position
from exchange.bus.transport import RECEIVE_BYTES, raise_refusal
from exchange.errors import TransientError
from exchange.gap import Gap, GapError
from exchange.names import Partition
from exchange.records.header import RawBatch

FETCH_BYTES = 32 << 20
IDLE_MS = 500
REST_MS = 1_000
LONG_REST_MS = 5_000  # not in a group: heartbeats wait behind a fetch, and partitions change hands
COLLECTED_BYTES = 256 << 10
JOIN_S = 5.0
SESSION_MS = 10_000  # after this without a heartbeat, a group goes on without the member
METADATA_MS = 30_000  # after this, a client asks anew which topics and partitions there are


class NotInGroupError(TransientError):
    """The consumer is not, or no longer, a member of its group: others may own its partitions by now."""

    code = "not-in-group"
    remedy = "wait: it joins again, and reads on from what was committed"


class Membership(NamedTuple):
    """The consumer's generation in its group; offsets are committed under exactly this generation (KIP-447).

    `topic_ids` are the ids of the topics whose offsets are committed.
    """

    group: str
    generation: int
    member: str
    topic_ids: Mapping[str, str] = MappingProxyType({})


class Consumer:
    """Reads raw batches, either as a member of a group or from given offsets of assigned partitions.

    `isolation` is read_committed or read_uncommitted. With `control`, transaction markers are returned too.
    A group starts at its committed offset, or at 0 if there is none. When the group takes partitions away,
    `poll` calls `on_revoked` with them; drop what was polled of them, because partitions that come back start
    at their committed offsets again. The broker answers a fetch as soon as it has data, or after `IDLE_MS`, with up to
    about `fetch_bytes`, a quarter of them from one partition; three such answers may be in memory.

    `poll` raises BusUnavailableError if no broker can be reached for `calm.CUT_OFF_S`; it goes on once one can be.

    Never skips a record silently: if Kafka no longer keeps the next records, or the topic is not the one that was
    read before, `poll` raises GapError. That partition then stands still until `pass_over`; the next `poll` goes
    on with the others.
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
        fetch_bytes: int = FETCH_BYTES,
        on_revoked: Callable[[set[Partition]], None] = lambda partitions: None,
    ) -> None:
        self._on_revoked = on_revoked
        self._is_member = group is not None
        self._is_at_rest = False
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
                fetch_max_wait_ms=IDLE_MS,
                fetch_max_bytes=fetch_bytes,
                max_partition_fetch_bytes=fetch_bytes // 4,
                session_timeout_ms=SESSION_MS,
                heartbeat_interval_ms=2_000,
                metadata_max_age_ms=METADATA_MS,
                # A poll sleeps this long if a response arrives just while it checks whether a request is under way.
                retry_backoff_ms=5,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        self._reach = calm.Reach(self._consumer)
        raw.fetch_raw(self._consumer, control=control)
        if group is not None:
            calm.ask_calmly(self._consumer, lambda: self._is_at_rest)
        if assignment is not None:
            self.assign(assignment, topic_ids)
        elif topics:
            self.subscribe(topics)

    def assign(self, assignment: Mapping[Partition, int], topic_ids: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read these partitions from these offsets, and nothing else from now on.

        The offsets belong to the topics with these ids; a topic without an id is whichever has the name now.
        """
        partitions = {TopicPartition(*tp): offset for tp, offset in assignment.items()}
        self._gaps = ()
        self._consumer.assign(list(partitions))
        for tp, offset in partitions.items():
            self._consumer.seek(tp, offset)
        self._watch.expect(topic_ids)

    def subscribe(self, topics: Sequence[str], topic_ids: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read these topics as a member of the group. If it has committed nothing, the topics must have these ids."""
        self._topic_ids = topic_ids
        self._consumer.subscribe(topics=list(topics), listener=_Listener(self._leave, self._take))

    def poll(self, timeout_s: float) -> list[RawBatch]:
        """The next batches, in order per partition; none after the timeout. On TransientError, try again.

        Takes up to `JOIN_S` longer while the group assigns its partitions. Raises GapError with partitions that stand
        still from now on.
        """
        with translated("fetch"):
            if self._reach.is_paused(timeout_s):
                return []
            raw.join(self._consumer, JOIN_S)
            if self._unplaced:
                self._find_places()
            if self._gaps:
                found, self._gaps = self._gaps, ()
                raise GapError(found)
            end = time.monotonic() + timeout_s
            if not self._is_member and not calm.wait(self._consumer, timeout_s):
                raise_refusal(self._consumer)
                return []
            try:
                polled = self._consumer.poll(timeout_ms=max(0, int((end - time.monotonic()) * 1000)))
            except NoOffsetForPartitionError:
                return []  # they were assigned just now
            except (OffsetOutOfRangeError, LogTruncationError) as error:
                # Other data that was fetched comes with the next poll.
                self._stand_still(gaps.of_error(self._consumer, error, self._watch))
                return []
            raise_refusal(self._consumer)
            if self._unplaced:
                return []  # this data may begin at any offset, but reading has to begin at the committed ones
            if recreated := self._watch.recreated(self._consumer, polled):
                self._stand_still(recreated)
                polled = {tp: batches for tp, batches in polled.items() if tp not in self._consumer.paused()}
            if polled:
                if self._is_at_rest:
                    self.collect(0)
                raw.fetch_ahead(self._consumer)
        return [batch for batches in polled.values() for batch in batches]

    def collect(self, wait_s: float, *, is_at_rest: bool = False) -> None:
        """From the next fetch on, let the broker collect data for up to `wait_s`; 0: it answers as soon as it has some.

        It still answers at once if it has `COLLECTED_BYTES`. `is_at_rest`: until something comes, it says less often
        that it has none, because each time costs a core 1 ms; partitions that are assigned meanwhile are fetched up to
        `REST_MS` later by a member of a group, `LONG_REST_MS` later by others.
        """
        self._is_at_rest = is_at_rest
        rest_ms = REST_MS if self._is_member else LONG_REST_MS
        if wait_s:
            raw.collect(self._consumer, COLLECTED_BYTES, int(wait_s * 1000))
        else:
            raw.collect(self._consumer, 1, rest_ms if is_at_rest else IDLE_MS)

    def _leave(self, revoked: Iterable[TopicPartition]) -> None:
        self._on_revoked({(tp.topic, tp.partition) for tp in revoked})
        raw.forget_assignment(self._consumer)

    def _take(self, assigned: Iterable[TopicPartition]) -> None:
        self._unplaced = set(assigned)

    def _find_places(self) -> None:
        """Seek to the committed offsets of partitions that were newly assigned or are to be rewound."""
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
        """Go on after a gap; its records are never read."""
        tp = TopicPartition(gap.topic, gap.partition)
        self._consumer.seek(tp, gap.next)
        self._watch.expect({gap.topic: gap.topic_id})
        self._consumer.resume(tp)
        self._still.discard(tp)

    def gaps(self, partitions: Iterable[Partition], topic_ids: Mapping[str, str]) -> tuple[Gap, ...]:
        """The gaps in these partitions, by the group's committed offsets. The consumer need not be a member."""
        with translated("read committed offsets"):
            tps = [TopicPartition(*tp) for tp in partitions]
            return gaps.before(self._consumer, raw.committed(self._consumer, tps, topic_ids))

    def gaps_before(self, places: Mapping[Partition, int], topic_ids: Mapping[str, str]) -> tuple[Gap, ...]:
        """The gaps that a reader at these offsets of these topics would meet."""
        with translated("read offsets"):
            positions = {TopicPartition(*tp): Position(at, topic_ids.get(tp[0], "")) for tp, at in places.items()}
            return gaps.before(self._consumer, positions)

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """The ids of those of the topics that exist; a topic that is deleted and created again gets a new id."""
        with translated("read metadata"):
            there = [topic for topic in topics if self._consumer.partitions_for_topic(topic)]
        return {topic: raw.topic_id(self._consumer, topic) for topic in there}

    def membership(self) -> Membership:
        """The group's present generation; raises NotInGroupError if this consumer is not part of it."""
        now = self._consumer.group_metadata()
        if now.state is not MemberState.STABLE or now.generation_id < 0 or not now.member_id:
            raise NotInGroupError("this router is not in its group")
        return Membership(now.group_id, now.generation_id, now.member_id, dict(self._watch.expected))

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Stop fetching these partitions (those that are assigned) until they are resumed."""
        self._consumer.pause(*self._assigned(partitions))

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Fetch paused partitions again, from where they stopped."""
        self._consumer.resume(*self._assigned(partitions))

    def rewind(self, partitions: Iterable[Partition] | None = None) -> None:
        """With the next `poll`, go back to the committed offsets of these partitions (None: all)."""
        self._unplaced |= self._consumer.assignment() if partitions is None else self._assigned(partitions)

    def _assigned(self, partitions: Iterable[Partition]) -> set[TopicPartition]:
        asked = {TopicPartition(*place) for place in partitions}
        return asked.intersection(self._consumer.assignment()) if asked else asked

    def assigned(self) -> set[Partition]:
        """The partitions assigned to this consumer."""
        assigned: set[Partition] = self._consumer.assignment()  # a TopicPartition is a tuple
        return assigned

    def positions(self) -> dict[Partition, tuple[int, int]]:
        """Per partition (next offset to read, high watermark), as of the last fetches."""
        return {(tp.topic, tp.partition): ends for tp, ends in raw.high_watermarks(self._consumer).items()}

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The present end of each partition (under read_committed: its last stable offset)."""
        with translated("read end offsets"):
            ends = self._consumer.end_offsets([TopicPartition(*tp) for tp in partitions])
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that each partition still keeps."""
        with translated("read first offsets"):
            begins = self._consumer.beginning_offsets([TopicPartition(*tp) for tp in partitions])
        return {(tp.topic, tp.partition): offset for tp, offset in begins.items()}

    def offsets_at(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int]:
        """The first offset in each partition whose record has that time or a later one; the end if there is none."""
        asked = {TopicPartition(*tp): time_ms for tp in partitions}
        with translated("find offsets by time"):
            found = self._consumer.offsets_for_times(asked)
            ends = self._consumer.end_offsets([tp for tp in asked if found.get(tp) is None])
        offsets = ends | {tp: at.offset for tp, at in found.items() if at is not None}
        return {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The group's committed offset in each partition that has one. The consumer need not be a member."""
        with translated("read committed offsets"):
            known = raw.committed_offsets(self._consumer, [TopicPartition(*tp) for tp in partitions])
        return {(tp.topic, tp.partition): at.offset for tp, at in known.items()}

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions; empty if it does not exist."""
        with translated("read metadata"):
            return sorted(self._consumer.partitions_for_topic(topic) or ())

    def missing(self) -> dict[str, bool]:
        """The subscribed topics that seem not to exist; the value says whether this principal may not see them.

        Right after `subscribe`, these can be all of them.
        """
        return raw.missing_topics(self._consumer)

    def refresh(self) -> None:
        """Look for new topics and partitions, without waiting; the group then assigns them."""
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
