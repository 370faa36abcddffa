"""Applies a plan to the cluster step by step; after an interruption, steps already done are recognised as done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from exchange import names
from exchange.bus.admin import Admin
from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import publish, read_all
from exchange.contract import epoch as epochs
from exchange.contract.model import Epoch
from exchange.epochs import epochs as every_epoch
from exchange.epochs import latest_epoch
from exchange.errors import ConfigError, TransientError
from exchange.plan.changes import (
    AddPartitions,
    AllowAccess,
    AlterConfigs,
    Change,
    CreateTopic,
    DeleteTopic,
    PublishEpoch,
    RegisterSchema,
    RemoveAccess,
    SetCompatibility,
    SetRates,
)
from exchange.plan.plan import Actual, Plan
from exchange.plan.topics import CONTRACT_MESSAGE_BYTES
from exchange.schema.registry import Registry

CHANGE = TypeVar("CHANGE", bound=Change)

_RECORD_OVERHEAD_BYTES = 1024
_log = logging.getLogger("exchange.bus")


class PlanRefusedError(ConfigError):
    """The contract asks for something that cannot be done."""

    code = "plan-refused"
    remedy = "correct the contract as each target says"


class ConcurrentApplyError(TransientError):
    """Another administrator registered a schema or published an epoch at the same time and was first."""

    code = "concurrent-apply"
    remedy = "run `exchange plan` again: theirs is in force, yours is not"


def read_actual(cluster: Cluster) -> Actual:
    """Read the cluster as it is now."""
    with Admin(cluster) as admin:
        topics, access, rates = admin.topics(), admin.access(), admin.rates()
        known_as, brokers = admin.cluster_id(), admin.brokers()
    newest = latest_epoch(cluster) if names.CONTRACT_TOPIC in topics else None
    epoch = newest.epoch if newest else None
    registry = _registry(cluster) if names.SCHEMAS_TOPIC in topics else Registry()
    departments = frozenset(_departments(cluster, epoch)) if epoch else frozenset()
    return Actual(topics, registry, epoch, departments, access, rates, known_as, brokers)


def _departments(cluster: Cluster, newest: Epoch) -> Iterator[str]:
    """The departments of every epoch so far; earlier epochs are read only if the newest does not list former ones."""
    yield from newest.former or ()
    for epoch in [newest] if newest.former is not None else (published.epoch for published in every_epoch(cluster)):
        yield from (department.id for department in epoch.contract.departments)


def apply(cluster: Cluster, plan: Plan, progress: Callable[[Change], None] = lambda _: None) -> None:
    """Take every step of the plan in order; call `progress` before each step.

    Raises PlanRefusedError before doing anything if the plan has refusals, and ConcurrentApplyError if another
    administrator was first: run it again.
    """
    if plan.refusals:
        told = "; ".join(f"{r.target}: {r.message}" for r in plan.refusals)
        raise PlanRefusedError(told, remedy="; ".join(dict.fromkeys(r.remedy for r in plan.refusals)))
    with Admin(cluster) as admin:
        created = {c.target: c.topic for c in _each(plan.changes, CreateTopic, progress)}
        admin.create(created)
        for grown in _each(plan.changes, AddPartitions, progress):
            admin.add_partitions(grown.target, grown.after)
        for altered in _each(plan.changes, AlterConfigs, progress):
            admin.alter(altered.target, altered.after)
        _publish_schemas(cluster, plan.changes, progress)
        admin.set_rates({limited.target: limited.after for limited in _each(plan.changes, SetRates, progress)})
        admin.allow([rule for allowed in _each(plan.changes, AllowAccess, progress) for rule in allowed.rules])
        for published in _each(plan.changes, PublishEpoch, progress):
            _publish_epoch(cluster, published)
        admin.withdraw([rule for removed in _each(plan.changes, RemoveAccess, progress) for rule in removed.rules])
        # Deletion comes last: by now no router of the new epoch delivers to these topics.
        deleted = [change.target for change in _each(plan.changes, DeleteTopic, progress)]
        if deleted:
            admin.delete(deleted)


def _each(changes: Iterable[Change], kind: type[CHANGE], progress: Callable[[Change], None]) -> Iterator[CHANGE]:
    for change in changes:
        if isinstance(change, kind):
            progress(change)
            yield change
            _log.info("applied", extra={"change": change.kind, "target": change.target})


def _registry(cluster: Cluster) -> Registry:
    return Registry.read((record.key, record.value, record.offset) for record in read_all(cluster, names.SCHEMAS_TOPIC))


def _publish_schemas(cluster: Cluster, changes: Iterable[Change], progress: Callable[[Change], None]) -> None:
    levels = list(_each(changes, SetCompatibility, progress))
    schemas = list(_each(changes, RegisterSchema, progress))
    records = [r for level in levels for r in level.records] + [r for schema in schemas for r in schema.records]
    if not records:
        return
    publish(cluster, names.SCHEMAS_TOPIC, records)
    # The log's order decides between two writers, as in Confluent's registry: read the log to see who won.
    registry = _registry(cluster)
    for schema in schemas:
        if schema.id not in registry.ids(schema.target):
            message = f"another writer registered schemas at the same time as {schema.target}"
            raise ConcurrentApplyError(message, remedy="run `exchange apply` again")


def _with_topic_ids(cluster: Cluster, epoch: Epoch) -> Epoch:
    """The epoch with the topic ids of new subjects added; known subjects keep the ids recorded at first."""
    new = {names.subject_topic(subject.id) for subject in epoch.contract.subjects} - epoch.topic_ids.keys()
    with Consumer(cluster) as consumer:
        return epoch.model_copy(update={"topic_ids": {**epoch.topic_ids, **consumer.topic_ids(sorted(new))}})


def _publish_epoch(cluster: Cluster, change: PublishEpoch) -> None:
    value = epochs.encode(_with_topic_ids(cluster, change.epoch))
    if len(value) > CONTRACT_MESSAGE_BYTES - _RECORD_OVERHEAD_BYTES:
        message = f"the contract and its schemas have {len(value)} bytes, more than a record can hold"
        raise PlanRefusedError(message, remedy="split the exchange into two")
    [offset] = publish(cluster, names.CONTRACT_TOPIC, [(epochs.key(change.epoch.number), value)])
    newest = latest_epoch(cluster)
    if newest is None or newest.offset != offset:
        message = f"another administrator published epoch {change.epoch.number} first"
        raise ConcurrentApplyError(message)
