"""`python -m tests.bench.idle`: the share of a core that a router takes while nothing comes, by number of subjects."""

from __future__ import annotations

import time

import click

from exchange import names
from tests.bench import measure, workload
from tests.bench.candidates import CANDIDATES, ROUTER
from tests.bench.rig import LOGS, Rig, rig
from tests.bench.workload import Loaded, Source, Task, View

PARTITIONS = 4
SUBJECTS = (28, 405)
_SETTLE_S, _WATCH_S = 45.0, 30.0


def share(broker: Rig, subjects: int) -> float:
    """Percent of a core, once the router has been at rest for a while."""
    sources = [Source(suffix=f"-idle{subjects}-{i}") for i in range(subjects)]
    topics = [topic for s in sources for topic in (s.topic, names.quarantine_topic(s.subject))]
    broker.fresh(topics, PARTITIONS)
    distinct = workload.distinct_records(200)[:1]
    tasks = [Task("idle", Loaded(source, 0, distinct), (View(1),)) for source in sources]
    with broker.prepared(CANDIDATES[ROUTER], tasks, "idle", PARTITIONS) as (start, _):
        command, log = CANDIDATES[ROUTER].command(start), LOGS / f"{start.name}.log"
        with measure.running(command, broker.environment(), log) as process:
            time.sleep(_SETTLE_S)
            before, began = measure.cpu_seconds(process.pid), time.monotonic()
            time.sleep(_WATCH_S)
            taken = (measure.cpu_seconds(process.pid) - before) / (time.monotonic() - began)
    broker.drop(topics)
    return 100 * taken


def main() -> None:
    """Print a line for each number of subjects."""
    with rig() as broker:
        for subjects in SUBJECTS:
            click.echo(f"{subjects} subjects × {PARTITIONS} partitions: {share(broker, subjects):.1f} % of a core")


if __name__ == "__main__":
    main()
