"""`python -m tests.bench.costs`: what each thing costs that is done in Python per batch, run, view, entry and record.

A fixed cost is the time of one call on the least data; a cost per record is the slope between two sizes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import pairwise

from exchange import names
from exchange.ledger.body import encode
from exchange.records.build import Batch
from exchange.records.header import RawBatch, crc, parse, stamp
from exchange.records.scan import scan
from exchange.records.tags import Tagger
from exchange.router.ready import ReadySubject, make_ready
from exchange.router.step import RunSource, Step, step
from tests.bench import workload
from tests.bench.table import markdown

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MANY = 8_192
_TAGGER = Tagger(bytes(32))
_ROUNDS, _LEAST_S = 7, 0.05


def cost_us(work: Callable[[], object]) -> float:
    """Microseconds of one call: the median of some rounds, after one that compiles and warms up."""
    work()
    times = []
    for _ in range(_ROUNDS):
        calls, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < _LEAST_S:
            work()
            calls += 1
        times.append(took / calls * 1e6)
    return statistics.median(times)


def fetched(made: Iterable[Batch], offset: int = 0) -> list[RawBatch]:
    """Batches as fetched, from that offset on."""
    got = []
    for batch in made:
        stamp(batch.head, batch.body, 1, 0, 0, False)
        header = parse(batch.head)._replace(base_offset=offset)
        got.append(RawBatch("", 0, header, memoryview(batch.data), 0))
        offset += batch.records
    return got


def batches(records: int, batch_kb: int) -> list[RawBatch]:
    """That many records of 200 B as fetched."""
    return fetched(workload.batches(workload.distinct_records(200)[:records], batch_kb, "none"))


def ready(*views: workload.View) -> ReadySubject:
    """The subject of the benchmark with these views."""
    loaded = workload.Loaded(workload.Source(), MANY, workload.distinct_records(200))
    epoch = workload.epoch([workload.Task("costs", loaded, views)])
    return make_ready(epoch, workload.Source().subject, NOW)


def decided(run: list[RawBatch], subject: ReadySubject) -> Step:
    """The router's step on these batches."""
    source = RunSource(names.subject_topic(workload.Source().subject), 0, 1, "costs", 0)
    return step(scan(run), subject, source, _TAGGER)


def costs() -> Iterable[tuple[str, str, float]]:
    """What, per what, and its microseconds."""
    whole, view = workload.View(1), workload.HALF[0]
    other = workload.View(1, view.fields[::2] if view.fields else None, "year", 2022)
    one, many = batches(1, 16), batches(MANY, 256)
    small, single = batches(MANY, 16), batches(MANY, 10_000)
    data = many[0].data
    yield "header parsed", "source batch", cost_us(lambda: parse(data))
    yield "CRC-32C of 256 KB", "source batch", cost_us(lambda: crc(data))
    by_batch = [cost_us(lambda run=run: scan(run)) for run in (single, small)]
    yield "placed and scanned", "source batch", (by_batch[1] - by_batch[0]) / (len(small) - len(single))
    subject = ready(whole)
    yield "decided, one view of whole records", "run of records", cost_us(lambda: decided(one, subject))
    subjects = [ready(), ready(view), ready(view, other)]
    fixed = [cost_us(lambda s=s: decided(one, s)) for s in subjects]
    yield "projected, filtered and masked", "view and run", statistics.mean(b - a for a, b in pairwise(fixed))
    entry = decided(many, subject).entry
    yield "ledger entry of 8,192 records encoded", "run of records", cost_us(lambda: encode(entry))
    made = workload.batches(workload.distinct_records(200), 256, "none")[0]
    stamped = cost_us(lambda: stamp(made.head, made.body, 1, 0, 0, True))
    yield "stamped, with CRC-32C of 256 KB", "delivered batch and reader", stamped
    yield "header copied", "delivered batch and further reader", cost_us(made.twin)
    for what, of in (("whole records, one view", subject), ("projected, filtered and masked, one view", subjects[1])):
        slope = (cost_us(lambda of=of: decided(many, of)) - cost_us(lambda of=of: decided(one, of))) / MANY
        yield f"kernels: {what}", "record", slope


def main() -> None:
    """Print the table."""
    lines = [[f"{per}: {what}", f"{us:,.2f}" if us < 10 else f"{us:,.0f}"] for what, per, us in costs()]
    print(markdown(["per", "µs"], lines))


if __name__ == "__main__":
    main()
