"""Scaling curves: one view for more and more readers, the same records over more and more subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from tests.bench.candidates import CANDIDATES, LIMIT, ROUTER
from tests.bench.results import Run
from tests.bench.rig import Rig
from tests.bench.workload import Source, Task, View

READERS = (1, 3, 10, 30)
SUBJECTS = (1, 20, 100, 400)


def readers(broker: Rig, candidates: Sequence[str], records: int, seconds: float, *, quick: bool) -> Iterator[Run]:
    """The router, and the limit for what producing the bytes alone costs, for 1 to 30 readers."""
    [loaded] = broker.load([Source()], records)
    for count in (1, 30) if quick else READERS:
        task = Task("readers", loaded, (View(count),))
        for candidate in (c for c in (ROUTER, LIMIT) if c in candidates):
            yield from _one(broker, candidate, [task], seconds)


def subjects(broker: Rig, candidates: Sequence[str], records: int, seconds: float, *, quick: bool) -> Iterator[Run]:
    """The router on as many records in all, spread over 1 to 400 subjects of one reader each."""
    if ROUTER not in candidates:
        return
    for count in (1, 100) if quick else SUBJECTS:
        sources = [Source(suffix=f"-of{count}-{i}") for i in range(count)]
        loaded = broker.load(sources, records // count)
        yield from _one(broker, ROUTER, [Task("subjects", one, (View(1),)) for one in loaded], seconds)
        broker.forget(loaded)


def _one(broker: Rig, candidate: str, tasks: Sequence[Task], seconds: float) -> Iterator[Run]:
    first = tasks[0]
    what = f"{first.name}: {candidate}, {first.readers} readers, {len(tasks)} subjects"
    try:
        got = broker.run(CANDIDATES[candidate], tasks, f"{first.name}-{candidate}", seconds)
    except Exception as error:
        click.echo(f"{what} FAILED: {error}", err=True)
        return
    click.echo(f"{what} {got.records_per_s:,.0f} records/s, {got.cpu_s_per_million:.2f} CPU s per million", err=True)
    source = first.source
    yield Run(
        first.name,
        source.record_bytes,
        source.batch_kb,
        source.codec,
        first.readers,
        candidate,
        round(got.records_per_s),
        round(got.cpu_s_per_million, 2),
        1,
        len(tasks),
    )
