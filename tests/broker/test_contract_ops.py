"""What an administrator does with a contract and a secured Kafka: rules, rates, drift, saved plans, import."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.cluster import apply, read_actual
from exchange.contract.access import Rule, wanted_access
from exchange.contract.changes import RemoveAccess
from exchange.contract.load import Loaded
from exchange.contract.plan import Plan, make_plan
from exchange.ledger.entry import SCHEMA_FILE
from exchange.schema import avro
from tests.kafka_fixtures import _jars, free_port
from tests.unit.contract_files import CONTRACT, loaded

LEDGER = avro.load(SCHEMA_FILE)
RATES = "rates: {producer_byte_rate: 5000000, consumer_byte_rate: 9000000}\ndepartments:"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that asks who one is."""
    broker = LocalBroker(tmp_path_factory.mktemp("kafka"), free_port(), jars=_jars(), secure=True)
    broker.start()
    try:
        yield broker.cluster("exchange.tests")
    finally:
        broker.stop()


@pytest.fixture
def empty(secured: Cluster) -> Cluster:
    """Without topics, rules and rates."""
    with Admin(secured) as admin:
        admin.delete(admin.topics())
        admin.withdraw(admin.access() or ())
        admin.set_rates({user: dict.fromkeys(rates) for user, rates in admin.rates().items()})
    return secured


def _plan(cluster: Cluster, contract: Loaded) -> Plan:
    return make_plan(contract, read_actual(cluster), LEDGER, datetime.now(UTC))


def test_rules_follow_the_contract(empty: Cluster, tmp_path: Path) -> None:
    contract = loaded(tmp_path)
    monitor = Rule("User:monitor", "group", "exchange.router", "literal", "describe", host="10.0.0.1")
    spy = Rule("User:spy", "topic", "inbox.", "prefixed", "read")
    denied = Rule("User:tax", "transactional-id", "tax.", "prefixed", "write", "deny")
    with Admin(empty) as admin:
        admin.allow([monitor, spy, denied])
        apply(empty, _plan(empty, contract))
        assert admin.access() == wanted_access(contract.contract) | {monitor, denied}
    assert _plan(empty, contract).is_empty


def test_a_department_that_goes_loses_its_rules(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    text = CONTRACT[: CONTRACT.index("grants:")].replace("  - id: civil", "  - id: civic")
    without = loaded(tmp_path, text)
    plan = _plan(empty, without)
    assert [c.target for c in plan.changes if isinstance(c, RemoveAccess)] == ["civil"]
    apply(empty, plan)
    with Admin(empty) as admin:
        assert admin.access() == wanted_access(without.contract)


def test_rates_follow_the_contract(empty: Cluster, tmp_path: Path) -> None:
    rates = {"producer_byte_rate": 5_000_000, "consumer_byte_rate": 9_000_000}
    with Admin(empty) as admin:
        admin.set_rates({"shop": {"consumer_byte_rate": 7}})
        apply(empty, _plan(empty, loaded(tmp_path, CONTRACT.replace("departments:", RATES))))
        assert admin.rates() == {"civil": rates, "tax": rates, "shop": {"consumer_byte_rate": 7}}
        apply(empty, _plan(empty, loaded(tmp_path)))
        assert admin.rates() == {"shop": {"consumer_byte_rate": 7}}
    assert _plan(empty, loaded(tmp_path)).is_empty
