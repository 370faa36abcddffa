"""Measure a candidate from outside: what its readers can read, and the processor time it used."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exchange.bus import Cluster
from exchange.bus.consume import Consumer

_TICKS = os.sysconf("SC_CLK_TCK")
START_DEADLINE_S = 90.0
STALL_S = 30.0
WARM_UP_SHARE, WARM_UP_S = 0.2, 5.0


class CandidateFailedError(Exception):
    """A candidate ended or stalled; the message says where its log is."""


@dataclass(frozen=True)
class Measured:
    """One run: records per second of the source, and CPU seconds of the candidate per million of them."""

    records_per_s: float
    cpu_s_per_million: float
    counted: int
    """Records of the source in the measured window: fewer than all where time was up first."""
    server_cpu_s_per_million: float
    """The same of the server from which the candidate reads, if there is one beside the broker."""
    peak_mb: float
    """The most memory that the candidate had, start-up included."""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads so far (Linux's /proc)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def server_cpu_seconds(pid: int) -> float:
    """User and system time of a server that has a process for each connection, those that ended included."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        if stat.parent.name == str(pid):
            total += sum(map(int, fields[11:15]))
        elif fields[1] == str(pid):
            total += sum(map(int, fields[11:13]))
    return total / _TICKS


def peak_mb(pid: int) -> float:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process, output to `log`; asked to stop at the end, killed where it does not."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | env, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(
    cluster: Cluster,
    command: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    expected: Mapping[str, int],
    records: int,
    seconds: float,
    server: int | None = None,
) -> Measured:
    """Start the command and measure what it adds to the topics of `expected` for their readers.

    The window begins once a fifth is readable, or 5 s after the first record: start-up, compilation
    and most of the JVM's warming up are left out for all. It ends when all is, or after `seconds`. Only
    read_committed ends count, so that it is what a reader can read; a transaction's marker counts as
    a record there, which are a few hundred among millions. Several partitions are looked at together.
    `server` is the process of the server from which the candidate reads.
    """
    total = sum(expected.values())
    with Consumer(cluster) as watcher:
        places = [(topic, partition) for topic in expected for partition in watcher.partitions(topic)]
        before = sum(watcher.end_offsets(places).values())
        with running(command, env, log) as process:
            first: float | None = None
            opened: tuple[float, float, float, int] | None = None
            moved, last = time.monotonic() + START_DEADLINE_S - STALL_S, 0
            while True:
                asked = time.monotonic()
                ends = watcher.end_offsets(places)
                done, now = sum(ends.values()) - before, time.monotonic()
                if process.poll() is not None:
                    raise CandidateFailedError(f"ended with status {process.returncode}, see {log}")
                cpu, served = cpu_seconds(process.pid), server_cpu_seconds(server) if server else 0.0
                if done > last:
                    last, moved, first = done, max(now, moved), first or now
                if opened is None and first and (done >= WARM_UP_SHARE * total or now > first + WARM_UP_S):
                    opened = (now, cpu, served, done)
                    if done >= total:
                        raise CandidateFailedError("wrote everything at once: too few records to measure")
                elif opened is not None and (done >= total or now > opened[0] + seconds):
                    counted = (done - opened[3]) * records / total
                    if counted > 0:
                        rate, each = counted / (now - opened[0]), 1e6 / counted
                        costs = ((cpu - opened[1]) * each, int(counted), (served - opened[2]) * each)
                        return Measured(rate, *costs, peak_mb(process.pid))
                if now > moved + STALL_S:
                    raise CandidateFailedError(f"stalled at {done:,} of {total:,} records, see {log}")
                time.sleep(max(0.02, 4 * (now - asked)))
