"""The routers at work: throughput, latency, lag, and what goes wrong."""

from __future__ import annotations

from exchange.monitoring.dashboards.queries import (
    JOB,
    RED,
    delivery_lag,
    failing,
    failures,
    latency,
    processes,
    quarantine,
    rate,
)
from exchange.monitoring.grafana import Dashboard, Panel, Variable

_WHICH = f'{JOB},instance=~"$instance"'
_READ = f'{_WHICH},outcome="read"'

_WORK = (
    Panel(
        "Records",
        "What each router does with records. Delivered, withheld and withdrawn count once per reader.",
        "rps",
        {"{{instance}} {{outcome}}": rate("instance, outcome", "exchange_records_total", _WHICH)},
    ),
    Panel(
        "Bytes",
        "Bytes that each router reads and delivers.",
        "Bps",
        {"{{instance}} {{outcome}}": rate("instance, outcome", "exchange_bytes_total", _WHICH)},
    ),
    Panel(
        "Subjects: ten busiest",
        "Records read, by subject.",
        "rps",
        {"{{subject}}": f"topk(10, {rate('subject', 'exchange_records_total', _READ)})"},
    ),
)

_DELAY = (
    Panel("Delivery latency", "From publication to the commit of the delivery.", "s", latency(_WHICH)),
    Panel(
        "Delivery latency, all of it",
        "How many deliveries took how long; observed for the last record of each source batch.",
        "s",
        {"{{le}}": f"sum by (le) (increase(exchange_delivery_latency_seconds_bucket{{{_WHICH}}}[$__rate_interval]))"},
        "heatmap",
    ),
    delivery_lag(_WHICH),
    Panel(
        "Records behind: ten most",
        "Records on Kafka that the routers have still to take in. Transaction markers count too.",
        "short",
        {"{{subject}}": f"topk(10, sum by (subject) (exchange_lag_records{{{_WHICH}}}))"},
    ),
    Panel(
        "Rows held: ten most",
        "Rows that some reader has of subjects with a key: the routers take them back when they change or go.",
        "short",
        {"{{subject}}": f"topk(10, sum by (subject) (exchange_router_held_rows{{{_WHICH}}}))"},
    ),
    Panel(
        "Memory for rows held",
        "What the routers take to know who holds which row: 24 to 36 bytes a row.",
        "bytes",
        {"{{instance}}": f"sum by (instance) (exchange_router_held_bytes{{{_WHICH}}})"},
    ),
)

_FAULTS = (
    failing(f'{_WHICH},part="router"'),
    Panel(
        "Partitions left aside",
        "Source partitions that a router does not deliver for now, by cause; they keep their place, all others flow.",
        "short",
        {"{{subject}}: {{code}}": f"sum by (subject, code) (exchange_suspended_partitions{{{_WHICH}}}) or vector(0)"},
        limits=((1, RED),),
        alert="ExchangeSuspended",
    ),
    failures(_WHICH),
    quarantine(_WHICH),
    Panel(
        "Contract epoch",
        "The number of the contract that each router follows.",
        "none",
        {"{{instance}}": f"exchange_epoch{{{_WHICH}}}"},
        alert="ExchangeEpochsDiffer",
    ),
)

ROUTER = Dashboard(
    "router",
    "Exchange: router",
    "The routers at work: throughput, latency, lag, and what goes wrong.",
    (
        ("Work", _WORK),
        ("Delay", _DELAY),
        ("Faults", _FAULTS),
        ("Processes", processes(f"exchange_epoch{{{_WHICH}}}")),
    ),
    (Variable("instance", "Router", f"label_values(exchange_epoch{{{JOB}}}, instance)", is_multi=True),),
)
