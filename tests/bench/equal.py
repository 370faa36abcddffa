"""`python -m tests.bench.equal`: every candidate makes the same deliveries, all of them in transactions."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping

import click

from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import read_all
from tests.bench import measure
from tests.bench.candidates import CANDIDATES, LIMIT
from tests.bench.rig import LOGS, Rig, rig
from tests.bench.workload import VIEWS, Source, Task

RECORDS = 8192
DEADLINE_S = 120.0
Deliveries = list[Counter[tuple[bytes | None, bytes | None]]]


@click.command()
def main() -> None:
    """Run each candidate once on a few records, and compare what its readers get; exit 1 where any differs."""
    wrong = 0
    with rig() as broker:
        [loaded] = broker.load([Source(batch_kb=16, codec="lz4")], RECORDS)
        for workload in ("W0", "W2"):
            first: Deliveries | None = None
            for name, candidate in CANDIDATES.items():
                if name == LIMIT or workload not in candidate.workloads:
                    continue
                candidate.prepare()
                got = deliveries(broker, name, Task(workload, loaded, VIEWS[workload]))
                first = first or got
                wrong += got != first
                click.echo(f"{workload} {name}: {'the same' if got == first else 'DIFFERENT'}")
    sys.exit(bool(wrong))


def deliveries(broker: Rig, name: str, task: Task) -> Deliveries:
    """What each reader gets from the candidate: keys and values, in any order."""
    candidate = CANDIDATES[name]
    with broker.prepared(candidate, [task], f"equal-{name}") as (start, sinks):
        with measure.running(candidate.command(start), broker.environment(), LOGS / f"{start.name}.log"):
            _wait(broker.cluster, sinks)
        for topic in sinks:
            with Consumer(broker.cluster, assignment={(topic, 0): 0}) as consumer:
                outside = [batch for batch in consumer.poll(5) if not batch.header.is_transactional]
            if outside:
                raise click.ClickException(f"{name} writes outside of transactions")
        return [Counter((r.key, r.value) for r in read_all(broker.cluster, topic)) for topic in sinks]


def _wait(cluster: Cluster, sinks: Mapping[str, int]) -> None:
    """Until each topic can be read further than its records: markers are offsets too. Or until the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    with Consumer(cluster) as watcher:
        while time.monotonic() < deadline:
            ends = watcher.end_offsets([(topic, 0) for topic in sinks])
            if all(ends[topic, 0] > count for topic, count in sinks.items()):
                return
            time.sleep(0.1)


if __name__ == "__main__":
    main()
