"""What a router's memory of rows costs: bytes for each, and the time in which a restarted router has it back."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import click
import numpy as np

from exchange import metrics, names
from exchange.bus.consume import Consumer
from exchange.bus.produce import Producer
from exchange.keys import ledger_key
from exchange.records.tags import Tagger
from exchange.router.held import NOT, PASS, HeldRows, Rows
from exchange.settings import Settings
from tests.bench import measure, workload
from tests.bench.candidates import CANDIDATES, ROUTER
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import LOGS, Rig
from tests.bench.workload import ENTITY, Loaded, Source, Task, View
from tests.rigs.brokers import free_port

PARTITIONS = 4
READERS = 6
CASES = (
    (10_000, READERS),
    (100_000, READERS),
    (1_000_000, 1),
    (1_000_000, READERS),
    (1_000_000, 30),
    (10_000_000, READERS),
)
"""Rows in all, and readers: reader i of n holds (i + 1)/n of them."""
_SOURCE = Source(suffix="-held")
_AT_ONCE = 500_000
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Restart:
    """From the start of a router's process until a record of each partition is readable, and what it then takes."""

    seconds: float
    cpu_s: float
    row_bytes: float
    memory_mb: float


def measured(broker: Rig, *, quick: bool) -> Iterator[Run]:
    """A router that is started again, for each number of rows and readers."""
    for rows, readers in CASES[::5] if quick else CASES:
        what = f"holdings: {rows:,} rows, {readers} readers"
        try:
            got = restarted(broker, rows, readers)
        except Exception as error:
            click.echo(f"{what} FAILED: {error}", err=True)
            continue
        click.echo(f"{what} {got.seconds:.1f} s, {got.row_bytes:.1f} bytes a row, {got.memory_mb:.0f} MB", err=True)
        rate, cpu = round(rows / got.seconds), round(got.cpu_s / rows * 1e6, 2)
        case = ("holdings", _SOURCE.record_bytes, _SOURCE.batch_kb, _SOURCE.codec, readers, ROUTER, rate, cpu, 1)
        yield Run(*case, rows=rows, restart_s=got.seconds, row_bytes=got.row_bytes, memory_mb=got.memory_mb)


def restarted(broker: Rig, rows: int, readers: int) -> Restart:
    """Write the topic as routers that know so many rows leave it; publish a record per partition, start a router."""
    kept = names.holdings_topic(_SOURCE.subject)
    loaded = Loaded(_SOURCE, PARTITIONS, workload.distinct_records(_SOURCE.record_bytes)[:PARTITIONS])
    task = Task("holdings", loaded, (View(readers),), (ENTITY,))
    broker.fresh([_SOURCE.topic, names.quarantine_topic(_SOURCE.subject)], PARTITIONS)
    with broker.prepared(CANDIDATES[ROUTER], [task], "holdings", PARTITIONS) as (start, sinks):
        key_id = Tagger(ledger_key(Settings(home=broker.folder))).key_id
        with Producer(broker.cluster, "bench.holdings", timeout_s=60) as producer:
            for partition in range(PARTITIONS):
                grants = [grant.id for grant in task.grants()]
                _write(producer, (kept, partition), HeldRows(key_id), rows // PARTITIONS, grants)
            with producer.transaction() as transaction:
                for partition in range(PARTITIONS):
                    [batch] = workload.batches(loaded.distinct[partition : partition + 1], 256, "none")
                    transaction.send(_SOURCE.topic, partition, [batch])
        port, log = free_port(), LOGS / f"{start.name}.log"
        command = [*CANDIDATES[ROUTER].command(start), "--metrics-port", str(port)]
        with Consumer(broker.cluster) as watcher:
            places = [(topic, partition) for topic in sinks for partition in range(PARTITIONS)]
            began = time.monotonic()
            with measure.running(command, broker.environment(), log) as process:
                while not all(watcher.end_offsets(places).values()):
                    if process.poll() is not None or time.monotonic() > began + _PATIENCE_S:
                        raise CandidateFailedError(f"nothing was delivered, see {log}")
                    time.sleep(0.02)
                seconds, cpu = time.monotonic() - began, measure.cpu_seconds(process.pid)
                row_bytes, memory_mb = _memory(port, rows)
    return Restart(round(seconds, 2), cpu, round(row_bytes, 1), round(memory_mb))


def _write(producer: Producer, place: names.Partition, held: HeldRows, rows: int, grants: list[str]) -> None:
    rng = np.random.default_rng(place[1])
    for first in range(0, rows, _AT_ONCE):
        count = min(_AT_ONCE, rows - first)
        share = rng.random(count)
        states = {
            (grant,): np.where(share < (i + 1) / len(grants), PASS, NOT).astype(np.uint8)
            for i, grant in enumerate(grants)
        }
        tags = rng.integers(1, (1 << 64) - 1, (count, 2), np.uint64)
        moved = held.advance(Rows(tags, np.arange(count), np.empty(0, np.int64)), states)
        with producer.transaction() as transaction:
            transaction.send(*place, held.written(moved, int(time.time() * 1000)))


def _memory(port: int, rows: int) -> tuple[float, float]:
    """Bytes a row and MB of the whole process, as the router itself says once it shows all rows."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            shown = metrics.sums(answer.read().decode())
        if shown.get("exchange_router_held_rows", 0) >= rows:
            return shown["exchange_router_held_bytes"] / rows, shown["exchange_process_resident_memory_bytes"] / 1e6
        time.sleep(0.1)
    raise CandidateFailedError(f"the router does not know {rows:,} rows")
