"""The access rules of a contract, judged as Kafka's authorizer judges them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from exchange import names
from exchange.bus.rule import Rule, in_words
from exchange.contract.model import Contract
from exchange.plan.access import owned, principal, principals, reaches, wanted_access
from tests.rigs.contracts import CONTRACT, loaded

TAXATION = """\
  - id: taxation
    title: {zh: 税务学校, en: School of taxation}
    credit_code: 11440100MBX04FA1X4
subjects:
"""


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    return loaded(tmp_path, CONTRACT.replace("subjects:\n", TAXATION)).contract


def allowed(rules: Iterable[Rule], who: str, operation: str, kind: str, name: str) -> bool:
    """As Kafka decides: deny by default, `read` and `write` include `describe`."""
    return any(
        r.principal == principal(who)
        and r.kind == kind
        and (name.startswith(r.name) if r.pattern == "prefixed" else name == r.name)
        and (r.operation == operation or (operation == "describe" and r.operation in ("read", "write")))
        for r in rules
    )


@pytest.mark.parametrize(
    ("who", "operation", "kind", "name", "may"),
    [
        ("tax", "write", "topic", "subject.tax.income", True),
        ("tax", "describe", "topic", "subject.tax.income", True),
        ("tax", "read", "topic", "subject.tax.income", False),
        ("tax", "write", "topic", "subject.taxation.course", False),
        ("tax", "write", "topic", "subject.civil.aid", False),
        ("tax", "read", "topic", "inbox.tax.civil.aid", True),
        ("tax", "write", "topic", "inbox.tax.civil.aid", False),
        ("tax", "read", "topic", "inbox.taxation.civil.aid", False),
        ("tax", "read", "topic", "inbox.civil.tax.income", False),
        ("tax", "read", "topic", "quarantine.tax.income", True),
        ("tax", "write", "topic", "quarantine.tax.income", False),
        ("tax", "read", "topic", "quarantine.taxation.course", False),
        ("tax", "read", "topic", "cursor.tax", True),
        ("tax", "write", "topic", "cursor.tax", True),
        ("tax", "read", "topic", "cursor.taxation", False),
        ("tax", "read", "topic", "exchange.contract", True),
        ("tax", "write", "topic", "exchange.contract", False),
        ("tax", "read", "topic", "_schemas", True),
        ("tax", "write", "topic", "_schemas", False),
        ("tax", "describe", "topic", "exchange.ledger", False),
        ("tax", "read", "topic", "exchange.quota", True),
        ("tax", "write", "topic", "exchange.quota", False),
        ("tax", "read", "group", "tax.sink", True),
        ("tax", "read", "group", "taxation.sink", False),
        ("tax", "read", "group", "exchange.router", False),
        ("tax", "write", "transactional-id", "tax.source.tax.income", True),
        ("tax", "write", "transactional-id", "taxation.source.x", False),
        ("tax", "describe", "transactional-id", "exchange.router.1", False),
        ("taxation", "read", "topic", "inbox.tax.civil.aid", False),
        (names.LEDGER_PRINCIPAL, "read", "topic", "cursor.tax", True),
        (names.LEDGER_PRINCIPAL, "write", "topic", "cursor.tax", False),
        (names.ROUTER_PRINCIPAL, "read", "topic", "cursor.tax", False),
        (names.ROUTER_PRINCIPAL, "read", "topic", "subject.tax.income", True),
        (names.ROUTER_PRINCIPAL, "write", "topic", "subject.tax.income", False),
        (names.ROUTER_PRINCIPAL, "write", "topic", "inbox.civil.tax.income", True),
        (names.ROUTER_PRINCIPAL, "read", "topic", "inbox.civil.tax.income", False),
        (names.ROUTER_PRINCIPAL, "write", "topic", "quarantine.tax.income", True),
        (names.ROUTER_PRINCIPAL, "write", "topic", "exchange.ledger", True),
        (names.ROUTER_PRINCIPAL, "read", "topic", "exchange.ledger", True),
        (names.ROUTER_PRINCIPAL, "write", "topic", "exchange.contract", False),
        (names.ROUTER_PRINCIPAL, "write", "topic", "exchange.quota", True),
        (names.ROUTER_PRINCIPAL, "read", "group", "exchange.router", True),
        (names.ROUTER_PRINCIPAL, "read", "group", "exchange.router.replay.7", True),
        (names.ROUTER_PRINCIPAL, "read", "group", "exchange.routers", False),
        (names.ROUTER_PRINCIPAL, "write", "transactional-id", "exchange.router.1", True),
        (names.ROUTER_PRINCIPAL, "write", "transactional-id", "exchange.routers.1", False),
        (names.ROUTER_PRINCIPAL, "write", "transactional-id", "tax.source.tax.income", False),
        (names.LEDGER_PRINCIPAL, "read", "topic", "exchange.ledger", True),
        (names.LEDGER_PRINCIPAL, "read", "topic", "subject.tax.income", True),
        (names.LEDGER_PRINCIPAL, "read", "topic", "inbox.civil.tax.income", True),
        ("nobody", "describe", "topic", "subject.tax.income", False),
    ],
)
def test_who_may_do_what(contract: Contract, who: str, operation: str, kind: str, name: str, may: bool) -> None:
    assert allowed(wanted_access(contract), who, operation, kind, name) is may


def test_the_ledgers_reader_writes_nothing(contract: Contract) -> None:
    assert {r.operation for r in wanted_access(contract) if r.principal == principal(names.LEDGER_PRINCIPAL)} == {
        "read",
        "describe",
    }


def test_every_wanted_rule_is_owned(contract: Contract) -> None:
    ours = principals(d.id for d in contract.departments)
    assert all(owned(rule, ours) for rule in wanted_access(contract))


@pytest.mark.parametrize(
    ("rule", "is_owned", "touches"),
    [
        (Rule("User:spy", "topic", "inbox.civil.", "prefixed", "read"), True, True),
        (Rule("User:spy", "topic", "subject.tax.income", "literal", "all"), True, True),
        (Rule("User:spy", "transactional-id", "exchange.router.1", "literal", "write"), True, True),
        (Rule("User:*", "topic", "exchange.ledger", "literal", "write"), True, True),
        (Rule("User:tax", "topic", "*", "literal", "read"), True, True),
        (Rule("User:tax", "topic", "in", "prefixed", "read"), True, True),
        (Rule("User:tax", "group", "*", "literal", "read"), True, True),
        (Rule("User:tax", "cluster", "kafka-cluster", "literal", "alter"), True, False),
        (Rule("User:tax", "topic", "inbox.tax.", "prefixed", "read", host="10.0.0.1"), True, True),
        (Rule("User:tax", "topic", "inbox.tax.", "prefixed", "read", "deny"), False, True),
        (Rule("User:tax", "topic", "payroll", "literal", "read"), False, False),
        (Rule("User:monitor", "group", "exchange.router", "literal", "describe"), False, True),
        (Rule("User:registry", "topic", "_schemas", "literal", "write"), False, True),
        (Rule("User:backup", "topic", "*", "literal", "read"), False, True),
        (Rule("User:backup", "cluster", "kafka-cluster", "literal", "describe"), False, False),
        (Rule("User:shop", "topic", "orders", "literal", "read"), False, False),
        (Rule(principal(names.ADMIN_PRINCIPAL), "topic", "subject.", "prefixed", "all"), False, True),
    ],
    ids=lambda value: f"{value.principal} {in_words([value])}" if isinstance(value, Rule) else "",
)
def test_whose_a_rule_is(contract: Contract, rule: Rule, is_owned: bool, touches: bool) -> None:
    ours = principals(d.id for d in contract.departments)
    assert (owned(rule, ours), reaches(rule, ours)) == (is_owned, touches)
