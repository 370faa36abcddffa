"""`--only`: a part of a plan, refused where it needs another part first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.contract.load import Loaded
from exchange.contract.model import Epoch
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.access import wanted_access
from exchange.plan.changes import Part, PublishEpoch, RemoveAccess
from exchange.plan.plan import Actual, Plan, make_plan
from exchange.plan.selection import select
from exchange.plan.topics import wanted
from exchange.schema import avro
from exchange.schema.registry import KeyValue, Registry
from tests.rigs.contracts import CONTRACT, INCOME, loaded

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LEDGER = avro.load(SCHEMA_FILE)
SPY = Rule("User:spy", "topic", "inbox.", "prefixed", "read")


def _plan(contract: Loaded, actual: Actual, *delete: str) -> Plan:
    return make_plan(contract, actual, LEDGER, NOW, delete=delete)


def _empty() -> Actual:
    return Actual({}, Registry(), None, access=frozenset())


def _select(plan: Plan, epoch: Epoch | None, *parts: Part) -> Plan:
    return select(plan, parts, epoch)


class City:
    """A cluster on which a contract was applied, with what has been left over."""

    def __init__(self, contract: Loaded) -> None:
        plan = _plan(contract, _empty())
        self._schemas: list[KeyValue] = [r for change in plan.changes for r in getattr(change, "records", ())]
        [self.epoch] = [c.epoch for c in plan.changes if isinstance(c, PublishEpoch)]
        self.topics: dict[str, Topic] = wanted(contract.contract)
        self.access = wanted_access(contract.contract)

    def actual(self) -> Actual:
        departments = frozenset(d.id for d in self.epoch.contract.departments)
        registry = Registry.read((*pair, at) for at, pair in enumerate(self._schemas))
        return Actual(self.topics, registry, self.epoch, departments, self.access)


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(loaded(tmp_path / "before"))


def test_all_of_it_is_the_plan_itself(tmp_path: Path) -> None:
    plan = _plan(loaded(tmp_path), _empty())
    assert select(plan, (), None) is plan


@pytest.mark.parametrize(
    "parts", [("topics",), ("acls",), ("topics", "schemas"), ("topics", "acls", "schemas", "grants")]
)
def test_parts_that_need_nothing_else(tmp_path: Path, parts: tuple[Part, ...]) -> None:
    plan = select(_plan(loaded(tmp_path), _empty()), parts, None)
    assert not plan.refusals
    assert {change.part for change in plan.changes} == set(parts)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    plan = _select(_plan(loaded(tmp_path), _empty()), None, "topics", "schemas")
    assert plan.notices == ["left out: 4 changes of acls, 1 change of grants"]
    assert not plan.whole


def test_an_epoch_needs_everything_before_it(tmp_path: Path) -> None:
    [refusal] = _select(_plan(loaded(tmp_path), _empty()), None, "grants", "topics").refusals
    assert refusal.target == "exchange.contract"
    assert refusal.message == "needs to be done first: 5 changes of schemas, 4 changes of acls"
    assert refusal.remedy == "apply `--only topics --only acls --only schemas --only grants`, or all of it"


def test_schemas_need_their_topic(tmp_path: Path) -> None:
    refusals = _select(_plan(loaded(tmp_path), _empty()), None, "schemas").refusals
    assert refusals
    assert all("create topic _schemas" in refusal.message for refusal in refusals)


def test_grants_alone_where_nothing_else_changes(city: City, tmp_path: Path) -> None:
    longer = loaded(tmp_path, CONTRACT.replace("2026-12-31", "2027-12-31"))
    plan = _select(_plan(longer, city.actual()), city.epoch, "grants")
    assert not plan.refusals
    assert [type(change) for change in plan.changes] == [PublishEpoch]


def test_a_refused_schema_stops_grants_but_not_access(city: City, tmp_path: Path) -> None:
    city.access |= {SPY}
    bad = loaded(tmp_path, fields=[*INCOME, {"name": "note", "type": "string"}])
    plan = _plan(bad, city.actual())
    assert [r.part for r in _select(plan, city.epoch, "grants").refusals] == ["schemas"]
    only = _select(plan, city.epoch, "acls")
    assert not only.refusals
    assert [type(change) for change in only.changes] == [RemoveAccess]


def test_access_that_the_epoch_in_force_still_needs_stays_until_the_next(city: City, tmp_path: Path) -> None:
    city.access |= {SPY}
    gone = loaded(tmp_path, CONTRACT[: CONTRACT.index("grants:")].replace("id: civil", "id: civic"))
    plan = _select(_plan(gone, city.actual()), city.epoch, "acls")
    assert [refusal.target for refusal in plan.refusals] == ["civil"]
    assert "publish the contract as epoch 2" in plan.refusals[0].message


def test_a_topic_that_the_epoch_in_force_still_needs_stays_until_the_next(city: City, tmp_path: Path) -> None:
    city.topics["inbox.civil.tax.old"] = Topic(1, 1)
    without = loaded(tmp_path, CONTRACT[: CONTRACT.index("grants:")])
    plan = _plan(without, city.actual(), "inbox.civil.tax.income", "inbox.civil.tax.old")
    [refusal] = _select(plan, city.epoch, "topics").refusals
    assert refusal.target == "inbox.civil.tax.income"


def test_more_replicas_than_brokers_are_refused_before_anything_is_created(tmp_path: Path) -> None:
    contract = loaded(tmp_path)
    [subject] = contract.contract.subjects
    needed = subject.topic.replication
    assert not _plan(contract, replace(_empty(), brokers=needed)).refusals
    [refusal] = _plan(contract, replace(_empty(), brokers=needed - 1)).refusals
    assert refusal.message == f"{needed} replicas need so many brokers, and the cluster has {needed - 1} now"
