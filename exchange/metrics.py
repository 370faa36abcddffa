"""Every metric of the exchange, and their exposition: the only module that uses prometheus-client.

Labels are names from the contract, never anything from a record. `docs/monitoring.md` explains each metric. Each daemon
defines all of them and exports those that it has set: what it does not know does not appear as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    write_to_textfile,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from exchange.errors import ConfigError

disable_created_metrics()
REGISTRY = CollectorRegistry()
ProcessCollector(namespace="exchange", registry=REGISTRY)


class OwnGauge(Gauge):
    """A gauge without labels that is exported only by a daemon that sets it; a library's gauge would be 0 elsewhere."""

    _is_set = False

    def set(self, value: float) -> None:
        super().set(value)
        self._is_set = True

    def collect(self) -> Iterable[Metric]:
        return super().collect() if self._is_set else ()


RECORDS = Counter(
    "exchange_records",
    "Records by what the router did with them: read, delivered, withheld, withdrawn or quarantined.",
    ["subject", "outcome", "reader"],
    registry=REGISTRY,
)
BYTES = Counter(
    "exchange_bytes",
    "Bytes by what the router did with them: read or delivered.",
    ["subject", "outcome", "reader"],
    registry=REGISTRY,
)
QUARANTINED = Counter(
    "exchange_quarantined_records",
    "Records that the router set aside, by reason.",
    ["subject", "reason"],
    registry=REGISTRY,
)
DELIVERY_LATENCY = Histogram(
    "exchange_delivery_latency_seconds",
    "From a record's publication to the commit of its delivery.",
    ["subject"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
LAG_RECORDS = Gauge(
    "exchange_lag_records",
    "Records of the subject on Kafka that this router has not yet decided and committed.",
    ["subject"],
    registry=REGISTRY,
)
LAG_SECONDS = Gauge(
    "exchange_lag_seconds",
    "Time since the router had last taken in all of the subject; 0 while it is at the end.",
    ["subject"],
    registry=REGISTRY,
)
SOURCE_LAG = Gauge(
    "exchange_source_lag_seconds",
    "Age of the oldest change in the department's database that is not yet published; 0 if there is none. "
    "While the database does not answer: time since it was last read to its end.",
    ["subject"],
    registry=REGISTRY,
)
SOURCE_SLOT_BYTES = Gauge(
    "exchange_source_slot_bytes",
    "Bytes of its log that a department's PostgreSQL keeps for this source, which takes its changes from there.",
    ["subject"],
    registry=REGISTRY,
)
SINK_LAG_RECORDS = Gauge(
    "exchange_sink_lag_records",
    "Records on the department's inbox that its connector has not taken in yet.",
    ["department", "subject"],
    registry=REGISTRY,
)
SINK_LAG_SECONDS = Gauge(
    "exchange_sink_lag_seconds",
    "Time since the connector had last taken in all of the inbox; 0 while it is at the end.",
    ["department", "subject"],
    registry=REGISTRY,
)
SINK_ROWS_STUCK = Gauge(
    "exchange_sink_rows_stuck",
    "Rows that have to go from the department's table and that its database refuses to remove.",
    ["department", "subject"],
    registry=REGISTRY,
)
CONNECTOR_ROWS = Counter(
    "exchange_connector_rows",
    "Rows by what the department's connector did with them: read, published, applied, withdrawn or rejected.",
    ["department", "subject", "outcome"],
    registry=REGISTRY,
)
CASE_QUESTIONS = Counter(
    "exchange_case_questions",
    "Questions of other departments' cases by what became of them: answered, queued for a person, failed.",
    ["department", "type", "item", "outcome"],
    registry=REGISTRY,
)
DELETIONS_ASKED = Gauge(
    "exchange_deletions_asked_rows",
    "Rows that a source misses and does not delete until a person accepts it; 0 if it asks nothing.",
    ["subject"],
    registry=REGISTRY,
)
FAILING = Gauge(
    "exchange_failing",
    "1 while this part of the daemon fails, as /healthz says; else 0.",
    ["part", "subject"],
    registry=REGISTRY,
)
GRANT_EXPIRY = Gauge(
    "exchange_grant_expiry_timestamp_seconds",
    "When the grant ends, as Unix time.",
    ["grant"],
    registry=REGISTRY,
)
GRANT_REQUESTS = Gauge(
    "exchange_grant_requests",
    "Requests for grants that are not decided, by where they stand.",
    ["status"],
    registry=REGISTRY,
)
GRANT_REQUESTS_OVERDUE = Gauge(
    "exchange_grant_requests_overdue",
    "Those of them whose working days are over.",
    ["status"],
    registry=REGISTRY,
)
GRANT_HOLIDAYS_KNOWN = OwnGauge(
    "exchange_grant_holidays_known_until_timestamp_seconds",
    "The last day whose public holidays are known, as Unix time; after it only weekends count as days off.",
    registry=REGISTRY,
)
QUOTA_REMAINING = Gauge(
    "exchange_quota_remaining_records",
    "Records that the grant's quota leaves for today, as this router last saw it.",
    ["grant"],
    registry=REGISTRY,
)
QUOTA_WITHHELD = Counter(
    "exchange_quota_withheld_records",
    "Records withheld because the grant's quota was used up.",
    ["grant"],
    registry=REGISTRY,
)
EPOCH = OwnGauge("exchange_epoch", "Number of the contract epoch in force here.", registry=REGISTRY)
TRANSACTION_FAILURES = Counter(
    "exchange_transaction_failures",
    "Transactions given up and replayed, by error code.",
    ["code"],
    registry=REGISTRY,
)
HELD_ROWS = Gauge(
    "exchange_router_held_rows",
    "Rows of the subject that some reader holds, in the partitions that this router works on.",
    ["subject"],
    registry=REGISTRY,
)
HELD_BYTES = Gauge(
    "exchange_router_held_bytes", "Memory that this router uses to know who has them.", ["subject"], registry=REGISTRY
)
SUSPENDED = Gauge(
    "exchange_suspended_partitions",
    "Source partitions that this router leaves aside for now, by cause; the others flow.",
    ["subject", "code"],
    registry=REGISTRY,
)
LEDGER_ENTRIES = Counter(
    "exchange_ledger_entries",
    "Ledger entries that the follower brought into SQL, by status.",
    ["status"],
    registry=REGISTRY,
)
LEDGER_FOLLOWER_LAG = OwnGauge(
    "exchange_ledger_follower_lag_records",
    "Ledger records that the follower has not yet brought into SQL.",
    registry=REGISTRY,
)
LEDGER_FOLLOWER_LAG_SECONDS = OwnGauge(
    "exchange_ledger_follower_lag_seconds",
    "Age of the oldest ledger record that the follower has not yet brought into SQL; 0 if there is none.",
    registry=REGISTRY,
)


class MetricsFileError(ConfigError):
    """The metrics cannot be written to that file."""

    code = "metrics-file"
    remedy = "see who may write there"


class Part(NamedTuple):
    """What can fail by itself: a router, ledger follower, source or sink, with its subject if it has one."""

    kind: str
    subject: str = ""


@dataclass(frozen=True)
class Health:
    """Whether the daemon does its work, and the facts behind that; never anything from a record.

    `failing` says for each part whether it fails, for the metric `exchange_failing`.
    """

    ok: bool
    facts: Mapping[str, str | int | float | bool | list[str] | None] = field(default_factory=dict)
    failing: Mapping[Part, bool] = field(default_factory=dict)


def exposition(health: Health, accept: str) -> tuple[str, bytes]:
    """All metrics in the format that an Accept header asks for: its content type, and the text."""
    for part, fails in health.failing.items():
        FAILING.labels(*part).set(fails)
    encode, content_type = choose_encoder(accept)
    return content_type, encode(REGISTRY)


def sums(text: str) -> dict[str, float]:
    r"""The samples of Prometheus text, summed by name, and also by `name:outcome` if they have that label.

    >>> sums('# HELP a\n# TYPE a gauge\na{outcome="x"} 2\na{outcome="y"} 3\n')
    {'a': 5.0, 'a:x': 2.0, 'a:y': 3.0}
    """
    totals: dict[str, float] = {}
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        outcome = sample.labels.get("outcome")
        for key in (sample.name, f"{sample.name}:{outcome}") if outcome else (sample.name,):
            totals[key] = totals.get(key, 0.0) + sample.value
    return totals


def write_file(path: Path, *gauges: Gauge) -> None:
    """Write these metrics for a textfile collector, atomically; raises MetricsFileError if that fails."""
    chosen = CollectorRegistry()
    for gauge in gauges:
        chosen.register(gauge)
    try:
        write_to_textfile(str(path), chosen)
    except OSError as error:
        raise MetricsFileError(f"{path} cannot be written: {error.strerror}") from error
