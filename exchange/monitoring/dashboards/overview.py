"""Whether records move, what fails, and how late deliveries are."""

from __future__ import annotations

from exchange.monitoring.dashboards.queries import (
    FIVE_MINUTES,
    JOB,
    RED,
    TEN_MINUTES,
    YELLOW,
    delivery_lag,
    failing,
    failures,
    happened,
    latency,
    quarantine,
    rate,
)
from exchange.monitoring.grafana import Dashboard, Panel

_DELIVERED = f'{JOB},outcome="delivered"'

_NOW = (
    Panel(
        "Daemons down",
        "Daemons that Prometheus does not reach.",
        "short",
        {"down": f"count(up{{{JOB}}}) - sum(up{{{JOB}}})"},
        "stat",
        ((1, RED),),
        "ExchangeDaemonDown",
    ),
    Panel(
        "Failing parts",
        "Routers, ledger followers, sources and sinks whose last attempt failed.",
        "short",
        {"failing": f"sum(exchange_failing{{{JOB}}})"},
        "stat",
        ((1, RED),),
        "ExchangeFailing",
    ),
    Panel(
        "Longest delivery lag",
        "Of the subject that has waited longest to be taken in completely by the routers.",
        "s",
        {"lag": f"max(exchange_lag_seconds{{{JOB}}})"},
        "stat",
        ((60, YELLOW), (FIVE_MINUTES, RED)),
        "ExchangeDeliveryBehind",
    ),
    Panel(
        "Set aside in the last hour",
        "Records of all subjects, counted by the routers' `quarantined`.",
        "short",
        {"records": happened("outcome", "exchange_records_total", f'{JOB},outcome="quarantined"', "1h")},
        "stat",
        ((1, YELLOW),),
        "ExchangeQuarantineGrows",
    ),
    Panel(
        "Ledger lag",
        "How far the SQL ledger, which audits ask, is behind the ledger on Kafka.",
        "s",
        {"lag": f"max(exchange_ledger_follower_lag_seconds{{{JOB}}})"},
        "stat",
        ((60, YELLOW), (TEN_MINUTES, RED)),
        "ExchangeLedgerBehind",
    ),
    Panel(
        "Requests overdue",
        "Requests for grants whose working days are over.",
        "short",
        {"requests": "sum(max by (status) (exchange_grant_requests_overdue))"},
        "stat",
        ((1, YELLOW),),
        "ExchangeGrantRequestOverdue",
    ),
)

_FLOW = (
    Panel(
        "Records",
        "What routers do with records. Read and quarantined count once, all else once per reader.",
        "rps",
        {"{{outcome}}": rate("outcome", "exchange_records_total", JOB)},
    ),
    Panel(
        "Bytes",
        "Bytes read by the routers, and bytes delivered to all readers.",
        "Bps",
        {"{{outcome}}": rate("outcome", "exchange_bytes_total", JOB)},
    ),
    Panel("Delivery latency", "From publication to the commit of the delivery.", "s", latency(JOB)),
    delivery_lag(JOB),
    Panel(
        "Readers: ten busiest",
        "Records delivered, by reading department.",
        "rps",
        {"{{reader}}": f"topk(10, {rate('reader', 'exchange_records_total', _DELIVERED)})"},
    ),
    quarantine(JOB),
)

_FAULTS = (
    failing(JOB),
    failures(JOB),
    Panel(
        "Contract epoch per router",
        "All lines are one, except for a moment after `exchange apply`.",
        "none",
        {"{{instance}}": f"exchange_epoch{{{JOB}}}"},
        alert="ExchangeEpochsDiffer",
    ),
)

OVERVIEW = Dashboard(
    "overview",
    "Exchange: overview",
    "Whether records move, what fails, and how late deliveries are.",
    (("Now", _NOW), ("Flow", _FLOW), ("What fails", _FAULTS)),
)
