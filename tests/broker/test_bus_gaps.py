"""A consumer never passes over records in silence: what Kafka no longer keeps is a gap that is named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer as Plain
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from exchange.audit.gaps import gaps_of_group
from exchange.bus import Cluster, raw
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer
from exchange.bus.record import records_without_kernels
from exchange.bus.topic import Topic
from exchange.bus.topics import publish, read_all
from exchange.gap import Gap, GapError
from tests.rigs.clients import librdkafka

PARTITIONS = 2


@pytest.fixture
def topic(cluster: Cluster, unique: str) -> str:
    make(cluster, unique)
    return unique


def make(cluster: Cluster, topic: str) -> None:
    with Admin(cluster) as admin:
        admin.create({topic: Topic(PARTITIONS, 1)})


def make_anew(cluster: Cluster, topic: str) -> None:
    with Admin(cluster) as admin:
        admin.delete([topic])
    make(cluster, topic)


def fill(cluster: Cluster, topic: str, *values: str, partition: int = 0) -> None:
    publish(cluster, topic, [(b"k", value.encode()) for value in values], partition=partition)


def delete_before(cluster: Cluster, topic: str, offset: int, partition: int = 0) -> None:
    client = AdminClient(librdkafka(cluster))
    for future in client.delete_records([TopicPartition(topic, partition, offset)]).values():
        future.result(30)


def commit(cluster: Cluster, topic: str, offset: int, note: str = "", partition: int = 0) -> None:
    consumer = Plain({**librdkafka(cluster), "group.id": topic})
    consumer.commit(offsets=[TopicPartition(topic, partition, offset, note)], asynchronous=False)
    consumer.close()


def topic_id(cluster: Cluster, topic: str) -> str:
    with Consumer(cluster) as consumer:
        return consumer.topic_ids([topic])[topic]


def seen(consumer: Consumer, wanted: int, timeout_s: float = 30.0) -> list[str]:
    """The next values; GapError as it comes."""
    values: list[str] = []
    deadline = time.monotonic() + timeout_s
    while len(values) < wanted and time.monotonic() < deadline:
        values += [
            (record.value or b"").decode() for batch in consumer.poll(0.2) for record in records_without_kernels(batch)
        ]
    return values


def gap_of(consumer: Consumer, timeout_s: float = 60.0) -> tuple[Gap, ...]:
    """The gaps that polling comes upon."""
    with pytest.raises(GapError) as caught:
        seen(consumer, 1_000, timeout_s)
    return caught.value.gaps


@contextmanager
def grouped(cluster: Cluster, topic: str) -> Iterator[Consumer]:
    with Consumer(cluster, topics=[topic], group=topic) as consumer:
        yield consumer


def test_a_group_says_what_was_deleted_before_it_read_it(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"abcdefgh")
    fill(cluster, topic, "z", partition=1)
    commit(cluster, topic, 2)
    delete_before(cluster, topic, 5)
    with grouped(cluster, topic) as consumer:
        [gap] = gap_of(consumer)
        assert (gap.place, gap.first, gap.next, gap.cause, gap.offsets) == (f"{topic}/0", 2, 5, "expired", 3)
        assert f"{topic}/0: offsets 2 to 4 were deleted" in str(gap)
        assert seen(consumer, 1) == ["z"], "the other partitions go on"
        assert consumer.poll(0.5) == [], "this one stands still"
        consumer.pass_over(gap)
        assert seen(consumer, 3) == list("fgh")
    assert gaps_of_group(cluster, topic, [topic]) == (gap,)


def test_a_group_that_never_read_says_what_it_missed(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"abc")
    delete_before(cluster, topic, 2)
    with grouped(cluster, topic) as consumer:
        [gap] = gap_of(consumer)
    assert (gap.first, gap.next) == (0, 2)


def test_what_was_read_may_be_deleted(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"abcdef")
    commit(cluster, topic, 4)
    delete_before(cluster, topic, 4)
    with grouped(cluster, topic) as consumer:
        assert seen(consumer, 2) == list("ef")
    assert gaps_of_group(cluster, topic, [topic]) == ()


def test_deletion_ahead_of_a_reader_at_work_is_seen(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"ab")
    with Consumer(cluster, assignment={(topic, 0): 0, (topic, 1): 0}) as consumer:
        assert seen(consumer, 2) == list("ab")
        consumer.pause([(topic, 0)])  # a reader that is slow
        fill(cluster, topic, "x", partition=1)
        assert seen(consumer, 1) == ["x"]  # with what was asked for before the pause
        fill(cluster, topic, *"cdefg")
        delete_before(cluster, topic, 6)
        fill(cluster, topic, "y", partition=1)
        assert seen(consumer, 1) == ["y"]
        consumer.resume([(topic, 0)])
        [gap] = gap_of(consumer)
        assert (gap.partition, gap.first, gap.next, gap.cause) == (0, 2, 6, "expired")
        consumer.pass_over(gap)
        assert seen(consumer, 1) == ["g"]


@pytest.mark.parametrize("again", ["short", "as long", "longer"])
def test_a_topic_that_was_made_anew_is_known_by_its_id(cluster: Cluster, topic: str, again: str) -> None:
    fill(cluster, topic, *"abcd")
    commit(cluster, topic, 3, note=raw.note(topic_id(cluster, topic)))
    make_anew(cluster, topic)
    values = [str(n) for n in range({"short": 1, "as long": 3, "longer": 9}[again])]
    fill(cluster, topic, *values)
    commit(cluster, topic, 3, note=raw.note("f" * 8))  # Kafka may drop what was committed for the topic before, or not
    with grouped(cluster, topic) as consumer:
        gaps = gap_of(consumer)
        [gap] = [gap for gap in gaps if gap.partition == 0]
        assert (gap.first, gap.next, gap.cause, gap.offsets) == (3, 0, "recreated", None)
        assert "deleted and made again" in str(gap)
        consumer.pass_over(gap)
        assert seen(consumer, len(values)) == values


@pytest.mark.parametrize("records", [1, 3, 9])
def test_a_topic_that_is_made_anew_under_a_reader_at_work_is_seen(cluster: Cluster, topic: str, records: int) -> None:
    fill(cluster, topic, *"abc")
    known = {topic: topic_id(cluster, topic)}
    with Consumer(cluster, assignment={(topic, 0): 0}, topic_ids=known) as consumer:
        assert seen(consumer, 3) == list("abc")
        with Admin(cluster) as admin:
            admin.delete([topic])
        assert seen(consumer, 1, timeout_s=1) == [], "it was reading on"
        make(cluster, topic)
        values = [str(n) for n in range(records)]
        fill(cluster, topic, *values)
        [gap] = gap_of(consumer)
        assert (gap.first, gap.next, gap.cause) == (3, 0, "recreated")
        consumer.pass_over(gap)
        assert seen(consumer, records) == values


def test_a_saved_offset_of_another_topic_is_seen_at_once(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"abcde")
    with Consumer(cluster, assignment={(topic, 0): 3}, topic_ids={topic: "another"}) as consumer:
        [gap] = gap_of(consumer)
    assert (gap.first, gap.next, gap.cause) == (3, 0, "recreated")


def test_a_partition_that_ends_before_it_was_read_lost_records(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"ab")
    with Consumer(cluster, assignment={(topic, 0): 7}) as consumer:
        [gap] = gap_of(consumer)
        assert (gap.first, gap.next, gap.cause) == (7, 2, "truncated")
        assert "ends at offset 2" in str(gap)
        consumer.pass_over(gap)
        fill(cluster, topic, "c")
        assert seen(consumer, 1) == ["c"]


def test_a_gap_that_could_not_be_noted_is_found_again(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"ab")
    commit(cluster, topic, 7)
    with grouped(cluster, topic) as consumer:
        first = gap_of(consumer)
        consumer.rewind()
        assert gap_of(consumer, 10.0) == first
        consumer.pass_over(first[0])
        fill(cluster, topic, "c")
        assert seen(consumer, 1) == ["c"]


def test_what_is_read_as_a_whole_begins_where_the_topic_begins(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"abc")
    delete_before(cluster, topic, 1)
    assert [record.value for record in read_all(cluster, topic)] == [b"b", b"c"]


def test_members_that_come_and_go_find_the_gap_again(cluster: Cluster, topic: str) -> None:
    fill(cluster, topic, *"abcd")
    commit(cluster, topic, 1)
    delete_before(cluster, topic, 3)
    with grouped(cluster, topic) as one:
        first = gap_of(one)
        with grouped(cluster, topic) as other:
            found: list[Gap] = []
            wait: Callable[[], bool] = lambda: bool(found)  # noqa: E731
            deadline = time.monotonic() + 60
            while not wait() and time.monotonic() < deadline:
                for consumer in (one, other):
                    try:
                        consumer.poll(0.2)
                    except GapError as error:
                        found += error.gaps
    assert tuple(found[:1]) == first
