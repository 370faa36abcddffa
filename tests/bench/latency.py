"""Latency, from a record's publishing to when a read_committed reader has it, and what a steady trickle costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import click
import numpy as np
from confluent_kafka import Consumer, TopicPartition

from tests.bench import measure, workload
from tests.bench.candidates import CANDIDATES, ROUTER, STREAMS, Start
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import LOGS, Rig
from tests.bench.workload import Source, Task, View

RATES_PER_S = {"latency": [10_000], "trickle": [1, 1_000, 11_000]}
_MEASURED = (ROUTER, STREAMS)
_SETTLE_S = 4.0
_STARTED_S = 60.0
_SOURCE = Source(suffix="-latency")


def measured(broker: Rig, workload: str, candidates: Sequence[str], *, rounds: int, seconds: float) -> Iterator[Run]:
    """The router and Kafka Streams at each of the workload's rates, each `rounds` times."""
    for turn in range(1, rounds + 1):
        for rate in RATES_PER_S[workload]:
            for candidate in (c for c in _MEASURED if c in candidates):
                what = f"{workload} round {turn}: {candidate} at {rate:,} records/s"
                try:
                    run = one(broker, workload, candidate, rate, turn, seconds)
                except Exception as error:
                    click.echo(f"{what} FAILED: {error}", err=True)
                    continue
                click.echo(f"{what} p50 {run.p50_ms} ms, p99 {run.p99_ms} ms, {run.core_share:.1%} of a core", err=True)
                yield run


def one(broker: Rig, name: str, candidate: str, rate_per_s: int, turn: int, seconds: float) -> Run:
    """One run: the candidate started, then the publisher; the first seconds do not count.

    A record's timestamp is when the publisher hands it to its client (1 ms resolution); routers keep it.
    """
    records = workload.distinct_records(_SOURCE.record_bytes)
    broker.fresh([_SOURCE.topic, f"quarantine.{_SOURCE.subject}"])
    task = Task(name, workload.Loaded(_SOURCE, len(records), records), (View(1),))
    with broker.prepared(CANDIDATES[candidate], [task], f"{name}-{candidate}") as (start, sinks):
        command = CANDIDATES[candidate].command(start)
        with measure.running(command, broker.environment(), LOGS / f"{start.name}.log") as process:
            publisher = [sys.executable, "-m", "tests.bench.peers.publisher", start.task_file(), str(rate_per_s)]
            with measure.running(publisher, {}, LOGS / f"{start.name}-publisher.log"):
                late, rate, cpu = _read(start, next(iter(sinks)), process, seconds)
    p50, p99 = np.percentile(late, [50, 99])
    case = (_SOURCE.record_bytes, _SOURCE.batch_kb, _SOURCE.codec, 1)
    return Run(name, *case, candidate, round(rate, 1), round(cpu, 2), turn, 1, round(p50, 1), round(p99, 1))


def _read(
    start: Start, inbox: str, process: subprocess.Popen[bytes], seconds: float
) -> tuple[list[float], float, float]:
    """Delays in ms, records/s and CPU seconds per million of the window after the settling."""
    consumer = Consumer(
        {
            "bootstrap.servers": start.servers,
            "group.id": start.name + "-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 5,
        }
    )
    consumer.assign([TopicPartition(inbox, 0, 0)])
    late: list[float] = []
    first = opened = None
    began = time.monotonic()
    try:
        while True:
            messages = consumer.consume(5_000, timeout=0.002)
            now, wall = time.monotonic(), time.time() * 1000
            if process.poll() is not None:
                raise CandidateFailedError(f"ended with status {process.returncode}, see {LOGS / start.name}.log")
            if first is None and now > began + _STARTED_S:
                raise CandidateFailedError("nothing was readable in time")
            if messages and first is None:
                first = now
            if first is not None and opened is None and now > first + _SETTLE_S:
                opened = (now, measure.cpu_seconds(process.pid))
            elif opened is not None:
                late += [wall - message.timestamp()[1] for message in messages if not message.error()]
                if now > opened[0] + seconds:
                    cpu = measure.cpu_seconds(process.pid) - opened[1]
                    return late, len(late) / (now - opened[0]), cpu / max(1, len(late)) * 1e6
    finally:
        consumer.close()
