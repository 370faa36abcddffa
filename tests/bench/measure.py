"""Measure a candidate from outside: what its readers can read, and the processor time it used."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from exchange.bus import Cluster
from exchange.bus.consume import Consumer

_TICKS = os.sysconf("SC_CLK_TCK")
DEADLINE_S = 300.0


@dataclass(frozen=True)
class Measured:
    """One run: records per second of the source, and CPU seconds of the candidate per million of them."""

    records_per_s: float
    cpu_s_per_million: float


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux's /proc)."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def run(
    cluster: Cluster, command: Sequence[str], env: dict[str, str], inboxes: Sequence[str], records: int
) -> Measured:
    """Start the command; measure from its first readable delivery until every inbox holds all `records`.

    The offsets of read_committed ends are polled, so that only what a reader can read counts;
    markers are a few hundred offsets among millions. Start-up and compilation are left out.
    """
    places = [(inbox, 0) for inbox in inboxes]
    with Consumer(cluster, assignment=dict.fromkeys(places, 0)) as watcher:
        start = watcher.end_offsets(places)
        process = subprocess.Popen(command, env=os.environ | env, stdout=subprocess.DEVNULL)
        try:
            first: tuple[float, float, int] | None = None
            deadline = time.monotonic() + DEADLINE_S
            while True:
                ends = watcher.end_offsets(places)
                done = min(ends[place] - start[place] for place in places)
                now, cpu = time.monotonic(), cpu_seconds(process.pid)
                if first is None and done > 0:
                    first = (now, cpu, done)
                if done >= records and first is not None:
                    took, used, counted = now - first[0], cpu - first[1], done - first[2]
                    return Measured(counted / took, used / counted * 1e6)
                if process.poll() is not None or now > deadline:
                    raise RuntimeError(f"{command} ended or stalled at {done} of {records} records")
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
