"""`python -m tests.bench.keyed_costs`: what the router's memory of rows costs in W4, apart from the broker.

The same changes are decided for a subject with a key and for one without, in turn, by one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from exchange import names
from exchange.keys import KEY_BYTES
from exchange.ledger.body import encode
from exchange.records.header import RawBatch
from exchange.records.scan import scan
from exchange.records.tags import Tagger
from exchange.router.gather import MAX_RUN_RECORDS
from exchange.router.held import HeldRows
from exchange.router.ready import make_ready
from exchange.router.step import RunSource, Step, step
from tests.bench import workload
from tests.bench.changes import History
from tests.bench.costs import NOW, fetched
from tests.bench.table import markdown
from tests.bench.workload import ENTITY, IN_CLEAR, Loaded, Source, Task

_RUNS, _WARM = 40, 8
_SOURCE = Source(changes=True)


def runs() -> Iterator[list[RawBatch]]:
    """W4's changes as fetched, run by run."""
    distinct = workload.distinct_records(_SOURCE.record_bytes)
    history = History.of(MAX_RUN_RECORDS * _RUNS, [view.all_takes(distinct) for view in IN_CLEAR])
    _, values = workload.encoded(distinct)
    for first in range(0, MAX_RUN_RECORDS * _RUNS, MAX_RUN_RECORDS):
        records = history.versions(slice(first, first + MAX_RUN_RECORDS), values)
        yield fetched(workload.packed(*records, _SOURCE.batch_kb, _SOURCE.codec), first)


def costs() -> Iterator[tuple[str, float, float, float]]:
    """Which, and per record of the source: microseconds of deciding, and records and bytes that the broker gets."""
    tagger, source = Tagger(bytes(KEY_BYTES)), RunSource(names.subject_topic(_SOURCE.subject), 0, 1, "costs", 0)
    subjects = {}
    for which, key in (("without key", ()), ("with key", (ENTITY,))):
        task = Task("W4", Loaded(_SOURCE, 0, workload.distinct_records(_SOURCE.record_bytes)), IN_CLEAR, key)
        subjects[which] = make_ready(workload.epoch([task]), _SOURCE.subject, NOW)
    held = {"without key": None, "with key": HeldRows(tagger.key_id)}
    made: dict[str, list[tuple[float, float, float]]] = {which: [] for which in subjects}
    for run in runs():
        for which, subject in subjects.items():
            began = time.thread_time()
            decided = step(scan(run), subject, source, tagger, held=held[which])
            made[which].append((time.thread_time() - began, *_written(decided)))
    for which, each in made.items():
        us, records, size = (statistics.median(column) / MAX_RUN_RECORDS for column in zip(*each[_WARM:], strict=True))
        yield which, us * 1e6, records, size


def _written(decided: Step) -> tuple[int, int]:
    batches = [batch for batches in decided.outputs.values() for batch in batches]
    return sum(batch.records for batch in batches), sum(b.size_bytes for b in batches) + len(encode(decided.entry))


def main() -> None:
    """Print the table."""
    lines = [[which, f"{us:.2f}", f"{records:.1f}", f"{size:.0f}"] for which, us, records, size in costs()]
    print(markdown(["per record of W4", "deciding, µs", "records written", "bytes written"], lines))


if __name__ == "__main__":
    main()
