"""What `exchange plan` finds between a contract and a cluster, without a cluster."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exchange import names
from exchange.bus.client_quotas import ByteRates
from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.contract.load import Loaded
from exchange.contract.model import Epoch
from exchange.ledger.entry import SCHEMA_FILE
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
from exchange.plan.plan import ORDER, Actual, Plan, make_plan
from exchange.plan.topics import wanted
from exchange.schema import avro
from exchange.schema.compatibility import Level
from exchange.schema.registry import KeyValue, Registry
from tests.rigs.contracts import CONTRACT, INCOME, loaded

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LEDGER = avro.load(SCHEMA_FILE)


class Cluster:
    """A cluster in memory: takes a plan's steps as the real one does."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.schemas: list[KeyValue] = []
        self.epoch: Epoch | None = None
        self.departments: frozenset[str] = frozenset()
        self.access: frozenset[Rule] = frozenset()
        self.rates: dict[str, ByteRates] = {}

    def plan(self, contract: Loaded, delete: Collection[str] = ()) -> Plan:
        registry = Registry.read((*pair, at) for at, pair in enumerate(self.schemas))
        actual = Actual(self.topics, registry, self.epoch, self.departments, self.access, self.rates)
        return make_plan(contract, actual, LEDGER, NOW, delete=delete)

    def apply(self, contract: Loaded) -> Plan:
        plan = self.plan(contract)
        assert not plan.refusals
        for change in plan.changes:
            self.take(change)
        return plan

    def take(self, change: Change) -> None:
        match change:
            case CreateTopic(target, topic):
                self.topics[target] = topic
            case AddPartitions(target, _, after):
                self.topics[target] = replace(self.topics[target], partitions=after)
            case AlterConfigs(target, _, after):
                self.topics[target] = replace(self.topics[target], configs={**self.topics[target].configs, **after})
            case SetCompatibility() | RegisterSchema():
                self.schemas += change.records
            case SetRates(target, _, after):
                kept = {**self.rates.get(target, {}), **after}
                self.rates[target] = {key: rate for key, rate in kept.items() if rate is not None}
            case AllowAccess():
                self.access |= set(change.rules)
            case PublishEpoch():
                self.epoch = change.epoch
                self.departments |= {d.id for d in change.epoch.contract.departments}
            case RemoveAccess():
                self.access -= set(change.rules)
            case DeleteTopic(target):
                del self.topics[target]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def _grown(more: dict[str, Any]) -> list[dict[str, Any]]:
    return [*INCOME, more]


def test_an_empty_cluster_gets_everything(cluster: Cluster, tmp_path: Path) -> None:
    plan = cluster.apply(loaded(tmp_path))
    assert set(cluster.topics) == {
        "_schemas",
        "exchange.contract",
        "exchange.ledger",
        "exchange.quota",
        "quarantine.tax.income",
        "inbox.civil.tax.income",
        "subject.tax.income",
        "cursor.civil",
        "cursor.tax",
    }
    assert [type(c) for c in plan.changes] == sorted((type(c) for c in plan.changes), key=ORDER.index)
    epoch = cluster.epoch
    assert epoch is not None
    assert epoch.number == 1
    assert set(epoch.writers) == {"tax.income"}
    assert set(epoch.views) == {"g1"}
    assert set(epoch.schemas) == {epoch.ledger, epoch.views["g1"], *epoch.writers["tax.income"]}
    assert list(avro.parse(epoch.schemas[epoch.views["g1"]]).fields) == ["resident_id", "amount"]


