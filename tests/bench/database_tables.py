"""The tables of the workloads with a database: their headers, and the lines that the runs give."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from tests.bench import capture, city, gone, sink, table_source, table_to_table
from tests.bench.results import Run

Section = tuple[str, Sequence[str], Iterable[Sequence[str]]]
"""Title, header and lines."""
DEBEZIUM = "debezium"
"""The candidate of all workloads that others are compared with."""
_COSTS = ("cpu_s_per_million", "records_per_s", "server_cpu_s_per_million", "memory_mb")
TITLES = {"C0": capture.TITLES, "C1": table_source.TITLES, "C2": sink.TITLES, "C3": table_to_table.TITLES}

CAPTURE = (
    "transactions of",
    "candidate",
    "CPU s per million",
    f"of Debezium's (target {capture.TARGET})",
    "changes/s",
    "server's CPU s per million",
    "process MB",
    "rounds",
)
TABLES = (
    "candidate",
    "CPU s per million",
    f"of Debezium's (target {table_source.TARGET})",
    "rows/s",
    "server's CPU s per million",
    "process MB",
    "rounds",
)
SINK = (
    "candidate",
    "CPU s per million",
    f"of Debezium's (target {sink.TARGET})",
    "rows/s",
    "server's CPU s per million",
    "process MB",
    "first row after s",
    f"after it runs (target {sink.FIRST_ROW_S:.0f})",
    "rounds",
)
TABLE_TO_TABLE = (
    "candidate",
    f"CPU s per million (target {table_to_table.TARGET:.0f})",
    "of Debezium's",
    "rows/s",
    "server's CPU s per million",
    "process MB",
    "rounds",
)
GONE = ("the source", "changes", "p50 ms", "p99 ms", "target p99 ms", "reached")
CITY = (
    "processes",
    f"deliveries/s (target {city.TARGET_PER_S:,})",
    "CPU s per million",
    "broker's CPU s per million",
    "MB",
    "rounds",
)


def sections(runs: Sequence[Run]) -> list[Section]:
    """Every table; those of which there are no runs have no lines."""
    return [
        ("Changes from PostgreSQL's log", CAPTURE, captured(runs)),
        ("A PostgreSQL table to a topic", TABLES, compared(runs, "C1")),
        ("Records of an inbox into a PostgreSQL table", SINK, taken_in(runs)),
        ("A PostgreSQL table to another department's", TABLE_TO_TABLE, passed_on(runs)),
        ("A row changed or deleted, gone at its reader", GONE, withdrawn(runs)),
        ("A city", CITY, delivered(runs)),
    ]


def captured(runs: Sequence[Run]) -> Iterable[Sequence[str]]:
    """Lines of the table of changes from a database's log."""
    for size in sorted({run.transaction_rows for run in runs if run.transaction_rows}):
        for line in compared([run for run in runs if run.transaction_rows == size], "C0"):
            yield [f"{size:,}", *line]


def compared(runs: Sequence[Run], workload: str) -> Iterable[list[str]]:
    """A line for each candidate: what it costs, and how much that is of Debezium's costs."""
    by = _by_candidate(runs, workload)
    costs = {candidate: [median(same, name) for name in _COSTS] for candidate, same in by.items()}
    for candidate, (cpu, rate, served, memory) in costs.items():
        ratio = f"{cpu / costs[DEBEZIUM][0]:.2f}" if candidate != DEBEZIUM and DEBEZIUM in costs else ""
        numbers = (f"{cpu:.1f}", ratio, f"{rate:,.0f}", f"{served:.1f}", f"{memory:,.0f}" if memory else "")
        yield [TITLES[workload][candidate], *numbers, str(len(by[candidate]))]


def taken_in(runs: Sequence[Run]) -> Iterable[Sequence[str]]:
    """The same of records that become rows, with the time until the first of them is there."""
    for line, same in zip(compared(runs, "C2"), _by_candidate(runs, "C2").values(), strict=True):
        first, began = median(same, "first_row_s"), median(same, "runs_s")
        yield [*line[:-1], f"{first:.1f}", f"{first - began:.1f}" if began else "", line[-1]]


def passed_on(runs: Sequence[Run]) -> Iterable[Sequence[str]]:
    """The same from table to table; below a candidate of several processes stands what each of them costs."""
    for line, same in zip(compared(runs, "C3"), _by_candidate(runs, "C3").values(), strict=True):
        yield line
        parts = processes(same)
        if len(parts) > 1:
            yield from ([f"… {what}", f"{cpu:.2f}", "", "", "", f"{mb:,.0f}", ""] for what, (cpu, mb) in parts.items())


def withdrawn(runs: Sequence[Run]) -> Iterable[Sequence[str]]:
    """Lines of the table of rows that a reader no longer has."""
    for way, same in _by_candidate(runs, "gone").items():
        p50, p99 = median(same, "p50_ms"), median(same, "p99_ms")
        title, target = gone.WAYS[way]
        changes = sum(run.rows or 0 for run in same)
        yield [title, str(changes), f"{p50:.0f}", f"{p99:.0f}", f"{target:,.0f}", "yes" if p99 <= target else "no"]


def delivered(runs: Sequence[Run]) -> Iterable[Sequence[str]]:
    """Lines of the table of the city: all its processes, and each kind of them."""
    for same in _by_candidate(runs, "city").values():
        rate, cpu, served, memory = (median(same, name) for name in ("records_per_s", *_COSTS[:1], *_COSTS[2:]))
        title = f"all {same[0].readers}, {same[0].rows or 0:,} rows"
        yield [title, f"{rate:,.0f}", f"{cpu:.1f}", f"{served:.1f}", f"{memory:,.0f}", str(len(same))]
        for kind, (seconds, mb) in processes(same).items():
            yield [f"… {kind}", "", f"{seconds:.1f}", "", f"{mb:,.0f}", ""]


def processes(runs: Sequence[Run]) -> Mapping[str, tuple[float, float]]:
    """Medians of CPU seconds per million and of MB, process by process."""
    of = [run.processes for run in runs if run.processes]
    names = of[0] if of else {}
    return {
        name: (statistics.median(each[name][0] for each in of), statistics.median(each[name][1] for each in of))
        for name in names
    }


def median(runs: Sequence[Run], name: str) -> float:
    """Of one figure, which is 0 where a run does not have it."""
    return statistics.median(getattr(run, name) or 0.0 for run in runs)


def _by_candidate(runs: Sequence[Run], workload: str) -> dict[str, list[Run]]:
    by: dict[str, list[Run]] = {}
    for run in runs:
        if run.workload == workload:
            by.setdefault(run.candidate, []).append(run)
    return by
