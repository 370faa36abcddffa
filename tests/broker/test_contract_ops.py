"""What an administrator does with a contract and a secured Kafka: rules, rates, drift, saved plans, import."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from exchange import credentials
from exchange.bus import Cluster, acls, client_quotas, users
from exchange.bus.admin import Admin
from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.bus.topics import publish
from exchange.cli.contract import apply as apply_command
from exchange.cli.contract import plan as plan_command
from exchange.cli.drift import drift as drift_command
from exchange.cli.importing import import_ as import_command
from exchange.contract.load import Loaded
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.access import wanted_access
from exchange.plan.apply import apply, read_actual
from exchange.plan.changes import RemoveAccess
from exchange.plan.plan import Plan, make_plan
from exchange.schema import avro
from tests.rigs.brokers import clear
from tests.rigs.clients import environment
from tests.rigs.contracts import CONTRACT, loaded, write

LEDGER = avro.load(SCHEMA_FILE)
SPY = Rule("User:spy", "topic", "inbox.", "prefixed", "read")
RATES = "rates: {producer_byte_rate: 5000000, consumer_byte_rate: 9000000}\ndepartments:"


@pytest.fixture
def empty(fresh_cluster: Cluster) -> Cluster:
    """A secured cluster without topics, rules and rates."""
    clear(fresh_cluster)
    with Admin(fresh_cluster) as admin:
        admin.set_rates({user: dict.fromkeys(rates) for user, rates in admin.rates().items()})
    return fresh_cluster


def _plan(cluster: Cluster, contract: Loaded) -> Plan:
    return make_plan(contract, read_actual(cluster), LEDGER, datetime.now(UTC))


def test_rules_follow_the_contract(empty: Cluster, tmp_path: Path) -> None:
    contract = loaded(tmp_path)
    monitor = Rule("User:monitor", "group", "exchange.router", "literal", "describe", host="10.0.0.1")
    denied = Rule("User:tax", "transactional-id", "tax.", "prefixed", "write", "deny")
    # Of which kafka-python knows nothing.
    flink = Rule("User:flink", "transactional-id", "flink.", "prefixed", "two-phase-commit")
    with Admin(empty) as admin:
        admin.allow([monitor, SPY, denied, flink])
        apply(empty, _plan(empty, contract))
        assert admin.access() == wanted_access(contract.contract) | {monitor, denied, flink}
    assert _plan(empty, contract).is_empty


def test_rules_are_in_force_when_that_is_said(empty: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # A broker hears of its controller's decisions a little later.
    describe = acls.describe
    answers = iter([frozenset(), frozenset(), None, frozenset([SPY]), None])
    monkeypatch.setattr(acls, "describe", lambda client: describe(client) if (a := next(answers)) is None else a)
    with Admin(empty) as admin:
        admin.allow([SPY])
        admin.withdraw([SPY])
    assert list(answers) == []


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


def test_what_everybody_may_move_by_default_is_nobodys_rate(empty: Cluster, city: Path) -> None:
    with Admin(empty) as admin:
        client_quotas.alter(admin._client, {None: {"producer_byte_rate": 1 << 40}})  # type: ignore[dict-item]
        try:
            assert _run(apply_command, "--yes").exit_code == 0
            assert _run(drift_command).output == "No drift.\n"
        finally:
            client_quotas.alter(admin._client, {None: {"producer_byte_rate": None}})  # type: ignore[dict-item]


def test_a_department_is_slowed_down_at_its_rate(
    empty: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slow = CONTRACT.replace("en: Tax}", "en: Tax}\n    rates: {producer_byte_rate: 100000}")
    apply(empty, _plan(empty, loaded(tmp_path, slow)))
    path = tmp_path / "tax.yaml"
    users.issue(empty, {"tax": path})
    deadline = time.monotonic() + 20
    while "ProduceResponse throttled by broker" not in caplog.text:
        assert time.monotonic() < deadline
        publish(replace(empty, security=credentials.load(path)), "subject.tax.income", [(None, bytes(400_000))])


@pytest.fixture
def city(empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The contract's file, which the commands use with that cluster."""
    path = write(tmp_path, CONTRACT.replace("2026-12-31", "2099-12-31"))
    for name, value in {**environment(empty, tmp_path), "EXCHANGE_CONTRACT": str(path)}.items():
        monkeypatch.setenv(name, value)
    return path


def _run(command: click.Command, *options: str | Path) -> Result:
    return CliRunner().invoke(command, [str(option) for option in options])


