"""The topics that a contract needs, with their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from exchange import names
from exchange.bus.topic import Topic
from exchange.contract.model import Contract, TopicSettings

LEDGER_PARTITIONS = 8
LEDGER_MESSAGE_BYTES = 8 << 20
CONTRACT_MESSAGE_BYTES = 10 << 20
BATCH_BYTES = 1_048_588  # Kafka's own default; no batch that the exchange writes is larger
QUOTA_DAYS = 4  # how long claims and uses are kept, see contract/quota.py
DAY_MS = 24 * 60 * 60 * 1000
_LIMIT = "max.message.bytes"
_BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
PREFIXES = ("subject.", "inbox.", "quarantine.", "holdings.", "cursor.")


def wanted(contract: Contract, there: Mapping[str, Topic] = MappingProxyType({})) -> dict[str, Topic]:
    """Every topic that the contract needs, by name, in the order of creation; `there` are the cluster's topics.

    Inboxes and quarantine of a subject get its partitions and retention, and come before it: nothing is published
    before there is a place for it. If somebody gave the subject's topic more partitions, they get as many. If a
    topic's limit is too small for a batch of the exchange, it is raised. The exchange's own topics are replicated
    as often as the most replicated subject.
    """
    replication = max((s.topic.replication for s in contract.subjects), default=1)
    topics = own(replication)
    # One reader can have several grants of a subject, one after the other; they share its inbox.
    readers: dict[str, dict[str, None]] = {}
    for grant in contract.grants:
        readers.setdefault(grant.subject, {})[grant.reader] = None
    for subject in contract.subjects:
        kept, source = _kept(subject.topic), names.subject_topic(subject.id)
        grown = replace(kept, partitions=max(kept.partitions, there[source].partitions)) if source in there else kept
        topics[names.quarantine_topic(subject.id)] = grown
        topics |= {names.inbox_topic(reader, subject.id): grown for reader in readers.get(subject.id, ())}
        if subject.key:
            topics[names.holdings_topic(subject.id)] = replace(grown, configs=_compacted(subject.topic.replication))
        topics[source] = kept
    for department in contract.departments:  # of those without sources, too: it has what their sinks report
        topics[names.cursor_topic(department.id)] = Topic(
            1, replication, _durable(replication) | {"cleanup.policy": "compact"}
        )
    return {name: _large_enough(topic, there.get(name)) for name, topic in topics.items()}


def _large_enough(topic: Topic, found: Topic | None) -> Topic:
    limit = found.configs.get(_LIMIT) if found else None
    if limit is None or _LIMIT in topic.configs or int(limit) >= BATCH_BYTES:
        return topic
    return replace(topic, configs={**topic.configs, _LIMIT: str(BATCH_BYTES)})


def own(replication: int) -> dict[str, Topic]:
    """The exchange's own topics, which every contract needs."""
    durable = _durable(replication)
    for_ever = durable | {"cleanup.policy": "delete", "retention.ms": "-1"}
    return {
        names.SCHEMAS_TOPIC: Topic(1, replication, durable | {"cleanup.policy": "compact"}),
        names.CONTRACT_TOPIC: Topic(1, replication, for_ever | {"max.message.bytes": str(CONTRACT_MESSAGE_BYTES)}),
        names.QUOTA_TOPIC: Topic(
            2,
            replication,
            durable
            | _BROKER_TIME
            | {"cleanup.policy": "delete", "retention.ms": str(QUOTA_DAYS * DAY_MS), "segment.ms": str(DAY_MS)},
        ),
        names.LEDGER_TOPIC: Topic(
            LEDGER_PARTITIONS, replication, for_ever | _BROKER_TIME | {"max.message.bytes": str(LEDGER_MESSAGE_BYTES)}
        ),
    }


def _kept(settings: TopicSettings) -> Topic:
    retention_ms = -1 if settings.retention_days is None else settings.retention_days * DAY_MS
    configs = {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}
    return Topic(settings.partitions, settings.replication, configs | _durable(settings.replication))


def _compacted(replication: int) -> dict[str, str]:
    """Cleaned often enough that a router reads little more than what counts when it takes partitions over."""
    often = {"segment.bytes": str(64 << 20), "min.cleanable.dirty.ratio": "0.3"}
    return _durable(replication) | {"cleanup.policy": "compact"} | often


def _durable(replication: int) -> dict[str, str]:
    """With three replicas or more, a record is acknowledged only when two of them have it."""
    return {"min.insync.replicas": "2"} if replication >= 3 else {}
