"""A first contract out of what a cluster has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exchange.bus.topic import Topic
from exchange.contract.check import Check
from exchange.contract.load import examine
from exchange.plan.starter import BLANK, PatternError, Starter, make_starter
from exchange.schema import avro
from exchange.schema.registry import Registry
from tests.rigs.contracts import INCOME, TODAY

DAY_MS = 86_400_000
KEPT = {"cleanup.policy": "delete", "retention.ms": "-1"}


def _registry(**schemas: list[dict[str, Any]]) -> Registry:
    registry = Registry()
    for topic, fields in schemas.items():
        text = json.dumps({"type": "record", "name": "R", "fields": fields})
        registry.register(f"{topic.replace('__', '.')}-value", avro.parse(text))
    return registry


def _check(starter: Starter, folder: Path) -> Check:
    """The starter on disk, with what only people know filled in."""
    for name, text in {**starter.schemas, "topics.yaml": starter.contract}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(f"credit_code: {BLANK}", "credit_code: 11440100MBX03FA1XC"), encoding="utf-8")
    return examine(folder / "topics.yaml", TODAY)


def test_a_topic_with_its_schema_becomes_a_valid_subject(tmp_path: Path) -> None:
    topics = {"subject.tax.income": Topic(6, 3, {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)})}
    starter = make_starter(topics, _registry(subject__tax__income=INCOME))
    check = _check(starter, tmp_path)
    assert check.problems == []
    assert check.contract is not None
    [subject] = check.contract.subjects
    assert (subject.id, subject.share, subject.entity.field, subject.entity.kind) == (
        "tax.income",
        "closed",
        "resident_id",
        "person",
    )
    assert (subject.topic.partitions, subject.topic.replication, subject.topic.retention_days) == (6, 3, 30)
    assert list(check.schemas["tax.income"].fields) == [f["name"] for f in INCOME]
    assert starter.notes == []


def test_the_exchanges_own_topics_are_passed_over() -> None:
    own = ["inbox.a.b.c", "quarantine.a.b", "cursor.a", "exchange.ledger", "exchange.contract", "_schemas", "_x"]
    starter = make_starter(dict.fromkeys(own, Topic(1, 1)), Registry(), ["{department}.{subject}"])
    assert (starter.subjects, starter.unmapped) == ([], {})


def test_topics_by_pattern() -> None:
    found = [
        "tax_income",
        "Tax_Land_Use",
        "land.plots",
        "orders",
        "1tax_x",
        "tax_Income",
        "exchange_x",
        "tax_" + "x" * 99,
    ]
    starter = make_starter(
        dict.fromkeys(found, Topic(1, 1, KEPT)), Registry(), ["{department}_{subject}", "{department}.{subject}"]
    )
    assert starter.subjects == ["land.plots", "tax.income", "tax.land-use"]
    assert starter.unmapped == {
        "orders": "matches no pattern",
        "1tax_x": "gives no name of small letters, digits and hyphens",
        "tax_income": "tax_Income is already subject tax.income",
        "exchange_x": "'exchange' is the exchange's own name",
        "tax_" + "x" * 99: "gives no name of small letters, digits and hyphens",
    }
    assert (
        "tax_Income: `exchange apply` will create subject.tax.income; its publishers have to move there"
        in starter.notes
    )


@pytest.mark.parametrize("pattern", ["", "{department}", "{subject}{subject}{department}", "x"])
def test_a_pattern_needs_both_parts(pattern: str) -> None:
    with pytest.raises(PatternError):
        make_starter({}, Registry(), [pattern])


@pytest.mark.parametrize("name", ["no", "null", "true", "on", "e1"])
def test_words_that_yaml_would_read_as_something_else(name: str, tmp_path: Path) -> None:
    fields = [{"name": "resident_id", "type": "string"}]
    starter = make_starter(
        {f"subject.{name}.{name}": Topic(1, 1, KEPT)}, _registry(**{f"subject__{name}__{name}": fields})
    )
    check = _check(starter, tmp_path)
    assert check.problems == []
    assert check.contract is not None
    assert check.contract.subjects[0].id == f"{name}.{name}"


def test_what_only_people_know_is_pointed_at(tmp_path: Path) -> None:
    anonymous = [{"name": "plate", "type": "string"}]
    starter = make_starter({"subject.tax.car": Topic(1, 1, KEPT)}, _registry(subject__tax__car=anonymous))
    (tmp_path / "topics.yaml").write_text(starter.contract)
    (tmp_path / "schemas/tax").mkdir(parents=True)
    (tmp_path / "schemas/tax/car.avsc").write_text(starter.schemas["schemas/tax/car.avsc"])
    paths = [problem.path for problem in examine(tmp_path / "topics.yaml", TODAY).problems]
    assert paths == ["departments[0].credit_code", "subjects[0].entity.field"]


@pytest.mark.parametrize(
    ("configs", "note"),
    [
        ({"retention.ms": "-1", "cleanup.policy": "compact"}, "is compacted"),
        ({}, "is kept as long as the cluster keeps topics by default"),
        ({"retention.ms": "5"}, "is kept for a part of a day"),
    ],
)
def test_what_the_contract_would_change_is_said(configs: dict[str, str], note: str) -> None:
    starter = make_starter({"subject.tax.income": Topic(1, 1, configs)}, _registry(subject__tax__income=INCOME))
    [told] = starter.notes
    assert note in told


def test_a_topic_too_large_for_a_contract_is_left_out() -> None:
    starter = make_starter({"subject.tax.income": Topic(5000, 1)}, Registry())
    assert starter.unmapped == {"subject.tax.income": "has 5000 partitions and 1 replicas: too many"}


@pytest.mark.parametrize(
    "schema",
    [
        '{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}',
        '{"type":"map","values":"string"}',
        '{"type":"record","name":"\\u001b[2J","fields":[]}',
        '"string"',
    ],
)
def test_a_schema_that_cannot_be_carried_is_left_to_a_person(schema: str) -> None:
    key = json.dumps({"keytype": "SCHEMA", "subject": "subject.tax.income-value", "version": 1, "magic": 1})
    value = json.dumps(
        {"subject": "subject.tax.income-value", "version": 1, "id": 1, "schema": schema, "deleted": False}
    )
    registry = Registry.read([(key.encode(), value.encode(), 0)])
    starter = make_starter({"subject.tax.income": Topic(1, 1, KEPT)}, registry)
    assert starter.schemas == {}
    [note] = starter.notes
    assert "cannot be used here" in note
    assert note.isprintable()
