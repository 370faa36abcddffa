"""Where a cluster is not as the contract has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.contract.load import Loaded
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.access import principal, wanted_access
from exchange.plan.changes import PublishEpoch
from exchange.plan.drift import Drift, Finding, find_drift
from exchange.plan.plan import NO_AUTHORIZER, Actual, make_plan
from exchange.plan.topics import wanted
from exchange.schema import avro
from exchange.schema.registry import Registry
from tests.rigs.contracts import CONTRACT, INCOME, loaded

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LEDGER = avro.load(SCHEMA_FILE)
INCOME_TOPIC = "subject.tax.income"


@pytest.fixture
def contract(tmp_path: Path) -> Loaded:
    return loaded(tmp_path)


def _in_order(contract: Loaded) -> Actual:
    """The cluster on which the contract was just applied."""
    registry = Registry()
    plan = make_plan(contract, Actual({}, registry, None), LEDGER, NOW)
    [epoch] = [change.epoch for change in plan.changes if isinstance(change, PublishEpoch)]
    departments = frozenset(d.id for d in contract.contract.departments)
    return Actual(wanted(contract.contract), registry, epoch, departments, wanted_access(contract.contract))


def _drift(contract: Loaded, actual: Actual, *accepted: str) -> Drift:
    return find_drift(make_plan(contract, actual, LEDGER, NOW), contract, actual, accepted)


def _told(contract: Loaded, actual: Actual, *accepted: str) -> list[str]:
    return [f"{f.kind} {f.target}: {f.text}" for f in _drift(contract, actual, *accepted).findings]


def test_what_was_just_applied_has_no_drift(contract: Loaded) -> None:
    assert _drift(contract, _in_order(contract)) == Drift((), ())


def test_an_empty_cluster_is_all_drift(contract: Loaded) -> None:
    result = _drift(contract, Actual({}, Registry(), None, access=frozenset()))
    assert all(finding.mended and finding.kind == "missing" for finding in result.findings)
    assert {finding.part for finding in result.findings} == {"topics", "schemas", "acls", "grants"}


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        (None, "missing subject.tax.income: does not exist; the contract has it, with 4 partitions"),
        ({"partitions": 3}, "different subject.tax.income: has 3 partitions, the contract says 4"),
        (
            {"partitions": 5},
            "different subject.tax.income: has 5 partitions, the contract says 4; Kafka cannot take any away",
        ),
        ({"replication": 3}, "different subject.tax.income: has 3 replicas, the contract says 1"),
        (
            {"configs": {"cleanup.policy": "delete", "retention.ms": "5"}},
            "different subject.tax.income: has retention.ms 5, the contract says -1",
        ),
    ],
)
def test_topics(contract: Loaded, topic: dict[str, Any] | None, told: str) -> None:
    actual = _in_order(contract)
    topics = dict(actual.topics)
    if topic is None:
        del topics[INCOME_TOPIC]
    else:
        topics[INCOME_TOPIC] = replace(topics[INCOME_TOPIC], **topic)
    assert told in _told(contract, replace(actual, topics=topics))


def test_inboxes_that_have_not_the_partitions_of_their_subject_are_mended(contract: Loaded) -> None:
    actual = _in_order(contract)
    topics = {**actual.topics, INCOME_TOPIC: replace(actual.topics[INCOME_TOPIC], partitions=5)}
    found = {f.target: f.mended for f in _drift(contract, replace(actual, topics=topics)).findings}
    assert found == {INCOME_TOPIC: False, "inbox.civil.tax.income": True, "quarantine.tax.income": True}


def test_a_topic_too_many_and_a_config_by_hand(contract: Loaded) -> None:
    actual = _in_order(contract)
    by_hand = replace(actual.topics[INCOME_TOPIC], configs={**actual.topics[INCOME_TOPIC].configs, "segment.ms": "60"})
    topics = {**actual.topics, "inbox.civil.tax.old": Topic(1, 1), "orders": Topic(1, 1), INCOME_TOPIC: by_hand}
    result = _drift(contract, replace(actual, topics=topics))
    assert result.findings == (Finding("topics", "extra", "inbox.civil.tax.old", "is not in the contract"),)
    assert result.notes == ("topic subject.tax.income has segment.ms=60",)


def test_schemas_and_the_epoch(contract: Loaded, tmp_path: Path) -> None:
    other = loaded(tmp_path, fields=[*INCOME, {"name": "note", "type": "string", "default": ""}])
    assert _told(other, _in_order(contract)) == [
        "missing subject.tax.income-value: does not have the contract's schema",
        "different exchange.contract: epoch 1 is not the contract",
    ]
    bad = loaded(tmp_path, fields=[*INCOME, {"name": "note", "type": "string"}])
    [refused] = _drift(bad, _in_order(contract)).findings
    assert not refused.mended
    longer = loaded(tmp_path, CONTRACT.replace("2026-12-31", "2027-12-31"))
    assert _told(longer, _in_order(contract)) == ["different exchange.contract: epoch 1 is not the contract"]


def test_byte_rates(contract: Loaded) -> None:
    actual = replace(_in_order(contract), rates={"tax": {"producer_byte_rate": 5}})
    assert _told(contract, actual) == ["different tax: producer_byte_rate is 5, not unlimited"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            Rule("User:spy", "topic", "inbox.", "prefixed", "read"),
            "extra spy: may read topics inbox.…, which the contract does not give",
        ),
        (
            Rule("User:backup", "topic", "*", "literal", "read"),
            "extra User:backup: may read topics *; this is not the contract's, and `apply` leaves it alone",
        ),
        (
            Rule("User:tax", "topic", "subject.tax.", "prefixed", "write", "deny"),
            "extra User:tax: may never write topics subject.tax.…; this is not the contract's, "
            "and `apply` leaves it alone",
        ),
    ],
)
def test_rules_too_many(contract: Loaded, rule: Rule, told: str) -> None:
    actual = _in_order(contract)
    assert actual.access
    assert _told(contract, replace(actual, access=actual.access | {rule})) == [told]


@pytest.mark.parametrize(
    ("rule", "noted"),
    [
        (Rule("User:monitor", "group", "exchange.router", "literal", "describe"), True),
        (Rule("User:tax", "topic", "payroll", "literal", "read"), True),
        (Rule("User:intruder", "topic", "*", "literal", "all", "deny"), True),
        (Rule("User:shop", "topic", "orders", "literal", "read"), False),
    ],
)
def test_rules_that_are_no_drift(contract: Loaded, rule: Rule, noted: bool) -> None:
    actual = _in_order(contract)
    assert actual.access
    result = _drift(contract, replace(actual, access=actual.access | {rule}))
    assert result.findings == ()
    assert bool(result.notes) is noted


def test_accepted_principals(contract: Loaded) -> None:
    actual = _in_order(contract)
    assert actual.access
    with_backup = replace(actual, access=actual.access | {Rule("User:backup", "topic", "*", "literal", "read")})
    assert _told(contract, with_backup, "User:backup") == []


def test_missing_rules(contract: Loaded) -> None:
    actual = _in_order(contract)
    assert actual.access
    without = frozenset(r for r in actual.access if r.principal != principal("tax") or r.kind != "topic")
    [finding] = _drift(contract, replace(actual, access=without)).findings
    assert (finding.kind, finding.target, finding.mended) == ("missing", "tax", True)
    assert finding.text.startswith("may not write topics cursor.tax, subject.tax.…; read topics")


def test_a_cluster_that_asks_nobody_who_he_is(contract: Loaded) -> None:
    result = _drift(contract, replace(_in_order(contract), access=None))
    assert result == Drift((), (NO_AUTHORIZER,))
