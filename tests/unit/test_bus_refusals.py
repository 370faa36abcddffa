"""What a producer refuses to write before it has sent anything, as far as metadata tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import kafka.errors
import pytest
from kafka import KafkaProducer
from kafka.future import Future
from kafka.structs import TopicPartition

from exchange.bus import writable
from exchange.bus.refusals import NoPartitionError, RefusedError, refusal

IN, GONE, CLOSED = TopicPartition("in", 0), TopicPartition("gone", 0), TopicPartition("closed", 0)
LEADERLESS, BEYOND = TopicPartition("in", 1), TopicPartition("in", 2)


class Cluster:
    """In the place of kafka-python's metadata: what is there becomes known with the next answer."""

    def __init__(self, known: dict[str, dict[int, Any]]) -> None:
        self.there = {"in": {0: SimpleNamespace(leader_id=1), 1: SimpleNamespace(leader_id=-1)}}
        self._partitions = known
        self._topics: set[str] = set()
        self.unauthorized_topics: set[str] = set()
        self.asked: list[set[str]] = []

    def request_update(self) -> Future:
        self.asked.append(set(self._topics))
        self._partitions = {topic: self.there[topic] for topic in self._topics & self.there.keys()}
        self.unauthorized_topics = self._topics & {"closed"}
        return Future().success(self)


def producer(cluster: Cluster) -> KafkaProducer:
    return cast(KafkaProducer, SimpleNamespace(_metadata=cluster, _sender=SimpleNamespace(wakeup=lambda: None)))


def test_what_cannot_be_written_is_known_with_its_reason() -> None:
    cluster = Cluster({})
    places = [IN, LEADERLESS, BEYOND, GONE, CLOSED]
    writable.learn(producer(cluster), places, 1.0)
    assert writable.unwritable(producer(cluster), places) == {
        LEADERLESS: kafka.errors.LeaderNotAvailableError,
        BEYOND: NoPartitionError,
        GONE: kafka.errors.UnknownTopicOrPartitionError,
        CLOSED: kafka.errors.TopicAuthorizationFailedError,
    }


def test_what_is_known_is_not_asked_for_and_what_is_missing_not_for_ever() -> None:
    cluster = Cluster({"in": {0: SimpleNamespace(leader_id=1)}})
    writable.learn(producer(cluster), [IN], 1.0)
    assert cluster.asked == []
    writable.learn(producer(cluster), [IN, GONE], 1.0)
    assert len(cluster.asked) == 2
    assert "gone" not in cluster._topics


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (kafka.errors.UnknownTopicOrPartitionError, "topic-missing"),
        (NoPartitionError, "partition-missing"),
        (kafka.errors.TopicAuthorizationFailedError, "topic-forbidden"),
        (kafka.errors.MessageSizeTooLargeError, "topic-too-small"),
        (kafka.errors.LeaderNotAvailableError, "no-leader"),
        (kafka.errors.NotEnoughReplicasError, "too-few-replicas"),
    ],
)
def test_a_refusal_names_the_topic_and_a_remedy(error: type[BaseException], code: str) -> None:
    found = refusal(error, ("inbox.tax.civil.birth", 3))
    assert found is not None
    assert found.code == code
    assert "inbox.tax.civil.birth" in found.told
    told = RefusedError({("inbox.tax.civil.birth", 3): found})
    assert found.told in str(told)
    assert found.remedy in str(told)


@pytest.mark.parametrize(
    "error",
    [
        kafka.errors.ProducerFencedError,
        kafka.errors.InvalidProducerEpochError,
        kafka.errors.OutOfOrderSequenceNumberError,
        kafka.errors.RequestTimedOutError,
        kafka.errors.KafkaConnectionError,
    ],
)
def test_a_doubt_about_the_producer_is_no_refusal_of_a_partition(error: type[BaseException]) -> None:
    assert refusal(error, ("inbox.tax.civil.birth", 3)) is None
