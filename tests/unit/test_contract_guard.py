"""Access rules and byte rates as a part of the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange.bus.rule import Rule
from exchange.contract.load import Loaded
from exchange.document.problem import ContractError
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.access import principal, wanted_access
from exchange.plan.changes import AllowAccess, PublishEpoch, RemoveAccess, SetRates
from exchange.plan.guard import access_changes, rate_changes
from exchange.plan.plan import NO_AUTHORIZER, Actual, Plan, make_plan
from exchange.plan.rates import wanted_rates
from exchange.schema import avro
from exchange.schema.registry import Registry
from tests.rigs.contracts import CONTRACT, loaded

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPY = Rule("User:spy", "topic", "inbox.civil.", "prefixed", "read")


@pytest.fixture
def contract(tmp_path: Path) -> Loaded:
    return loaded(tmp_path)


def _plan(contract: Loaded, actual: Actual) -> Plan:
    return make_plan(contract, actual, avro.load(SCHEMA_FILE), NOW)


def _without_civil(contract: Loaded) -> Loaded:
    departments = tuple(d for d in contract.contract.departments if d.id != "civil")
    return replace(contract, contract=contract.contract.model_copy(update={"departments": departments, "grants": ()}))


def test_everyone_gets_what_is_missing(contract: Loaded) -> None:
    changes = list(access_changes(contract.contract, (), ()))
    assert [c.target for c in changes] == ["civil", "exchange.ledger", "exchange.router", "tax"]
    assert {rule for change in changes for rule in change.rules} == wanted_access(contract.contract)
    assert changes[-1].text == (
        "let tax write topics cursor.tax, subject.tax.…; "
        "read topics _schemas, cursor.tax, exchange.contract, exchange.quota, inbox.tax.…, quarantine.tax.…; "
        "use groups tax.…; use transactional ids tax.…"
    )


def test_nothing_is_to_do_twice(contract: Loaded) -> None:
    assert not list(access_changes(contract.contract, (), wanted_access(contract.contract)))


def test_a_department_that_goes_loses_everything_also_when_it_went_before(contract: Loaded) -> None:
    present = wanted_access(contract.contract)
    [removed] = access_changes(_without_civil(contract).contract, ("civil", "tax"), present)
    assert isinstance(removed, RemoveAccess)
    assert set(removed.rules) == {rule for rule in present if rule.principal == principal("civil")}


def test_what_is_not_ours_stays(contract: Loaded) -> None:
    other = Rule("User:shop", "topic", "orders", "literal", "read")
    denied = Rule("User:tax", "topic", "inbox.tax.", "prefixed", "read", "deny")
    present = wanted_access(contract.contract) | {other, denied, SPY}
    assert [c.rules for c in access_changes(contract.contract, (), present)] == [(SPY,)]


def test_access_comes_before_the_epoch_and_goes_after_it(contract: Loaded) -> None:
    plan = _plan(contract, Actual({}, Registry(), None, access=frozenset([SPY])))
    kinds = [type(c) for c in plan.changes if isinstance(c, AllowAccess | PublishEpoch | RemoveAccess)]
    assert kinds == [AllowAccess] * 4 + [PublishEpoch, RemoveAccess]
    assert plan.notices == []


def test_without_an_authorizer_it_is_said(contract: Loaded) -> None:
    plan = _plan(contract, Actual({}, Registry(), None))
    assert plan.notices == [NO_AUTHORIZER]
    assert not [c for c in plan.changes if isinstance(c, AllowAccess)]


RATES = "rates: {producer_byte_rate: 1000, consumer_byte_rate: 2000}\ndepartments:"


def test_rates_of_a_department_come_before_the_contracts(tmp_path: Path) -> None:
    text = CONTRACT.replace("departments:", RATES).replace("en: Tax}", "en: Tax}\n    rates: {producer_byte_rate: 5}")
    assert wanted_rates(loaded(tmp_path, text).contract) == {
        "tax": {"producer_byte_rate": 5, "consumer_byte_rate": 2000},
        "civil": {"producer_byte_rate": 1000, "consumer_byte_rate": 2000},
    }


def test_rates_are_set_changed_and_taken_away(contract: Loaded, tmp_path: Path) -> None:
    limited = loaded(tmp_path / "limited", CONTRACT.replace("departments:", RATES)).contract
    rates = {"civil": {"producer_byte_rate": 1000, "consumer_byte_rate": 1}, "gone": {"producer_byte_rate": 7}}
    changes = list(rate_changes(limited, ("gone",), rates))
    assert changes == [
        SetRates(
            "tax",
            {"producer_byte_rate": None, "consumer_byte_rate": None},
            {"producer_byte_rate": 1000, "consumer_byte_rate": 2000},
        ),
        SetRates("civil", {"consumer_byte_rate": 1}, {"consumer_byte_rate": 2000}),
        SetRates("gone", {"producer_byte_rate": 7}, {"producer_byte_rate": None}),
    ]
    assert changes[-1].text == "limit the clients of gone: producer_byte_rate 7 → unlimited"
    assert not list(rate_changes(limited, (), wanted_rates(limited)))
    assert not list(rate_changes(contract.contract, (), {"shop": {"producer_byte_rate": 7}}))


@pytest.mark.parametrize(
    ("rates", "path"),
    [("{producer_byte_rate: 0}", "rates.producer_byte_rate"), ("fast", "rates"), ("{producer_bit_rate: 1}", "rates.")],
)
def test_wrong_rates_are_told_with_their_place(tmp_path: Path, rates: str, path: str) -> None:
    with pytest.raises(ContractError) as caught:
        loaded(tmp_path, CONTRACT.replace("departments:", f"rates: {rates}\ndepartments:"))
    [problem] = caught.value.problems
    assert problem.path.startswith(path)
    assert problem.line == 2
