"""Saved plans: carried out only while nothing has changed, whatever the file says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.contract.load import Loaded
from exchange.contract.model import Epoch
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan import saved
from exchange.plan.plan import Actual, Plan, make_plan
from exchange.plan.saved import SavedPlanError, decode, encode, fingerprints, require_same
from exchange.schema import avro
from exchange.schema.compatibility import Level
from exchange.schema.registry import Registry
from tests.rigs.contracts import CONTRACT, INCOME, loaded

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULE = Rule("User:tax", "topic", "inbox.tax.", "prefixed", "read")
OTHER = Rule("User:shop", "topic", "orders", "literal", "read")


def _actual(**different: Any) -> Actual:
    facts: dict[str, Any] = {"topics": {"_schemas": Topic(1, 1)}, "registry": Registry(), "epoch": None, "id": "a"}
    return Actual(**facts | {"access": frozenset([RULE])} | different)


def _plan(contract: Loaded, actual: Actual) -> Plan:
    return make_plan(contract, actual, avro.load(SCHEMA_FILE), NOW)


@pytest.fixture
def contract(tmp_path: Path) -> Loaded:
    return loaded(tmp_path)


def _told(before: dict[saved.Basis, str], after: dict[saved.Basis, str]) -> str:
    """What the error says that has changed."""
    with pytest.raises(SavedPlanError) as caught:
        require_same(before, (), after, Plan())
    return caught.value.message.rpartition(": ")[2]


def _registry() -> Registry:
    registry = Registry()
    registry.set_compatibility(None, Level.FULL)
    return registry


def _epoch(contract: Loaded) -> Epoch:
    return Epoch(number=1, time=NOW, contract=contract.contract, writers={}, views={}, schemas={}, ledger=1)


def test_a_saved_plan_comes_back(contract: Loaded) -> None:
    basis = fingerprints(contract, _actual())
    plan = _plan(contract, _actual())
    file = decode(encode(plan, basis, ["acls"], ["inbox.a.b.c"], NOW))
    assert (file.only, file.delete, file.basis, file.made) == (("acls",), ("inbox.a.b.c",), basis, NOW)
    require_same(file.basis, file.changes, fingerprints(contract, _actual()), _plan(contract, _actual()))


@pytest.mark.parametrize(
    ("different", "changed"),
    [
        ({"id": "b"}, "cluster"),
        ({"topics": {"_schemas": Topic(2, 1)}}, "topics"),
        ({"topics": {"_schemas": Topic(1, 1, {"a": "b"})}}, "topics"),
        ({"access": frozenset()}, "access rules"),
        ({"access": None}, "access rules"),
        ({"rates": {"tax": {"producer_byte_rate": 1}}}, "byte rates"),
        ({"registry": _registry()}, "schemas"),
    ],
)
def test_what_changed_on_the_cluster_is_told(contract: Loaded, different: dict[str, Any], changed: str) -> None:
    before, after = fingerprints(contract, _actual()), fingerprints(contract, _actual(**different))
    assert _told(before, after) == changed


def test_another_epoch_is_told(contract: Loaded) -> None:
    before, after = fingerprints(contract, _actual()), fingerprints(contract, _actual(epoch=_epoch(contract)))
    assert _told(before, after) == "epoch"


def test_another_contract_or_schema_is_told(contract: Loaded, tmp_path: Path) -> None:
    before = fingerprints(contract, _actual())
    longer = loaded(tmp_path / "a", CONTRACT.replace("2026-12-31", "2027-12-31"))
    grown = loaded(tmp_path / "b", fields=[*INCOME, {"name": "note", "type": "string", "default": ""}])
    for other in (longer, grown):
        assert _told(before, fingerprints(other, _actual())) == "contract"


def test_what_others_do_on_the_cluster_does_not_matter(contract: Loaded) -> None:
    topics = {"_schemas": Topic(1, 1), "orders": Topic(3, 1)}
    after = fingerprints(contract, _actual(topics=topics, access=frozenset([RULE, OTHER])))
    assert fingerprints(contract, _actual()) == after


def test_a_file_cannot_say_what_is_done(contract: Loaded) -> None:
    basis, plan = fingerprints(contract, _actual()), _plan(contract, _actual())
    forged = json.loads(encode(plan, basis, (), (), NOW)) | {"changes": ["let spy read topics inbox.…"]}
    file = decode(json.dumps(forged).encode())
    with pytest.raises(SavedPlanError, match="the steps"):
        require_same(file.basis, file.changes, basis, plan)


def test_a_file_without_a_fingerprint_is_out_of_date(contract: Loaded) -> None:
    basis = fingerprints(contract, _actual())
    with pytest.raises(SavedPlanError, match="schemas"):
        require_same({k: v for k, v in basis.items() if k != "schemas"}, (), basis, Plan())


SOUND = {
    "format": "exchange-plan-1",
    "made": "2026-06-01T00:00:00Z",
    "only": [],
    "delete": [],
    "basis": {},
    "changes": [],
}


def test_the_sound_file_is_taken() -> None:
    assert decode(json.dumps(SOUND).encode()).changes == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff",
        b"null",
        b"[]",
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        json.dumps(SOUND | {"format": "exchange-plan-9"}).encode(),
        json.dumps(SOUND | {"also": 1}).encode(),
        json.dumps(SOUND | {"only": ["everything"]}).encode(),
        json.dumps(SOUND | {"delete": ["\x1b[2Jsubject.tax.income"]}).encode(),
        json.dumps(SOUND | {"delete": ["subject.tax.income\n"]}).encode(),
        json.dumps(SOUND | {"delete": "subject.tax.income"}).encode(),
        json.dumps(SOUND | {"basis": {"topics": "x" * 64}}).encode(),
        json.dumps(SOUND | {"basis": {"sky": "0" * 64}}).encode(),
        json.dumps(SOUND | {"changes": [1]}).encode(),
        json.dumps({k: v for k, v in SOUND.items() if k != "made"}).encode(),
    ],
    ids=range(16),
)
def test_a_hostile_file_is_refused_without_being_repeated(data: bytes) -> None:
    with pytest.raises(SavedPlanError) as caught:
        decode(data)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_huge_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MAX_BYTES", 10)
    with pytest.raises(SavedPlanError, match="larger than"):
        decode(json.dumps(SOUND).encode())


def test_the_registry_is_read_before_planning_changes_it(contract: Loaded) -> None:
    actual = _actual()
    before = fingerprints(contract, actual)
    _plan(contract, actual)
    assert fingerprints(contract, actual)["schemas"] != before["schemas"]
    assert fingerprints(contract, replace(actual, registry=Registry())) == before
