"""Rows on their way into a PostgreSQL table: watched from outside, with what the processes on the way use."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.bench import measure
from tests.bench.measure import CandidateFailedError

PROBES = 200
_LOOK_S = 0.05
SHARP_S = 0.1
PATIENCE_S = 120.0
"""So long nothing more may come."""

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
    # A plan made while the table was empty reads all of it: each look is planned anew, and by the index.
    indexed = "-c enable_seqscan=off"
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, options=indexed) as connection:
        seen, first, moved = _Seen(connection, table, key, rows), 0.0, began
        opened = None if opens else _Used.now(processes, server, 0, began)
        while True:
            for what, process in processes.items():
                if process.poll() is not None:
                    raise CandidateFailedError(f"{what} ended with status {process.returncode}, see {log}")
            before, now = seen.rows, time.monotonic()
            seen.look()
            if seen.any and not first:
                first = time.monotonic() - began
            if seen.rows > before:
                moved = now
            if opened is None and seen.rows >= opens * len(rows):
                used = _Used.now(processes, server, seen.rows, now)
                # If looking took long, more rows came meanwhile, on a busy machine.
                opened = used if time.monotonic() < now + SHARP_S else None
            if seen.all:
                break
            if now > moved + PATIENCE_S:
                raise CandidateFailedError(f"about {seen.rows:,} of {len(rows):,} rows came, see {log}")
            time.sleep(_LOOK_S)
        ended = _Used.now(processes, server, len(rows), time.monotonic())
    if opened is None or opened.rows >= ended.rows:
        raise CandidateFailedError("all rows came at once: too few to measure")
    return ended.since(opened, {what: measure.peak_mb(process.pid) for what, process in processes.items()}, first)


class _Seen:
    """What others see of a table into which rows come."""

    def __init__(self, connection: psycopg.Connection[Any], table: str, key: str, rows: Sequence[str]) -> None:
        self._connection, self._table, self._key = connection, table, key
        self._pending, self._due = set(probes(rows)), len(rows)
        self._per_probe = len(rows) / len(self._pending)
        self.rows = 0
        """About how many."""
        self.any = self.all = False

    def look(self) -> None:
        """Look again."""
        self.any = self.any or bool(self._ask(f"SELECT 1 FROM {self._table} LIMIT 1"))
        if self._pending:
            asked = f"SELECT {self._key} FROM {self._table} WHERE {self._key} = ANY(%s)"
            self._pending -= {key for (key,) in self._ask(asked, list(self._pending))}
            self.rows = self._due - round(len(self._pending) * self._per_probe)
        self.all = not self._pending and self._ask(f"SELECT count(*) FROM {self._table}") == [(self._due,)]

    def _ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the query finds; nothing if there is no such table yet."""
        try:
            return self._connection.execute(query.encode(), values or None).fetchall()
        except psycopg.errors.UndefinedTable:
            return []


@dataclass(frozen=True)
class _Used:
    """How many rows were there at a moment, and the CPU seconds until then: of each process and of the server."""

    at: float
    rows: int
    cpu: dict[str, float]
    server: float

    @classmethod
    def now(cls, processes: Processes, server: int, rows: int, at: float) -> Self:
        cpu = {what: measure.cpu_seconds(process.pid) for what, process in processes.items()}
        return cls(at, rows, cpu, measure.server_cpu_seconds(server))

    def since(self, opened: Self, peak_mb: dict[str, float], first_row_s: float) -> Arrived:
        """What came and was used in between."""
        rows, each = self.rows - opened.rows, 1e6 / (self.rows - opened.rows)
        cpu = {what: (used - opened.cpu[what]) * each for what, used in self.cpu.items()}
        served = (self.server - opened.server) * each
        return Arrived(rows / (self.at - opened.at), cpu, served, peak_mb, first_row_s)