def test_the_second_plan_is_empty(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    assert cluster.plan(loaded(tmp_path)).is_empty


def test_an_apply_interrupted_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    contract = loaded(tmp_path)
    whole = Cluster()
    steps = whole.apply(contract).changes
    for done in range(len(steps)):
        cluster = Cluster()
        for step in cluster.plan(contract).changes[:done]:
            cluster.take(step)
        cluster.apply(contract)
        assert cluster.topics == whole.topics
        assert cluster.epoch == whole.epoch
        assert cluster.plan(contract).is_empty


def test_partitions_grow_inbox_first_and_never_shrink(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    more = CONTRACT.replace("share: conditional", "share: conditional\n    topic: {partitions: 6}")
    grown = [c for c in cluster.plan(loaded(tmp_path, more)).changes if isinstance(c, AddPartitions)]
    assert [c.target for c in grown] == ["quarantine.tax.income", "inbox.civil.tax.income", "subject.tax.income"]
    assert "order" in grown[0].text
    fewer = more.replace("partitions: 6", "partitions: 2")
    plan = cluster.plan(loaded(tmp_path, fewer))
    assert (
        {r.target for r in plan.refusals}
        == {"subject.tax.income"}
        == {c.target for c in grown if "subject" in c.target}
    )
    assert not any(isinstance(c, PublishEpoch) for c in plan.changes)


def test_inboxes_follow_partitions_that_were_added_by_hand(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    cluster.topics["subject.tax.income"] = replace(cluster.topics["subject.tax.income"], partitions=7)
    plan = cluster.apply(loaded(tmp_path))
    assert {(c.target, c.kind) for c in plan.changes} == {
        ("quarantine.tax.income", "AddPartitions"),
        ("inbox.civil.tax.income", "AddPartitions"),
    }
    assert cluster.topics["inbox.civil.tax.income"].partitions == cluster.topics["subject.tax.income"].partitions
    again = cluster.plan(loaded(tmp_path))
    assert again.is_empty
    [notice] = again.notices
    assert "subject.tax.income has 7 partitions" in notice
    assert "write `partitions: 7`" in notice


@pytest.mark.parametrize(
    "topic", ["inbox.civil.tax.income", "quarantine.tax.income", "cursor.tax", names.SCHEMAS_TOPIC]
)
def test_partitions_that_stay_empty_refuse_nothing(cluster: Cluster, tmp_path: Path, topic: str) -> None:
    cluster.apply(loaded(tmp_path))
    cluster.topics[topic] = replace(cluster.topics[topic], partitions=9)
    plan = cluster.plan(loaded(tmp_path))
    assert plan.is_empty
    assert f"topic {topic} has 9 partitions" in plan.notices[0]


def test_a_topic_that_was_made_too_small_for_a_batch_is_enlarged(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    for name, limit in (("inbox.civil.tax.income", "1000"), ("quarantine.tax.income", "2000000")):
        there = cluster.topics[name]
        cluster.topics[name] = replace(there, configs={**there.configs, "max.message.bytes": limit})
    [change] = cluster.apply(loaded(tmp_path)).changes
    assert isinstance(change, AlterConfigs)
    assert (change.target, change.after) == ("inbox.civil.tax.income", {"max.message.bytes": "1048588"})
    assert cluster.plan(loaded(tmp_path)).is_empty


def test_the_ledgers_partitions_are_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    cluster.topics[names.LEDGER_TOPIC] = replace(cluster.topics[names.LEDGER_TOPIC], partitions=3)
    assert cluster.plan(loaded(tmp_path)).is_empty


def test_only_configs_of_the_contract_are_changed(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    topic = cluster.topics["subject.tax.income"]
    cluster.topics["subject.tax.income"] = replace(topic, configs={"retention.ms": "5", "segment.ms": "7"})
    [change] = cluster.plan(loaded(tmp_path)).changes
    assert isinstance(change, AlterConfigs)
    assert change.after == {"retention.ms": "-1", "cleanup.policy": "delete"}
    assert change.before == {"retention.ms": "5", "cleanup.policy": None}


WHOLE = CONTRACT.replace("fields: [resident_id, amount]", "fields: all")
NOTE = {"name": "note", "type": "string", "default": ""}


def test_all_is_what_the_subject_had_when_the_grant_was_made(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path, WHOLE))
    assert cluster.epoch is not None
    had = tuple(field["name"] for field in INCOME)
    assert cluster.epoch.pinned == {"g1": had}
    assert cluster.epoch.views == {}

    plan = cluster.apply(loaded(tmp_path, WHOLE, _grown(NOTE)))
    writer, view = [c for c in plan.changes if isinstance(c, RegisterSchema)]
    assert (writer.version, writer.gained) == (2, ("note",))
    assert plan.notices == [
        "grant g1 does not give civil the new field note of tax.income: "
        "list its fields with it, or publish another grant"
    ]
    assert len(cluster.epoch.writers["tax.income"]) == 2
    assert cluster.epoch.pinned == {"g1": had}
    assert cluster.epoch.views == {"g1": view.id}
    assert tuple(avro.parse(cluster.epoch.schemas[view.id]).fields) == had
    assert cluster.plan(loaded(tmp_path, WHOLE, _grown(NOTE))).is_empty
    # Another change of the grant does not widen it; another grant does.
    cluster.apply(loaded(tmp_path, WHOLE.replace("until: 2026-12-31", "until: 2027-12-31"), _grown(NOTE)))
    assert cluster.epoch.pinned == {"g1": had}
    cluster.apply(loaded(tmp_path, WHOLE.replace("id: g1", "id: g2"), _grown(NOTE)))
    assert cluster.epoch.pinned == {"g2": (*had, "note")}
    assert cluster.epoch.views == {}


def test_a_reader_that_names_the_new_field_is_told(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    wider = CONTRACT.replace("fields: [resident_id, amount]", "fields: [resident_id, amount, note]")
    plan = cluster.apply(loaded(tmp_path, wider, _grown(NOTE)))
    assert plan.notices == ["grant g1: civil gains the new field note of tax.income"]


def test_masked_fields_have_their_own_types(cluster: Cluster, tmp_path: Path) -> None:
    masks = "masks: {resident_id: pseudonym, amount: {kind: range, bounds: [0, 1000]}, filed_on: year, year: null}"
    cluster.apply(loaded(tmp_path, WHOLE.replace("fields: all", f"fields: all\n    {masks}")))
    assert cluster.epoch is not None
    view = avro.parse(cluster.epoch.schemas[cluster.epoch.views["g1"]])
    types = {name: field.definition["type"] for name, field in view.fields.items() if name != "status"}
    assert types == {
        "resident_id": "string",
        "year": ["null", "int"],
        "amount": "string",
        "filed_on": ["null", "int"],
    }
    assert view.definition["fields"][4]["default"] is None


def test_a_new_field_does_not_reach_a_grant_that_does_not_name_it(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    before = cluster.epoch
    plan = cluster.apply(loaded(tmp_path, fields=_grown({"name": "note", "type": "string", "default": ""})))
    assert before is not None
    assert cluster.epoch is not None
    assert cluster.epoch.views == before.views
    assert plan.notices == []


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"name": "note", "type": "string"}, "/note: is new and has no default"),
        ({"name": "year", "type": "string"}, "/year"),
        (
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}},
            "scale 2, becomes decimal with scale 3",
        ),
        ({"name": "filed_on", "type": ["null", "int"], "default": None}, "was date"),
    ],
)
def test_an_incompatible_schema_is_refused_with_reasons(
    cluster: Cluster, tmp_path: Path, field: dict[str, Any], message: str
) -> None:
    cluster.apply(loaded(tmp_path))
    fields = [f for f in INCOME if f["name"] != field["name"]] + [field]
    plan = cluster.plan(loaded(tmp_path, fields=fields))
    [refusal] = plan.refusals
    assert message in refusal.message
    assert refusal.target == "subject.tax.income-value"
    assert not any(isinstance(c, PublishEpoch) for c in plan.changes)


