"""Plans the ordered steps from a cluster to a contract; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from exchange import names
from exchange.bus.client_quotas import ByteRates
from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.contract import key
from exchange.contract.epoch import inboxes_after, resyncs_after, same_content
from exchange.contract.extent import Extent, extent
from exchange.contract.load import Loaded
from exchange.contract.model import Epoch, Grant, Subject
from exchange.contract.touch import touched
from exchange.plan.changes import (
    AddPartitions,
    AllowAccess,
    AlterConfigs,
    Change,
    CreateTopic,
    DeleteTopic,
    PublishEpoch,
    RefusedChange,
    RegisterSchema,
    RemoveAccess,
    SetCompatibility,
    SetRates,
)
from exchange.plan.differences import differences
from exchange.plan.grant_changes import access_of_readers, endings
from exchange.plan.guard import access_changes, rate_changes
from exchange.plan.topics import PREFIXES, wanted
from exchange.schema.avro import Schema
from exchange.schema.compatibility import Level, incompatibilities
from exchange.schema.registry import Registry
from exchange.schema.resolve import SchemaError

# A topic exists before its schema, and both before a router hears of them; removals come last.
ORDER = (
    CreateTopic,
    AddPartitions,
    AlterConfigs,
    SetCompatibility,
    RegisterSchema,
    SetRates,
    AllowAccess,
    PublishEpoch,
    RemoveAccess,
    DeleteTopic,
)

NO_AUTHORIZER = (
    "the cluster has no authorizer: whoever can reach it can read and write everything; "
    "set authorizer.class.name on its brokers and run `exchange apply` again"
)


@dataclass(frozen=True)
class Actual:
    """The cluster as it is. Planning changes `registry`, so read a new `Actual` for every plan.

    `id` is Kafka's id of the cluster; `departments` are those of every epoch so far; `access` is None if the
    cluster has no authorizer; `brokers` is None if nobody asked how many there are.
    """

    topics: Mapping[str, Topic]
    registry: Registry
    epoch: Epoch | None
    departments: frozenset[str] = frozenset()
    access: frozenset[Rule] | None = None
    rates: Mapping[str, ByteRates] = field(default_factory=dict)
    id: str = ""
    brokers: int | None = None


@dataclass
class Plan:
    """Steps, in an order that is safe at every point; none is taken while there are `refusals`.

    If it is not `whole`, steps of other parts were left out.
    """

    changes: list[Change] = field(default_factory=list)
    refusals: list[RefusedChange] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    whole: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether the cluster already is as the contract wants it."""
        return not self.changes and not self.refusals


def make_plan(loaded: Loaded, actual: Actual, ledger: Schema, now: datetime, *, delete: Collection[str] = ()) -> Plan:
    """Plan all that has to be done; `ledger` is the schema of ledger entries.

    Topics that the contract does not have are listed as orphans; only those named in `delete` are deleted.
    """
    plan = Plan()
    _topics(plan, wanted(loaded.contract, actual.topics), actual, frozenset(delete))
    _Schemas(plan, loaded, actual, ledger).run(now)
    plan.changes += rate_changes(loaded.contract, actual.departments, actual.rates)
    if actual.access is None:
        plan.notices.append(NO_AUTHORIZER)
    else:
        plan.changes += access_changes(loaded.contract, actual.departments, actual.access)
    plan.changes.sort(key=lambda change: ORDER.index(type(change)))
    return plan


def _topics(plan: Plan, topics: Mapping[str, Topic], actual: Actual, delete: Collection[str]) -> None:
    for name, topic in topics.items():
        existing = actual.topics.get(name)
        if existing is None:
            plan.changes.append(CreateTopic(name, topic))
            if actual.brokers is not None and name.startswith("subject.") and topic.replication > actual.brokers:
                message = f"{topic.replication} replicas need so many brokers, and the cluster has {actual.brokers} now"
                remedy = f"write `replication: {actual.brokers}`, or start more brokers"
                plan.refusals.append(RefusedChange("topics", name, message, remedy))
        else:
            _existing(plan, name, topic, actual)
    orphans = sorted(n for n in actual.topics if n.startswith(PREFIXES) and n not in topics)
    plan.orphans = [name for name in orphans if name not in delete]
    for name in sorted(delete):
        if name in orphans:
            plan.changes.append(DeleteTopic(name))
        else:
            message = "belongs to the contract" if name in topics else "is not a topic of the exchange"
            plan.refusals.append(
                RefusedChange("topics", name, f"{message}: it is not deleted", "name a topic that plan shows as orphan")
            )


