"""`docs/monitoring.md`, the alerts and the dashboards speak of just the metrics that there are, and of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from ruamel.yaml import YAML

from exchange import metrics
from exchange.monitoring.dashboards import DASHBOARDS
from exchange.monitoring.export import contents

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text("utf-8")
DEFINED = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
# What Prometheus sees: a counter's samples end in _total.
NAMES = {metric._name + "_total" * (metric._type == "counter"): metric for metric in DEFINED}
ROW = re.compile(r"^\| `(exchange_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
RULES = YAML(typ="safe").load(contents()["rules/alerts.yml"])["groups"][0]["rules"]
EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in RULES] + [
    (f"{dashboard.title}: {panel.title}", expr)
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for expr in panel.queries.values()
]
SEVERITIES = {"critical", "warning", "info"}


def metrics_in(expr: str) -> set[str]:
    """The exchange's own metrics of an expression; the name of a histogram, not that of its samples."""
    names = re.findall(r"\bexchange_\w+", expr)
    return {name.removesuffix("_bucket") for name in names if not name.startswith("exchange_process_")}


def selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric with the labels that it is selected by."""
    for name, inside in re.findall(r"\b(exchange_\w+)\{(.*?)\}(?=[\s)\[]|$)", expr):
        yield name, set(re.findall(r'(\w+)=?[=!~]+"', inside))


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    rows = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(PAGE)}
    defined = {name: (metric._type, set(metric._labelnames)) for name, metric in NAMES.items()}
    assert rows == defined, "bring the table in docs/monitoring.md up to exchange/metrics.py"


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    """What nobody looks at need not be measured."""
    shown = {name for _, expr in EXPRESSIONS for name in metrics_in(expr)}
    missing = sorted(set(NAMES) - shown)
    assert not missing, "add a panel or an alert for each of these, in exchange/monitoring"


@pytest.mark.parametrize(("where", "expr"), EXPRESSIONS)
def test_expressions_use_metrics_and_labels_that_exist(where: str, expr: str) -> None:
    assert metrics_in(expr) <= set(NAMES), where
    for name, labels in selectors(expr):
        metric = NAMES.get(name.removesuffix("_bucket"))
        known = set(metric._labelnames) if metric else set()
        assert labels <= known | {"job", "instance"}, f"{where}: {name} has no such label"


@pytest.mark.parametrize(("where", "expr"), EXPRESSIONS)
def test_a_counter_that_is_born_with_its_first_value_is_seen(where: str, expr: str) -> None:
    """increase() and rate() of a counter see nothing of its first value; see the head of alerts.yml."""
    for series in re.findall(r"increase\(([^\[]*)\[\d+[mhd]\]", expr):
        assert f"{series} unless last_over_time({series}[5m] offset" in " ".join(expr.split()), where


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    name = str(rule["alert"])
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/monitoring.md#{name.lower()}"
    entry = re.search(rf"^### {name}\n\n(.+?)(?=\n#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert entry, f"docs/monitoring.md has no section {name}"
    for part in ("**Look at**", "**Do"):
        assert part in entry[1], f"its runbook has no {part}"


def test_every_runbook_has_its_alert() -> None:
    assert set(re.findall(r"^### (Exchange\w+)$", PAGE, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_no_label_could_hold_an_identifier() -> None:
    assert {label for metric in DEFINED for label in metric._labelnames} <= {
        "subject",
        "outcome",
        "reason",
        "reader",
        "department",
        "part",
        "grant",
        "code",
        "status",
        "type",  # of a case, and its item: as connector.yaml names them, not as a question does
        "item",
    }
