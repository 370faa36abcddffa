"""Every alert, by promtool: silent on a healthy exchange, firing on the fault that it is for, and only then."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from exchange.monitoring.export import contents
from tests.rigs.programs import program
from tests.rigs.prometheus import as_series, judge

RULES = Path(__file__).parents[2] / "exchange" / "monitoring" / "alerts.yml"
HEALTHY = Path(__file__).parent / "healthy"
ALERTS = {rule["alert"]: rule for rule in YAML(typ="safe").load(RULES.read_text())["groups"][0]["rules"]}
HOUR = (20, 60)  # what a counter had when Prometheus began counts as new for 15 minutes

_UP = 'up{job="exchange",instance="router-1"}'
_LAG = 'exchange_lag_seconds{job="exchange",instance="router-1",subject="tax.arrears"}'
_SOURCE = 'exchange_source_lag_seconds{job="exchange",instance="connector-tax",subject="tax.arrears"}'
_SINK = 'exchange_sink_lag_seconds{job="exchange",instance="connector-bank",department="bank",subject="tax.arrears"}'
_STUCK = 'exchange_sink_rows_stuck{job="exchange",instance="connector-bank",department="bank",subject="tax.arrears"}'
_ASKED = 'exchange_deletions_asked_rows{job="exchange",instance="connector-tax",subject="tax.arrears"}'
_SLOT = 'exchange_source_slot_bytes{job="exchange",instance="connector-tax",subject="tax.arrears"}'
_FAILING = 'exchange_failing{job="exchange",instance="connector-tax",part="source",subject="tax.arrears"}'
_ROWS = (
    'exchange_connector_rows_total{job="exchange",instance="connector-tax",department="tax",'
    'subject="tax.arrears",outcome="rejected"}'
)
_BAD = 'exchange_quarantined_records_total{job="exchange",instance="router-1",subject="tax.arrears",reason="schema-id"}'
_ASIDE = 'exchange_suspended_partitions{job="exchange",instance="router-1",subject="tax.arrears",code="gap"}'
_FAILURES = 'exchange_transaction_failures_total{job="exchange",instance="router-1",code="bus-unavailable"}'
_LEDGER = 'exchange_ledger_follower_lag_seconds{job="exchange",instance="ledger"}'
_EPOCH = 'exchange_epoch{job="exchange",instance="router-2"}'
_EXPIRY = 'exchange_grant_expiry_timestamp_seconds{job="node",instance="admin:9100",grant="one"}'
_OVERDUE = 'exchange_grant_requests_overdue{job="node",instance="admin:9100",status="reviewed"}'
_HOLIDAYS = 'exchange_grant_holidays_known_until_timestamp_seconds{job="node",instance="admin:9100"}'
_ARREARS = {"subject": "tax.arrears"}
_BANK = {"department": "bank", **_ARREARS}
_TAX = {"department": "tax", **_ARREARS}
_REASON = {"reason": "schema-id", **_ARREARS}
_CODE = {"instance": "router-1", "code": "bus-unavailable"}

# (alert, series, values from minute 0 on, labels that the alert has)
FAULTS = [
    ("ExchangeDaemonDown", _UP, "1x25 0x40", {"job": "exchange", "instance": "router-1"}),
    ("ExchangeDeletionsAsked", _ASKED, "0x25 500x40", _ARREARS),
    ("ExchangeFailing", _FAILING, "0x25 1x40", {"instance": "connector-tax", "part": "source", **_ARREARS}),
    ("ExchangeSuspended", _ASIDE, "_x25 2x40", {"code": "gap", **_ARREARS}),
    ("ExchangeDeliveryBehind", _LAG, "0x25 0+60x40", _ARREARS),
    ("ExchangeSourceBehind", _SOURCE, "0x25 4000x40", _ARREARS),
    ("ExchangeSlotGrows", _SLOT, "0x25 5000000000x40", _ARREARS),
    ("ExchangeSinkBehind", _SINK, "0x25 0+60x40", _BANK),
    ("ExchangeRowsStuck", _STUCK, "0x25 2x40", _BANK),
    ("ExchangeRowsRejected", _ROWS, "0x25 1x40", _TAX),
    ("ExchangeRowsRejected", _ROWS, "_x25 1x40", _TAX),
    ("ExchangeQuarantineGrows", _BAD, "0x25 1x40", _REASON),
    ("ExchangeQuarantineGrows", _BAD, "_x25 1x40", _REASON),  # born with its first value
    ("ExchangeQuarantineGrows", _BAD, "7x25 _x10 2x30", _REASON),  # the daemon began again
    ("ExchangeTransactionsFail", _FAILURES, "0x25 9x40", _CODE),
    ("ExchangeTransactionsFail", _FAILURES, "_x25 6x40", _CODE),
    ("ExchangeTransactionsFail", _FAILURES, "_x25 1+1x40", _CODE),
    ("ExchangeLedgerBehind", _LEDGER, "0x25 900x40", {}),
    ("ExchangeEpochsDiffer", _EPOCH, "6x70", {}),
    ("ExchangeGrantExpires", _EXPIRY, f"{13 * 86400}x70", {"grant": "one"}),
    ("ExchangeGrantRequestOverdue", _OVERDUE, "0x25 1x40", {"status": "reviewed"}),
    ("ExchangeHolidaysUnknown", _HOLIDAYS, f"{20 * 86400}x70", {}),
]
QUIET = {
    "rejected rows of long ago": (_ROWS, "7x70"),
    "records set aside long ago": (_BAD, "7x70"),
    "a scrape that failed": (_BAD, "7x25 stale 7x50"),
    "a few transactions given up": (_FAILURES, "0x25 4x40"),
    "a few transactions given up, the first of their kind": (_FAILURES, "_x25 4x40"),
    "a restart": (_UP, "1x25 0x0 1x40"),
    "a grant that has ended": (_EXPIRY, "-86400x70"),
    "a long first load": (_LAG, "0x25 200x40"),
    "rows that were stuck for a moment": (_STUCK, "0x25 2x3 0x40"),
    "a failure that passes": (_FAILING, "0x25 1x2 0x40"),
}


@pytest.fixture(scope="module")
def healthy() -> dict[str, str]:
    """What a healthy demo showed of what alerts ask for: each kind of daemon, and the file of `exchange grant notify`.

    Recorded from tests/broker/test_city_demo.py; without the buckets of histograms, which no alert uses.
    """
    pages = {file.stem: file.read_text() for file in HEALTHY.glob("*.prom")}
    assert pages.keys() == {"router-1", "router-2", "ledger", "connector-police", "grants"}
    found = {}
    for name, page in pages.items():
        found |= as_series(page, "node" if name == "grants" else "exchange", name)
    asked = set(re.findall(r"\w+", " ".join(alert["expr"] for alert in ALERTS.values())))
    return {name: f"{value:.6f}x70" for name, value in found.items() if name.partition("{")[0] in asked}


def test_nothing_fires_on_a_healthy_exchange(healthy: dict[str, str], tmp_path: Path) -> None:
    assert judge(RULES, healthy, [], tmp_path, HOUR) == ""


@pytest.mark.parametrize(("alert", "series", "values", "labels"), FAULTS)
def test_a_fault_fires_its_alert_and_no_other(
    healthy: dict[str, str], alert: str, series: str, values: str, labels: dict[str, str], tmp_path: Path
) -> None:
    due = {"alertname": alert, **ALERTS[alert]["labels"], **labels}
    assert judge(RULES, healthy | {series: values}, [due], tmp_path, HOUR) == ""
    texts = " ".join(ALERTS[alert]["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= set(labels), "a label that is not there is said as nothing"


@pytest.mark.parametrize("what", QUIET)
def test_what_passes_or_is_long_ago_fires_nothing(healthy: dict[str, str], what: str, tmp_path: Path) -> None:
    series, values = QUIET[what]
    assert judge(RULES, healthy | {series: values}, [], tmp_path, HOUR) == ""


@pytest.mark.parametrize(("env", "fires"), [("production", True), ("test", False)])
def test_two_exchanges_on_one_prometheus_are_told_apart(
    healthy: dict[str, str], env: str, fires: bool, tmp_path: Path
) -> None:
    """Rules for the one say nothing of the other: of its epoch, its daemons that are down, its quarantine."""
    rules = tmp_path / "alerts.yml"
    rules.write_text(contents('env="production"')["rules/alerts.yml"])
    ours = {series.replace("{", '{env="production",', 1): values for series, values in healthy.items()}
    faults = {_UP: "0x70", _BAD: "0x25 1x40", _EPOCH: "6x70"}
    theirs = {series.replace("{", f'{{env="{env}",', 1): values for series, values in faults.items()}
    due = [
        {"alertname": "ExchangeDaemonDown", "job": "exchange", "instance": "router-1", "env": env},
        {"alertname": "ExchangeEpochsDiffer"},
        {"alertname": "ExchangeQuarantineGrows", **_REASON},
    ]
    firing = [one | ALERTS[one["alertname"]]["labels"] for one in due] if fires else []
    assert judge(rules, ours | theirs, firing, tmp_path, HOUR) == ""


def test_each_alert_is_seen_firing() -> None:
    assert {alert for alert, *_ in FAULTS} == set(ALERTS), "inject a fault for each alert, in FAULTS"


def test_promtool_is_content_with_the_alerts() -> None:
    verdict = subprocess.run([program("promtool"), "check", "rules", RULES], capture_output=True, check=False)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
