"""Finds gaps: does Kafka still keep what a consumer is to read next, and is it still the same topic?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import LogTruncationError, OffsetOutOfRangeError
from kafka.structs import TopicPartition

from exchange.bus import raw
from exchange.bus.raw import Position
from exchange.gap import Gap
from exchange.records.header import RawBatch


def at(consumer: KafkaConsumer, places: Mapping[TopicPartition, Position]) -> tuple[Gap, ...]:
    """The gaps before these positions, in partitions that exist."""
    there = [tp for tp in places if tp.partition in (consumer.partitions_for_topic(tp.topic) or ())]
    begins = consumer.beginning_offsets(there)
    found = []
    for tp, begin in begins.items():
        place, topic_id = places[tp], raw.topic_id(consumer, tp.topic)
        if place.topic_id and topic_id != place.topic_id:
            found.append(Gap(tp.topic, tp.partition, place.offset, begin, "recreated", topic_id))
        elif place.offset < begin:
            found.append(Gap(tp.topic, tp.partition, place.offset, begin, "expired", topic_id))
    return tuple(sorted(found))


def before(consumer: KafkaConsumer, places: Mapping[TopicPartition, Position]) -> tuple[Gap, ...]:
    """The gaps before these positions, including those in partitions that end before them."""
    found = at(consumer, places)
    left = places.keys() - {TopicPartition(gap.topic, gap.partition) for gap in found}
    ends = consumer.end_offsets([tp for tp in left if tp.partition in (consumer.partitions_for_topic(tp.topic) or ())])
    return (*found, *_cut(consumer, places, ends))


def of_error(
    consumer: KafkaConsumer, error: OffsetOutOfRangeError | LogTruncationError, watch: Watch
) -> tuple[Gap, ...]:
    """The gaps at the positions where the client refuses to go on."""
    is_cut = isinstance(error, LogTruncationError)
    refused: Mapping[TopicPartition, Any] = error.divergent_offsets if is_cut else error.args[0]
    places = {tp: Position(raw.position(consumer, tp), watch.expected.get(tp.topic, "")) for tp in refused}
    consumer.topics()  # the topic may have been created again; this asks for its id
    found = before(consumer, places)
    left = places.keys() - {TopicPartition(gap.topic, gap.partition) for gap in found}
    known = {tp: refused[tp].offset for tp in left if is_cut and refused[tp] is not None}
    return (*found, *_cut(consumer, places, known))


def _cut(
    consumer: KafkaConsumer, places: Mapping[TopicPartition, Position], ends: Mapping[TopicPartition, int]
) -> list[Gap]:
    return sorted(
        Gap(tp.topic, tp.partition, places[tp].offset, end, "truncated", raw.topic_id(consumer, tp.topic))
        for tp, end in ends.items()
        if end < places[tp].offset
    )


class Watch:
    """Notices by its id that a topic was deleted and created again while a consumer reads it.

    `expected` holds the ids that the topics had when their offsets were given.
    """

    def __init__(self) -> None:
        self.expected: dict[str, str] = {}
        self._seen = 0.0

    def expect(self, topic_ids: Mapping[str, str]) -> None:
        """Expect these topics to have these ids from now on; an empty id expects nothing."""
        self.expected |= {topic: topic_id for topic, topic_id in topic_ids.items() if topic_id}
        self._seen = 0.0

    def recreated(
        self, consumer: KafkaConsumer, polled: Mapping[TopicPartition, Sequence[RawBatch]]
    ) -> tuple[Gap, ...]:
        """The gaps in assigned partitions whose topic has a new id, if metadata is newer than at the last call.

        `polled` has already moved the positions; its data may come from the old topic or from the new one.
        """
        age = raw.metadata_age(consumer)
        if age == self._seen:
            return ()
        self._seen = age
        changed = {topic for topic, known in self.expected.items() if raw.topic_id(consumer, topic) not in ("", known)}
        if not changed:
            return ()
        assigned = [tp for tp in consumer.assignment() if tp.topic in changed]
        firsts = {tp: polled[tp][0].from_offset if tp in polled else raw.position(consumer, tp) for tp in assigned}
        return at(consumer, {tp: Position(first, self.expected[tp.topic]) for tp, first in firsts.items()})
