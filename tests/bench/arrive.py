"""Rows on their way into a PostgreSQL table: watched from outside, with what the processes on the way use."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import measure
from tests.bench.measure import CandidateFailedError

PROBES = 200
_LOOK_S = 0.05
SHARP_S = 0.1
PATIENCE_S = 300.0

Processes = Mapping[str, subprocess.Popen[bytes]]
"""By what each does."""


@dataclass(frozen=True)
class Arrived:
    """One run: rows per second, and what each process and the server used per million rows."""

    rows_per_s: float
    cpu_s_per_million: dict[str, float]
    server_cpu_s_per_million: float
    peak_mb: dict[str, float]
    first_row_s: float
    """Seconds until the first row was visible."""

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes per million rows."""
        return sum(self.cpu_s_per_million.values())


def probes(rows: Sequence[str]) -> list[str]:
    """Some of these keys, evenly spread: as many of all rows are there as of these.

    >>> probes([str(n) for n in range(1000)])[:4]
    ['4', '9', '14', '19']
    """
    count = min(PROBES, len(rows))
    return [rows[(at + 1) * len(rows) // count - 1] for at in range(count)]


def watch(
    url: str,
    table: str,
    key: str,
    rows: Sequence[str],
    processes: Processes,
    server: int,
    log: Path,
    *,
    began: float,
    opens: float = measure.WARM_UP_SHARE,
) -> Arrived:
    """Return once the table has as many rows as `rows` has keys; these are in the order in which they come.

    The window begins when the share `opens` of them is there (0: now), and ends with the last; `first_row_s` counts
    from `began`. Only some keys are looked for, by index: to count all rows would cost the server more than the rows
    do. Raises CandidateFailedError if a process ends or a row does not come.
    """
    pending, first = set(probes(rows)), 0.0
    each_probe = len(rows) / len(pending)
    asked = f"SELECT {key} FROM {table} WHERE {key} = ANY(%s)"
    opened = None if opens else (began, 0, _cpu(processes), measure.server_cpu_seconds(server))
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            for what, process in processes.items():
                if process.poll() is not None:
                    raise CandidateFailedError(f"{what} ended with status {process.returncode}, see {log}")
            now = time.monotonic()
            if not first and _ask(connection, f"SELECT 1 FROM {table} LIMIT 1"):
                first = time.monotonic() - began
            pending -= {found for (found,) in _ask(connection, asked, [list(pending)])} if pending else set()
            there = len(rows) - round(len(pending) * each_probe)
            if opened is None and there >= opens * len(rows):
                found_now = now, there, _cpu(processes), measure.server_cpu_seconds(server)
                # If looking took long, more rows came meanwhile, on a busy machine.
                opened = found_now if time.monotonic() < now + SHARP_S else None
            if not pending and _ask(connection, f"SELECT count(*) FROM {table}") == [(len(rows),)]:
                break
            if now > began + PATIENCE_S:
                raise CandidateFailedError(f"about {there:,} of {len(rows):,} rows came, see {log}")
            time.sleep(_LOOK_S)
        now, used, served = time.monotonic(), _cpu(processes), measure.server_cpu_seconds(server)
    counted = len(rows) - opened[1] if opened else 0
    if not opened or counted <= 0:
        raise CandidateFailedError("all rows came at once: too few to measure")
    each = 1e6 / counted
    return Arrived(
        counted / (now - opened[0]),
        {what: (used[what] - opened[2][what]) * each for what in processes},
        (served - opened[3]) * each,
        {what: measure.peak_mb(process.pid) for what, process in processes.items()},
        first,
    )


def _cpu(processes: Processes) -> dict[str, float]:
    return {what: measure.cpu_seconds(process.pid) for what, process in processes.items()}


def _ask(connection: psycopg.Connection[Any], query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """What the query finds; nothing if there is no such table yet."""
    try:
        return connection.execute(query.encode(), values or None).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
