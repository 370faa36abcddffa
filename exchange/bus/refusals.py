"""Why Kafka does not accept writes to a partition, in words that name the topic and a remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import kafka.errors as kafka_errors

from exchange.errors import TransientError
from exchange.names import Partition


class Refusal(NamedTuple):
    """What is wrong with a topic or partition, and what helps; `code` is stable, for logs and metrics."""

    code: str
    told: str
    remedy: str

    @property
    def is_of_topic(self) -> bool:
        """Whether the refusal is about the whole topic: none of its partitions can be written."""
        return self.code in ("topic-missing", "topic-forbidden")


class RefusedError(TransientError):
    """Some partitions accept nothing, though others of the transaction may; nothing of it was committed."""

    code = "partition-refused"
    remedy = "do what is said of each topic; all other partitions flow"

    def __init__(self, refusals: Mapping[Partition, Refusal]) -> None:
        self.refusals = refusals
        found = dict.fromkeys(refusals.values())
        told = "; ".join(dict.fromkeys(refusal.told for refusal in found))
        super().__init__(told, remedy="; ".join(dict.fromkeys(refusal.remedy for refusal in found)))


class NoPartitionError(kafka_errors.UnknownTopicOrPartitionError):
    """The topic exists, but has no such partition."""


_APPLY = "`exchange apply` makes it again"
_GROW = "`exchange apply` gives it the partitions that its subject's topic has"
_WRITE = "`exchange apply` gives the routers the access"
_ENLARGE = "raise its max.message.bytes, or run `exchange apply`"
_START = "start the brokers that hold it"
_LOOK = "look at its configs and at the broker's log"

KNOWN: dict[type[BaseException], tuple[str, str, str]] = {
    NoPartitionError: ("partition-missing", "{topic} has no partition {partition}", _GROW),
    kafka_errors.UnknownTopicOrPartitionError: ("topic-missing", "{topic} does not exist", _APPLY),
    kafka_errors.TopicAuthorizationFailedError: ("topic-forbidden", "this router may not write {topic}", _WRITE),
    kafka_errors.MessageSizeTooLargeError: ("topic-too-small", "{topic} takes no batch of this size", _ENLARGE),
    kafka_errors.RecordListTooLargeError: ("topic-too-small", "{topic} takes no batch of this size", _ENLARGE),
    kafka_errors.LeaderNotAvailableError: ("no-leader", "{topic}/{partition} has no leader", _START),
    kafka_errors.NotLeaderForPartitionError: ("no-leader", "{topic}/{partition} has no leader", _START),
    kafka_errors.NotEnoughReplicasError: ("too-few-replicas", "too few brokers hold {topic}/{partition}", _START),
    kafka_errors.NotEnoughReplicasAfterAppendError: (
        "too-few-replicas", "too few brokers hold {topic}/{partition}", _START
    ),
    kafka_errors.InvalidTopicError: ("topic-refuses", "{topic} is not a topic that can be written", _LOOK),
    kafka_errors.InvalidRecordError: ("topic-refuses", "{topic} takes no such records", _LOOK),
    kafka_errors.InvalidTimestampError: ("topic-refuses", "{topic} takes no records of this time", _LOOK),
    kafka_errors.PolicyViolationError: ("topic-refuses", "a policy of the broker closes {topic}", _LOOK),
    kafka_errors.KafkaStorageError: ("broker-storage", "the broker cannot store {topic}/{partition}", _START),
}  # fmt: skip


def refusal(error: type[BaseException], place: Partition) -> Refusal | None:
    """The refusal that a Kafka error means; None if it is not about this partition alone.

    >>> import kafka.errors
    >>> refusal(kafka.errors.UnknownTopicOrPartitionError, ("inbox.tax.civil.birth", 0)).told
    'inbox.tax.civil.birth does not exist'
    >>> refusal(kafka.errors.RequestTimedOutError, ("inbox.tax.civil.birth", 0))
    """
    if error not in KNOWN:
        return None
    code, told, remedy = KNOWN[error]
    return Refusal(code, told.format(topic=place[0], partition=place[1]), remedy)
