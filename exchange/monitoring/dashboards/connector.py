"""The departments' connectors: what they publish, take in and reject, and how far behind they are."""

from __future__ import annotations

from exchange.monitoring.dashboards.queries import (
    FIVE_MINUTES,
    GIB,
    HOUR,
    JOB,
    RED,
    YELLOW,
    failing,
    failures,
    happened,
    processes,
    rate,
)
from exchange.monitoring.grafana import Dashboard, Panel, Variable

_ROWS = "exchange_connector_rows_total"
_WHICH = f'{JOB},department=~"$department"'
_SOURCES = f'{JOB},subject=~"($department)[.].*"'

_WORK = (
    Panel(
        "Rows of sources",
        "Rows read from the departments' databases, and records published.",
        "rps",
        {"{{department}} {{outcome}}": rate("department, outcome", _ROWS, f'{_WHICH},outcome=~"read|published"')},
    ),
    Panel(
        "Rows of sinks",
        "Records taken into the departments' databases, and those that removed rows there.",
        "rps",
        {"{{department}} {{outcome}}": rate("department, outcome", _ROWS, f'{_WHICH},outcome=~"applied|withdrawn"')},
    ),
    Panel(
        "Rows rejected in the last hour",
        "Rows that do not fit, by subject; each is a line in a reject file.",
        "short",
        {"{{department}}: {{subject}}": happened("department, subject", _ROWS, f'{_WHICH},outcome="rejected"', "1h")},
        limits=((1, YELLOW),),
        alert="ExchangeRowsRejected",
    ),
)

_CASES = Panel(
    "Questions of cases",
    "Questions that departments ask each other: answered, given to people, or failed (tried again, and again counted).",
    "rps",
    {"{{department}} {{item}} {{outcome}}": rate("department, item, outcome", "exchange_case_questions_total", _WHICH)},
)

_DELAY = (
    Panel(
        "Changes that wait in databases",
        "Age of the oldest change that is not published.",
        "s",
        {"{{subject}}": f"max by (subject) (exchange_source_lag_seconds{{{_SOURCES}}})"},
        limits=((HOUR, RED),),
        alert="ExchangeSourceBehind",
    ),
    Panel(
        "Log kept for sources",
        "What a department's PostgreSQL keeps of its log until a source with cdc has taken it.",
        "bytes",
        {"{{subject}}": f"max by (subject) (exchange_source_slot_bytes{{{_SOURCES}}})"},
        limits=((4 * GIB, RED),),
        alert="ExchangeSlotGrows",
    ),
    Panel(
        "Inboxes behind",
        "Time since the connector had last taken in all of an inbox.",
        "s",
        {"{{department}}: {{subject}}": f"max by (department, subject) (exchange_sink_lag_seconds{{{_WHICH}}})"},
        limits=((FIVE_MINUTES, RED),),
        alert="ExchangeSinkBehind",
    ),
    Panel(
        "Records on inboxes",
        "Records that a connector has still to take in. Transaction markers count too.",
        "short",
        {"{{department}}: {{subject}}": f"max by (department, subject) (exchange_sink_lag_records{{{_WHICH}}})"},
    ),
)

_ASKED = Panel(
    "Deletions asked about",
    "Rows that a source misses, and does not delete until a person accepts it; it stands still meanwhile.",
    "short",
    {"{{subject}}": f"max by (subject) (exchange_deletions_asked_rows{{{_SOURCES}}})"},
    limits=((1, RED),),
    alert="ExchangeDeletionsAsked",
)

_STUCK = Panel(
    "Rows that are stuck",
    "Rows that have to go from a department's table, and that its database refuses to remove.",
    "short",
    {"{{department}}: {{subject}}": f"max by (department, subject) (exchange_sink_rows_stuck{{{_WHICH}}})"},
    limits=((1, RED),),
    alert="ExchangeRowsStuck",
)

CONNECTOR = Dashboard(
    "connector",
    "Exchange: connector",
    "The departments' connectors: what they publish, take in, reject, and how far behind they are.",
    (
        ("Work", (*_WORK, _CASES)),
        ("Delay", _DELAY),
        ("Faults", (failing(f'{JOB},part=~"source|sink|answerer"'), failures(JOB), _ASKED, _STUCK)),
        ("Processes", processes(f"{_ROWS}{{{_WHICH}}}")),
    ),
    (Variable("department", "Department", f"label_values({_ROWS}{{{JOB}}}, department)", is_multi=True),),
)
