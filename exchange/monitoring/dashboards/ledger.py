"""The ledger in SQL, and the life of grants: which end, whose quota is used up, which requests wait."""

from __future__ import annotations

from exchange.monitoring.dashboards.queries import JOB, RED, TEN_MINUTES, YELLOW, failing, happened, processes, rate
from exchange.monitoring.grafana import Dashboard, Panel

_DAY = 86_400

_LEDGER = (
    Panel(
        "Follower lag",
        "Age of the oldest ledger record that is not yet in SQL.",
        "s",
        {"{{instance}}": f"exchange_ledger_follower_lag_seconds{{{JOB}}}"},
        limits=((TEN_MINUTES, RED),),
        alert="ExchangeLedgerBehind",
    ),
    Panel(
        "Records that are not yet in SQL",
        "Ledger records on Kafka that the follower has still to take in.",
        "short",
        {"{{instance}}": f"exchange_ledger_follower_lag_records{{{JOB}}}"},
    ),
    Panel(
        "Entries taken in",
        "Ledger entries by the fate of their transaction. An aborted one delivered nothing.",
        "ops",
        {"{{status}}": rate("status", "exchange_ledger_entries_total", JOB)},
    ),
    failing(f'{JOB},part="ledger"'),
)

# These come from the routers and from `exchange grant notify`, which Prometheus reads in another job.
_GRANTS = (
    Panel(
        "Grants that end next",
        "Time until the 20 that end first end. From then on the reader gets nothing more.",
        "s",
        {"{{grant}}": "bottomk(20, min by (grant) (exchange_grant_expiry_timestamp_seconds) - time() > 0)"},
        "table",
        ((0, RED), (14 * _DAY, YELLOW), (30 * _DAY, "green")),
        "ExchangeGrantExpires",
    ),
    Panel(
        "Quota that remains today",
        "Records that a grant's quota leaves, as the routers last saw it: the 20 smallest.",
        "short",
        {"{{grant}}": f"bottomk(20, min by (grant) (exchange_quota_remaining_records{{{JOB}}}))"},
        limits=((0, RED), (1, "green")),
    ),
    Panel(
        "Withheld by quota in the last day",
        "Records that readers did not get because the day's quota was used up; `exchange grant replay` delivers them.",
        "short",
        {"{{grant}}": f"topk(20, {happened('grant', 'exchange_quota_withheld_records_total', JOB, '1d')})"},
        limits=((1, YELLOW),),
    ),
)

_REQUESTS = (
    Panel(
        "Requests that wait",
        "Requests for grants that are not decided, by where they stand.",
        "short",
        {"{{status}}": "max by (status) (exchange_grant_requests)"},
    ),
    Panel(
        "Requests overdue",
        "Those of them whose working days are over.",
        "short",
        {"{{status}}": "max by (status) (exchange_grant_requests_overdue)"},
        limits=((1, YELLOW),),
        alert="ExchangeGrantRequestOverdue",
    ),
    Panel(
        "Public holidays are known for",
        "Behind that, deadlines of requests count weekends alone.",
        "s",
        {"left": "min(exchange_grant_holidays_known_until_timestamp_seconds) - time()"},
        "stat",
        ((0, RED), (30 * _DAY, "green")),
        "ExchangeHolidaysUnknown",
    ),
)

LEDGER = Dashboard(
    "ledger",
    "Exchange: ledger and grants",
    "The ledger in SQL, and the life of grants: what ends, what is used up, what waits to be decided.",
    (
        ("Ledger", _LEDGER),
        ("Grants", _GRANTS),
        ("Requests for grants", _REQUESTS),
        ("Processes", processes(f"exchange_ledger_follower_lag_records{{{JOB}}}")),
    ),
)
