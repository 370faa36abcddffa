"""Which partitions a producer cannot write: by metadata before it sends, and by the broker's answers.

It depends on internals of kafka-python 3.0.12, as `raw` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.future import Future
from kafka.producer.producer_batch import ProducerBatch
from kafka.structs import TopicPartition

from exchange.bus.raw import wake
from exchange.bus.refusals import NoPartitionError

_OF_A_TOPIC = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError)

Refused = dict[TopicPartition, type[Exception]]
"""Partitions that were not written, with kafka-python's error for each."""


def learn(producer: KafkaProducer, places: Iterable[TopicPartition], timeout_s: float) -> None:
    """Ask once for metadata of all partitions not yet known to exist; raises KafkaTimeoutError if it takes too long.

    kafka-python asks for one topic after the other, with 20 ms between: 400 topics took twelve seconds. It waits
    until a missing topic exists, and then keeps asking for it fifty times a second.
    """
    cluster = producer._metadata
    deadline = time.monotonic() + timeout_s
    for _ in range(2):  # the answer to a request already under way may not include these topics
        if not (topics := {tp.topic for tp in unwritable(producer, places)}):
            return
        cluster._topics = cluster._topics | topics
        future = cluster.request_update()
        wake(producer)
        _wait(future, deadline - time.monotonic())
    cluster._topics = cluster._topics - {tp.topic for tp in unwritable(producer, places)}


def unwritable(producer: KafkaProducer, places: Iterable[TopicPartition]) -> Refused:
    """Those of the partitions that cannot be written, according to the metadata known so far."""
    cluster = producer._metadata
    found: Refused = {}
    for tp in places:
        partitions = cluster._partitions.get(tp.topic)
        if tp.topic in cluster.unauthorized_topics:
            found[tp] = TopicAuthorizationFailedError
        elif partitions is None:
            found[tp] = UnknownTopicOrPartitionError
        elif tp.partition not in partitions:
            found[tp] = NoPartitionError
        elif partitions[tp.partition].leader_id == -1:
            found[tp] = LeaderNotAvailableError
    return found


def _wait(future: Future, timeout_s: float) -> None:
    done = threading.Event()
    future.add_both(lambda *_: done.set())
    if not done.wait(max(0.0, timeout_s)):
        raise KafkaTimeoutError("metadata did not come in time")
    # If only one topic was asked for, its error arrives here too; `unwritable` reports it from the metadata.
    if future.failed() and not isinstance(future.exception, _OF_A_TOPIC):
        raise future.exception


def note_refusals(producer: KafkaProducer) -> Refused:
    """Record which partitions the broker refuses, and fail at once where kafka-python would retry until its timeout.

    The returned dictionary fills as refusals come. Batches that are too large are not split: they must stay whole.
    """
    noted: Refused = {}
    manager, sender = producer._transaction_manager, producer._sender
    make_handler, can_retry = manager._add_partitions_to_transaction_handler, sender._can_retry

    def made() -> Any:
        handler = make_handler()
        handle = handler.handle_response

        def handle_response(response: Any) -> None:
            errors = {
                TopicPartition(topic, partition): for_code(code)
                for topic, partitions in response.results_by_topic_v3_and_below
                for partition, code in partitions
            }
            refused = {tp: error for tp, error in errors.items() if error in _OF_A_TOPIC}
            noted.update(refused)
            if refused:
                manager._pending_partitions_in_transaction -= set(errors)
                handler.abortable_error(KafkaError("partitions were refused"))
            else:
                handle(response)

        handler.handle_response = handle_response
        return handler

    def may_retry(batch: ProducerBatch, error: type[Exception]) -> bool:
        noted[batch.topic_partition] = error
        return bool(can_retry(batch, error))

    manager._add_partitions_to_transaction_handler = made
    sender._can_retry = may_retry
    sender._can_split = lambda batch, error: False
    return noted
