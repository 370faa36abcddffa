"""`docs/monitoring.md` and `docs/alerts.yml` speak of just the metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from exchange import metrics

DOCS = Path(__file__).parents[2] / "docs"
DEFINED = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
# What Prometheus sees: a counter's samples end in _total.
NAMES = {metric._name + "_total" * (metric._type == "counter"): metric for metric in DEFINED}
ROW = re.compile(r"^\| `(exchange_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    rows = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(_page())}
    assert rows == {name: (metric._type, set(metric._labelnames)) for name, metric in NAMES.items()}


def test_alerts_use_metrics_that_exist_and_are_listed() -> None:
    alerts = (DOCS / "alerts.yml").read_text("utf-8")
    assert set(re.findall(r"\bexchange_\w+", alerts)) <= set(NAMES)
    listed = set(re.findall(r"^\| `(Exchange\w+)` \|", _page(), re.MULTILINE))
    assert set(re.findall(r"alert: (\w+)", alerts)) == listed


def test_no_label_could_hold_an_identifier() -> None:
    assert {label for metric in DEFINED for label in metric._labelnames} <= {
        "subject",
        "outcome",
        "reason",
        "grant",
        "code",
        "status",
    }


def _page() -> str:
    return (DOCS / "monitoring.md").read_text("utf-8")