def too_many(name: str, topic: Topic, existing: Topic) -> str:
    """The message about partitions beyond those of the contract; empty if there are none, and for the ledger."""
    if name == names.LEDGER_TOPIC or existing.partitions <= topic.partitions:
        return ""
    return f"has {existing.partitions} partitions, the contract says {topic.partitions}; Kafka cannot take any away"


def _was_lowered(name: str, topic: Topic, epoch: Epoch | None) -> bool:
    """Whether the contract lowered the number; if not, somebody gave the topic more partitions by hand."""
    if epoch is None:
        return name.startswith("subject.")
    before = wanted(epoch.contract).get(name)
    return before is not None and topic.partitions < before.partitions and name.startswith("subject.")


def _is_keyed(name: str, epoch: Epoch | None) -> bool:
    """Whether this is the topic of a published subject with a key."""
    return epoch is not None and any(s.key and name == names.subject_topic(s.id) for s in epoch.contract.subjects)


def _existing(plan: Plan, name: str, topic: Topic, actual: Actual) -> None:
    existing = actual.topics[name]
    # Ledger entries are assigned to partitions by hash and kept in order: the number of partitions never changes.
    if name != names.LEDGER_TOPIC and existing.partitions < topic.partitions:
        if _is_keyed(name, actual.epoch):
            message = "rows would be in other partitions than before, and the rows that readers hold would not be found"
            remedy = f"write `partitions: {existing.partitions}`, or publish a new subject"
            plan.refusals.append(RefusedChange("topics", name, message, remedy))
        else:
            plan.changes.append(AddPartitions(name, existing.partitions, topic.partitions))
    if message := too_many(name, topic, existing):
        if _was_lowered(name, topic, actual.epoch):
            plan.refusals.append(RefusedChange("topics", name, message, f"write `partitions: {existing.partitions}`"))
        else:
            remedy = f"; write `partitions: {existing.partitions}`" if name.startswith("subject.") else ""
            plan.notices.append(f"topic {name} {message}{remedy}")
    if existing.replication != topic.replication:
        plan.notices.append(
            f"topic {name} has {existing.replication} replicas, the contract says {topic.replication}: "
            "move it with kafka-reassign-partitions"
        )
    after = {k: v for k, v in topic.configs.items() if existing.configs.get(k) != v}
    if after:
        plan.changes.append(AlterConfigs(name, {k: existing.configs.get(k) for k in after}, after))