def test_a_saved_plan_is_applied_as_long_as_nothing_changes(empty: Cluster, city: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    assert _run(plan_command, "--out", file).exit_code == 0
    assert "Epoch 1 is published." in _run(apply_command, file, "--yes").output

    city.write_text(city.read_text().replace("code: aid", "code: review"))
    assert _run(plan_command, "--out", file).exit_code == 0
    applied = city.read_text()
    city.write_text(applied.replace("code: review", "code: other"))
    assert "has changed: contract" in str(_run(apply_command, file, "--yes").exception)
    city.write_text(applied)
    with Admin(empty) as admin:
        admin.allow([SPY])
        assert "has changed: access rules" in str(_run(apply_command, file, "--yes").exception)
        admin.withdraw([SPY])
    assert "Epoch 2 is published." in _run(apply_command, file, "--yes").output
    assert "has changed: epoch" in str(_run(apply_command, file, "--yes").exception)
    assert "says itself" in str(_run(apply_command, file, "--only", "acls").exception)
    file.write_text("{}")
    assert "is not a saved plan" in str(_run(apply_command, file, "--yes").exception)


def test_a_part_of_a_plan(empty: Cluster, city: Path) -> None:
    refused = _run(apply_command, "--only", "grants", "--yes")
    assert refused.exit_code == 2
    assert "`--only topics --only acls --only schemas --only grants`" in refused.output
    for part in ("topics", "acls", "schemas", "grants"):
        assert _run(apply_command, "--only", part, "--yes").exit_code == 0, part
    assert _run(plan_command, "--detailed-exitcode").exit_code == 0
    with Admin(empty) as admin:
        admin.allow([SPY])
    city.write_text(city.read_text().replace("code: aid", "code: review"))
    applied = _run(apply_command, "--only", "acls", "--yes")
    assert (applied.exit_code, "left out: 1 change of grants" in applied.output) == (0, True)
    with Admin(empty) as admin:
        assert SPY not in (admin.access() or ())


def test_drift_is_seen(empty: Cluster, city: Path) -> None:
    assert _run(apply_command, "--yes").exit_code == 0
    assert (_run(drift_command).exit_code, _run(drift_command).output) == (0, "No drift.\n")
    backup = Rule("User:backup", "topic", "*", "literal", "read")
    with Admin(empty) as admin:
        admin.alter("subject.tax.income", {"retention.ms": "5"})
        admin.create({"inbox.civil.tax.old": Topic(1, 1)})
        admin.allow([SPY, backup])
        admin.withdraw([rule for rule in wanted_access(loaded(city.parent).contract) if rule.kind == "group"])
        admin.set_rates({"tax": {"producer_byte_rate": 5}})
    city.write_text(city.read_text().replace("[resident_id, amount]", "[resident_id]"))
    told = _run(drift_command, "--output", "json", "--accept", "User:backup")
    assert told.exit_code == 3
    facts = json.loads(told.stdout)
    assert {(f["kind"], f["target"]) for f in facts["findings"]} == {
        ("different", "subject.tax.income"),
        ("extra", "inbox.civil.tax.old"),
        ("extra", "spy"),
        ("missing", "civil"),
        ("missing", "tax"),
        ("missing", "exchange.ledger"),
        ("missing", "exchange.router"),
        ("different", "tax"),
        ("missing", "inbox.civil.tax.income-value"),
        ("different", "exchange.contract"),
    }
    assert "    loses 1 field of tax.income: amount [grant g1]" in facts["epoch"]
    assert "extra User:backup: may read topics *" in _run(drift_command).output
    assert _run(apply_command, "--yes", "--delete", "inbox.civil.tax.old").exit_code == 0
    assert _run(drift_command, "--accept", "User:backup").exit_code == 0


def test_a_cluster_becomes_a_contract(
    empty: Cluster, city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(apply_command, "--yes").exit_code == 0
    with Admin(empty) as admin:
        admin.create({"Land_Plots": Topic(2, 1), "orders": Topic(1, 1)})
    new = tmp_path / "new" / "topics.yaml"
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(new))
    patterns = ("--pattern", "subject.{department}.{subject}", "--pattern", "{department}_{subject}")
    facts = json.loads(_run(import_command, *patterns, "--output", "json").stdout)
    assert facts["subjects"] == ["land.plots", "tax.income"]
    assert facts["unmapped"] == {"orders": "matches no pattern"}
    assert {problem["path"] for problem in facts["problems"]} == {
        "departments[0].credit_code",
        "departments[1].credit_code",
        "subjects[0].schema",
    }
    assert "is there already" in str(_run(import_command).exception)
    assert _run(import_command, "--force").exit_code == 0
    text = new.read_text().replace("credit_code: FILL-IN", "credit_code: 11440100MBX03FA1XC")
    new.write_text(text)
    changes = json.loads(_run(plan_command, "--output", "json").stdout)
    assert changes["refusals"] == []
    assert not [c for c in changes["changes"] if c["kind"] in ("CreateTopic", "AlterConfigs", "RegisterSchema")]
