"""One department as the owner of its subjects, and as a reader of others'."""

from __future__ import annotations

from exchange.monitoring.dashboards.queries import (
    FIVE_MINUTES,
    HOUR,
    JOB,
    RED,
    delivery_lag,
    latency,
    quarantine,
    rate,
)
from exchange.monitoring.grafana import Dashboard, Panel, Variable

# All that own a subject or read one; a subject's name begins with its owner.
_DEPARTMENTS = (
    "query_result(count by (department) ("
    f'label_replace(exchange_records_total{{{JOB},reader!=""}}, "department", "$1", "reader", "(.+)") or '
    f'label_replace(exchange_records_total{{{JOB},reader=""}}, "department", "$1", "subject", "([^.]+)[.].*")))'
)
_OWNED = f'{JOB},subject=~"$department[.].*"'
_READ = f'{JOB},reader="$department"'
_RECORDS, _BYTES = "exchange_records_total", "exchange_bytes_total"

_OWNER = (
    Panel(
        "Published records",
        "Records of its subjects that the routers read.",
        "rps",
        {"{{subject}}": rate("subject", _RECORDS, f'{_OWNED},outcome="read"')},
    ),
    Panel(
        "Who receives them",
        "Deliveries of its subjects, by reading department.",
        "rps",
        {"{{reader}}": rate("reader", _RECORDS, f'{_OWNED},outcome="delivered"')},
    ),
    Panel(
        "Withheld from readers",
        "Records that a grant's conditions, period or quota kept from a reader.",
        "rps",
        {"{{reader}}: {{subject}}": rate("reader, subject", _RECORDS, f'{_OWNED},outcome="withheld"')},
    ),
    Panel(
        "Withdrawn from readers",
        "Records by which a reader lost rows: they were deleted, or its grant no longer covers them.",
        "rps",
        {"{{reader}}: {{subject}}": rate("reader, subject", _RECORDS, f'{_OWNED},outcome="withdrawn"')},
    ),
    Panel(
        "Changes that wait in its database",
        "Age of the oldest change that its connector has not published.",
        "s",
        {"{{subject}}": f"max by (subject) (exchange_source_lag_seconds{{{_OWNED}}})"},
        limits=((HOUR, RED),),
        alert="ExchangeSourceBehind",
    ),
    delivery_lag(_OWNED),
    Panel("Delivery latency", "From publication of its records to the commit of the delivery.", "s", latency(_OWNED)),
    quarantine(_OWNED),
)

_READER = (
    Panel(
        "Received records",
        "Deliveries to its inboxes, by subject.",
        "rps",
        {"{{subject}}": rate("subject", _RECORDS, f'{_READ},outcome="delivered"')},
    ),
    Panel(
        "Received bytes",
        "Bytes of the deliveries to its inboxes.",
        "Bps",
        {"{{subject}}": rate("subject", _BYTES, f'{_READ},outcome="delivered"')},
    ),
    Panel(
        "Withheld from it",
        "Records that its grants' conditions, periods or quotas kept from it.",
        "rps",
        {"{{subject}}": rate("subject", _RECORDS, f'{_READ},outcome="withheld"')},
    ),
    Panel(
        "Withdrawn from it",
        "Records by which it lost rows: they were deleted, or its grants no longer cover them.",
        "rps",
        {"{{subject}}": rate("subject", _RECORDS, f'{_READ},outcome="withdrawn"')},
    ),
    Panel(
        "Inboxes behind",
        "Time since its connector had last taken in all of an inbox.",
        "s",
        {"{{subject}}": f'max by (subject) (exchange_sink_lag_seconds{{{JOB},department="$department"}})'},
        limits=((FIVE_MINUTES, RED),),
        alert="ExchangeSinkBehind",
    ),
)

DEPARTMENT = Dashboard(
    "department",
    "Exchange: department",
    "One department as the owner of its subjects, and as a reader of others'.",
    (("$department as owner", _OWNER), ("$department as reader", _READER)),
    (Variable("department", "Department", _DEPARTMENTS, '/department="([^"]+)"/'),),
)