class _Schemas:
    """Registers what the contract needs in the registry's state, and builds the epoch from that."""

    def __init__(self, plan: Plan, loaded: Loaded, actual: Actual, ledger: Schema) -> None:
        self._plan, self._loaded, self._actual, self._ledger = plan, loaded, actual, ledger
        self._registry = actual.registry

    def run(self, now: datetime) -> None:
        if not self._registry.has_level:
            level = self._registry.level
            self._plan.changes.append(SetCompatibility("", level, tuple(self._registry.set_compatibility(None, level))))
        ledger = self._register(names.value_subject(names.LEDGER_TOPIC), self._ledger)
        current = {s: self._writer(s, schema) for s, schema in self._loaded.schemas.items()}
        for subject in self._loaded.contract.subjects:
            self._key(subject)
        writers = {s: self._writer_ids(s, schema_id) for s, schema_id in current.items()}
        if self._plan.refusals:
            return
        grants = self._loaded.contract.grants
        extents = {grant.id: self._extent(grant, writers[grant.subject]) for grant in grants}
        views = {grant.id: self._view(grant, view) for grant in grants if (view := extents[grant.id].view)}
        if self._plan.refusals:
            return
        ids = sorted({ledger, *views.values(), *(i for each in writers.values() for i in each)})
        last = self._actual.epoch
        epoch = Epoch(
            number=last.number + 1 if last else 1,
            time=now,
            contract=self._loaded.contract,
            writers=writers,
            views=views,
            pinned={grant_id: e.pinned for grant_id, e in extents.items() if e.pinned},
            schemas={i: self._registry.text(i) for i in ids},
            ledger=ledger,
            topic_ids=last.topic_ids if last else {},  # removed subjects stay: their topic may differ when they return
            accepted_gaps=last.accepted_gaps if last else (),
            inboxes=inboxes_after(last, now),
            former=tuple(sorted(self._actual.departments.difference(d.id for d in self._loaded.contract.departments))),
        )
        epoch = epoch.model_copy(update={"resyncs": resyncs_after(last, epoch)})
        if last is None or not same_content(last, epoch):
            told = tuple(differences(last.contract if last else None, self._loaded.contract))
            readers = tuple(access_of_readers(last, epoch))
            self._plan.notices += endings(last, epoch, now) if last else ()
            self._plan.changes.append(PublishEpoch(names.CONTRACT_TOPIC, epoch, told, readers))

    def _register(self, subject: str, schema: Schema) -> int:
        """Register a schema that is compatible with the other versions; return its id, or 0 if it is refused."""
        versions = self._registry.versions(subject)
        others = [v for v in versions if v.id != self._registry.find(subject, schema)]
        if versions and versions[-1] in others:
            level = self._registry.compatibility(subject)
            try:
                reasons = incompatibilities(schema, [self._registry.schema(v.id) for v in others], level)
            except SchemaError as error:
                reasons = [f"a registered version cannot be read: {error.message}"]
            if reasons:
                message = f"the schema does not fit the registered versions ({level.value}): {'; '.join(reasons)}"
                remedy = "give new fields a default, keep types, or publish a new subject"
                self._plan.refusals.append(RefusedChange("schemas", subject, message, remedy))
                return 0
        schema_id, records = self._registry.register(subject, schema)
        if records:
            before = list(self._registry.schema(versions[-1].id).fields) if versions else list(schema.fields)
            self._plan.changes.append(
                RegisterSchema(
                    subject,
                    schema_id,
                    self._registry.versions(subject)[-1].version,
                    tuple(records),
                    tuple(name for name in schema.fields if name not in before),
                    tuple(name for name in before if name not in schema.fields),
                )
            )
        return schema_id

    def _writer(self, subject_id: str, schema: Schema) -> int:
        subject = names.value_subject(names.subject_topic(subject_id))
        before, steps = self._registry.versions(subject), len(self._plan.changes)
        schema_id = self._register(subject, schema)
        if before and any(isinstance(step, RegisterSchema) for step in self._plan.changes[steps:]):
            old = self._registry.schema(before[-1].id)
            for grant in self._loaded.contract.grants:
                if grant.subject == subject_id:
                    self._plan.notices += touched(grant, old, schema)
        return schema_id

    def _writer_ids(self, subject_id: str, current: int) -> tuple[int, ...]:
        """The ids of every version, the contract's last: it may be an older version to which the contract returned."""
        ids = self._registry.ids(names.value_subject(names.subject_topic(subject_id)))
        return (*(i for i in ids if i != current), current)

    def _key(self, subject: Subject) -> None:
        """Refuse a key by which rows that readers hold would no longer be found."""
        last = self._actual.epoch
        before = next((s.key for s in last.contract.subjects if s.id == subject.id), ()) if last else ()
        message = ""
        if before and before != subject.key:
            message = f"the key was {', '.join(before)}: rows that readers hold would no longer be found by it"
        for version in self._registry.versions(names.value_subject(names.subject_topic(subject.id))):
            known, newest = self._registry.schema(version.id).fields, self._loaded.schemas[subject.id].fields
            differ = [f for f in subject.key if f not in known or not key.is_same(known[f].type, newest[f].type)]
            if differ:
                message = f"version {version.version} of its schema has {', '.join(differ)} otherwise, or not at all"
        if message:
            remedy = "keep the key and its fields' types, or publish a new subject"
            self._plan.refusals.append(RefusedChange("schemas", subject.id, message, remedy))

    def _extent(self, grant: Grant, writers: tuple[int, ...]) -> Extent:
        carried = (name for schema_id in writers for name in self._registry.schema(schema_id).fields)
        return extent(grant, self._loaded.schemas[grant.subject], carried, self._actual.epoch)

    def _view(self, grant: Grant, view: Schema) -> int:
        subject = names.value_subject(names.inbox_topic(grant.reader, grant.subject))
        if subject not in self._registry.configured:
            # The city decides what a view gives; compatibility rules must not stand in the way.
            records = tuple(self._registry.set_compatibility(subject, Level.NONE))
            self._plan.changes.append(SetCompatibility(subject, Level.NONE, records))
        return self._register(subject, view)
