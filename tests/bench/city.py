"""The demo city as one figure: from the start of its daemons until the last delivery is in its reader's table."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import click
from rich.console import Console

from exchange.broker import configured
from exchange.demo.city_commands import SEED
from exchange.demo.rig import Rig
from exchange.errors import ExchangeError
from exchange.records import warm_up, warm_up_source
from exchange.settings import Settings
from tests.bench import measure
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.rigs.brokers import free_port

CITY = "city"
TARGET_PER_S = 100_000
"""Deliveries, on two cores."""
RECORD_BYTES = 150
_LOOK_S = 0.5
_STALL_S = 120.0


def measured(rounds: int, *, quick: bool) -> Iterator[Run]:
    """A new city in each round, on a broker of its own that is as secure as the demo's."""
    rows = 100_000 if quick else 2_000_000
    for turn in range(1, rounds + 1):
        with _city(rows) as (rig, due):
            try:
                yield _run(rig, due, rows, turn)
            except (CandidateFailedError, ExchangeError) as error:
                click.echo(f"city round {turn} FAILED: {error}", err=True)


@contextmanager
def _city(rows: int) -> Iterator[tuple[Rig, int]]:
    """A city whose daemons do not run yet, and how many rows its readers are due; all of it is gone at the end."""
    # Whoever starts a daemon hands its own environment on.
    with tempfile.TemporaryDirectory(prefix="bench-city-") as home:
        ours = {"EXCHANGE_HOME": home, "EXCHANGE_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
        with mock.patch.dict(os.environ, ours | {"EXCHANGE_LOG_LEVEL": "WARNING"}):
            rig = Rig(Settings(), Console(stderr=True))
            rig.start_broker()
            try:
                manifest = rig.make_city(rows, SEED)
                rig.apply()
                expectations = rig.expectations(manifest)
                yield rig, sum(expectations.due_rows(grant) for grant in expectations.grants)
            finally:
                rig.processes.stop(list(rig.processes.running()))
                configured(rig.settings).stop()


def _run(rig: Rig, due: int, rows: int, turn: int) -> Run:
    """From the start of the daemons, whose kernels are compiled before, to the last row in a reader's table."""
    warm_up.warm_up()
    warm_up_source.warm_up()
    broker = configured(rig.settings).status().pid
    assert broker is not None
    served, began = measure.cpu_seconds(broker), time.monotonic()
    rig.start_daemons()
    ready = time.monotonic() - began
    last, moved = -1, time.monotonic()
    while (there := _applied(rig)) < due:
        if there != last:
            last, moved = there, time.monotonic()
        elif time.monotonic() > moved + _STALL_S:
            raise CandidateFailedError(f"stalled at {there:,} of {due:,} rows, see {rig.processes.log('*')}")
        time.sleep(_LOOK_S)
    took = time.monotonic() - began
    used = {name: (measure.cpu_seconds(p.pid), measure.peak_mb(p.pid)) for name, p in rig.processes.running().items()}
    cpu = sum(seconds for seconds, _ in used.values())
    told = f"{due / took:,.0f} deliveries/s: {due:,} in {took:.1f} s, of which daemons start for {ready:.1f} s"
    click.echo(f"city round {turn}: {told}; {cpu:.1f} CPU-s", err=True)
    for name, (seconds, peak) in sorted(used.items(), key=lambda item: -item[1][0]):
        click.echo(f"    {name}: {seconds:.1f} CPU-s, {peak:.0f} MB", err=True)
    each = 1e6 / due
    case = (CITY, RECORD_BYTES, 256, "none", len(used), CITY, round(due / took), round(cpu * each, 2), turn)
    return Run(
        *case,
        rows=rows,
        first_row_s=None,
        memory_mb=round(sum(peak for _, peak in used.values())),
        server_cpu_s_per_million=round((measure.cpu_seconds(broker) - served) * each, 2),
        processes={kind: (round(s * each, 2), round(mb)) for kind, (s, mb) in by_kind(used).items()},
    )


def by_kind(used: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """CPU-seconds and MB of processes, summed over those whose names begin alike, as `router-1` and `router-2`."""
    made: dict[str, tuple[float, float]] = {}
    for name, (seconds, peak) in used.items():
        kind = name.partition("-")[0]
        before = made.get(kind, (0.0, 0.0))
        made[kind] = (before[0] + seconds, before[1] + peak)
    return made


def _applied(rig: Rig) -> int:
    """How many rows the connectors have in their readers' tables, as their own metrics say."""
    samples = (rig.processes.samples(daemon.name) for daemon in rig.daemons if daemon.name.startswith("connector-"))
    return int(sum(found.get("exchange_connector_rows_total:applied", 0.0) for found in samples))
