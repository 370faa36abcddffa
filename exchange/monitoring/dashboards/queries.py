"""PromQL that several dashboards share. A selector is the text between the braces after a metric."""

from __future__ import annotations

from exchange.monitoring.grafana import Panel

JOB = 'job=~"$job"'
FIVE_MINUTES, TEN_MINUTES, HOUR = 300, 600, 3600
GIB = 2**30
YELLOW, RED = "yellow", "red"


def rate(by: str, metric: str, selector: str) -> str:
    """A counter's growth per second, summed by labels."""
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def happened(by: str, metric: str, selector: str, window: str) -> str:
    """A counter's growth in the window; one born in it counts whole, because increase() misses its first value."""
    series = f"{metric}{{{selector}}}"
    born = f"{series} unless last_over_time({series}[5m] offset {window})"
    return f"sum by ({by}) (({born}) or increase({series}[{window}]))"


def latency(selector: str) -> dict[str, str]:
    """Median and 99th percentile, from publication to the commit of the delivery."""
    buckets = rate("le", "exchange_delivery_latency_seconds_bucket", selector)
    return {"p50": f"histogram_quantile(0.5, {buckets})", "p99": f"histogram_quantile(0.99, {buckets})"}


def delivery_lag(selector: str) -> Panel:
    """The subjects with which the routers are furthest behind."""
    return Panel(
        "Delivery lag: ten longest",
        "Time since the routers had last taken in all of a subject.",
        "s",
        {"{{subject}}": f"topk(10, max by (subject) (exchange_lag_seconds{{{selector}}}))"},
        limits=((FIVE_MINUTES, RED),),
        alert="ExchangeDeliveryBehind",
    )


def quarantine(selector: str) -> Panel:
    """What the routers put into quarantine, and why."""
    by_reason = happened("subject, reason", "exchange_quarantined_records_total", selector, "1h")
    all_of_them = happened("outcome", "exchange_records_total", f'{selector},outcome="quarantined"', "1h")
    return Panel(
        "Quarantine by reason",
        "Records that the routers set aside in the last hour. No reader got them.",
        "short",
        {"all": all_of_them, "{{subject}}: {{reason}}": by_reason},
        limits=((1, YELLOW),),
        alert="ExchangeQuarantineGrows",
    )


def failing(selector: str) -> Panel:
    """What fails now."""
    return Panel(
        "Failing parts",
        "1 while that router, ledger follower, source, sink or answerer fails; the daemon's /healthz and log say why.",
        "short",
        {
            "{{instance}} {{part}} {{subject}}": (
                f"topk(10, max by (instance, part, subject) (exchange_failing{{{selector}}}))"
            )
        },
        limits=((1, RED),),
        alert="ExchangeFailing",
    )


def failures(selector: str) -> Panel:
    """Transactions that were given up."""
    grown = happened("instance, code", "exchange_transaction_failures_total", selector, "10m")
    return Panel(
        "Transactions given up: ten most",
        "In the last 10 minutes, by daemon and error code. Each is done again; nothing is lost.",
        "short",
        {"{{instance}} {{code}}": f"topk(10, {grown})"},
        limits=((5, YELLOW),),
        alert="ExchangeTransactionsFail",
    )


def processes(which: str) -> tuple[Panel, ...]:
    """What daemons use of their machines; `which` is a metric with a selector that only these daemons have."""
    only = f"and on (job, instance) {which}"
    cpu = f"rate(exchange_process_cpu_seconds_total{{{JOB}}}[$__rate_interval])"
    files = f"exchange_process_open_fds{{{JOB}}} / exchange_process_max_fds{{{JOB}}}"
    return (
        Panel("Processor time", "Cores that each daemon uses.", "none", {"{{instance}}": f"{cpu} {only}"}),
        Panel(
            "Memory",
            "Memory that each daemon holds.",
            "bytes",
            {"{{instance}}": f"exchange_process_resident_memory_bytes{{{JOB}}} {only}"},
        ),
        Panel(
            "Open files",
            "Share of the files and connections that the daemon may have open.",
            "percentunit",
            {"{{instance}}": f"({files}) {only}"},
            limits=((0.8, RED),),
        ),
    )