def test_a_level_set_by_another_registry_is_honoured(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    cluster.schemas += Registry().set_compatibility("subject.tax.income-value", Level.NONE)
    plan = cluster.plan(loaded(tmp_path, fields=_grown({"name": "note", "type": "string"})))
    assert plan.refusals == []


def test_returning_to_an_older_schema_makes_it_the_newest_writer(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    assert cluster.epoch is not None
    [old] = cluster.epoch.writers["tax.income"]
    cluster.apply(loaded(tmp_path, fields=_grown({"name": "note", "type": "string", "default": ""})))
    cluster.apply(loaded(tmp_path))
    assert cluster.epoch.writers["tax.income"][-1] == old
    assert len(cluster.epoch.writers["tax.income"]) == 2


def test_a_view_may_change_in_any_way(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    plan = cluster.apply(loaded(tmp_path, CONTRACT.replace("[resident_id, amount]", "[resident_id, year, status]")))
    [told] = [c.access for c in plan.changes if isinstance(c, PublishEpoch)]
    assert [change.texts for change in told] == [
        ("gains 2 fields of tax.income: year, status", "loses 1 field of tax.income: amount")
    ]


def test_readers_with_the_same_fields_share_one_schema(cluster: Cluster, tmp_path: Path) -> None:
    second = CONTRACT[CONTRACT.index("  - id: g1") :].replace("g1", "g2").replace("reader: civil", "reader: housing")
    housing = "  - id: housing\n    title: {zh: 房, en: H}\n    credit_code: 11440100MBX04FA1X4\nsubjects:"
    contract = CONTRACT.replace("subjects:", housing) + second.replace("[resident_id, amount]", "[amount, resident_id]")
    cluster.apply(loaded(tmp_path, contract))
    assert cluster.epoch is not None
    assert len(set(cluster.epoch.views.values())) == 1


def test_orphans_are_shown_and_go_only_when_named(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    cluster.topics |= {"inbox.civil.tax.old": Topic(1, 1), "somebody.elses": Topic(1, 1)}
    plan = cluster.plan(loaded(tmp_path))
    assert plan.orphans == ["inbox.civil.tax.old"]
    assert plan.is_empty
    plan = cluster.plan(loaded(tmp_path), delete=["inbox.civil.tax.old"])
    assert [type(c) for c in plan.changes] == [DeleteTopic]
    for kept in ("subject.tax.income", "exchange.ledger", "somebody.elses", "no.such"):
        refused = cluster.plan(loaded(tmp_path), delete=[kept])
        assert [r.target for r in refused.refusals] == [kept]


def test_replicas_are_told_and_not_moved(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(loaded(tmp_path))
    cluster.topics["cursor.tax"] = replace(cluster.topics["cursor.tax"], replication=2)
    plan = cluster.plan(loaded(tmp_path))
    assert plan.is_empty
    assert "kafka-reassign-partitions" in plan.notices[0]


def test_own_topics_are_as_durable_as_the_best_subject(tmp_path: Path) -> None:
    contract = CONTRACT.replace(
        "share: conditional", "share: conditional\n    topic: {replication: 3, retention_days: 2}"
    )
    topics = wanted(loaded(tmp_path, contract).contract)
    assert all(t.replication == 3 and t.configs["min.insync.replicas"] == "2" for t in topics.values())
    assert topics["subject.tax.income"].configs["retention.ms"] == str(2 * 86_400_000)
    assert topics[names.LEDGER_TOPIC].configs["retention.ms"] == "-1"
