"""`make bench`: run every candidate, print medians and ratios, write build/bench.json."""

from __future__ import annotations

import itertools
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import pytest
from rich.console import Console
from rich.table import Table

from tests.bench import (
    capture,
    city,
    curves,
    database_tables,
    gone,
    holdings,
    java_peers,
    latency,
    results,
    sink,
    table,
    table_source,
    table_to_table,
)
from tests.bench.candidates import CANDIDATES, ROUTER
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import Rig, rig
from tests.bench.workload import ENTITY, VIEWS, Source, Task

EXTRAS = ("latency", "trickle", "readers", "subjects", "holdings")
DATABASE = {
    "C0": capture.measured,
    "C1": table_source.measured,
    "C2": sink.measured,
    "C3": table_to_table.measured,
    "gone": gone.measured,
    "city": city.measured,
}
SLOW = ("mirrormaker", "quix", "kafka-python")
"""Run once, and in the quick form only at the first case: their figure decides nothing."""


@dataclass(frozen=True)
class Choice:
    """What to run. A window ends after `seconds`, so that slow candidates count fewer records."""

    only: Sequence[str]
    candidates: Sequence[str]
    sizes: Sequence[int]
    batches: Sequence[int]
    codecs: Sequence[str]
    rounds: int
    records: int
    seconds: float
    ends: float
    """On the monotonic clock: no run begins after it."""
    quick: bool


def _listed(kind: Callable[[str], Any] = str, allowed: Sequence[Any] = ()) -> Callable[..., Any]:
    def parse(_context: click.Context, _option: click.Parameter, text: str | None) -> Sequence[Any]:
        chosen = [kind(word) for word in text.split(",")] if text else list(allowed)
        if unknown := [str(word) for word in chosen if word not in allowed]:
            raise click.BadParameter(f"{', '.join(unknown)}: not of {', '.join(map(str, allowed))}")
        return chosen

    return parse


@click.command()
@click.option("--quick", is_flag=True, help="The main cases only, once, in under 5 minutes.")
@click.option("--only", callback=_listed(allowed=(*VIEWS, *EXTRAS, *DATABASE)), help="Workloads, as W0,W3,latency.")
@click.option("--candidates", callback=_listed(allowed=tuple(CANDIDATES)), help="Candidates, as router,streams.")
@click.option("--sizes", callback=_listed(int, (200, 1000)), help="Record bytes, as 200,1000.")
@click.option("--batches", callback=_listed(int, (16, 256)), help="KB of a source batch, as 16,256.")
@click.option("--codecs", callback=_listed(allowed=("none", "lz4")), help="Codecs of source batches, as none,lz4.")
@click.option("--rounds", type=click.IntRange(1), help="How often each candidate runs. [default: 3, quick 1]")
@click.option("--records", type=click.IntRange(1000), help="Of each source. [default: 2,000,000, quick 1,000,000]")
@click.option("--seconds", type=click.FloatRange(0.5), help="Longest window of one run. [default: 10, quick 3]")
@click.option("--minutes", type=click.FloatRange(0.5), help="No run begins after these. [default: none, quick 4]")
def main(
    quick: bool,
    rounds: int | None,
    records: int | None,
    seconds: float | None,
    minutes: float | None,
    **lists: Any,
) -> None:
    """Measure the router beside its peers, all on one broker, in interleaved rounds."""
    if quick:
        lists |= {"sizes": lists["sizes"][:1], "codecs": lists["codecs"][:1]}
    began = time.monotonic()
    choice = Choice(
        **lists,
        rounds=rounds or (1 if quick else 3),
        records=records or (1_000_000 if quick else 2_000_000),
        seconds=seconds or (3.0 if quick else 10.0),
        ends=began + 60 * (minutes or (4.0 if quick else math.inf)),
        quick=quick,
    )
    # An end from outside must still stop the broker and the candidates.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runs: list[Run] = []
    results.OUT.parent.mkdir(exist_ok=True)
    with results.OUT.open("w") as out:
        for run in all_runs(choice):
            runs.append(run)
            out.write(run.as_json() + "\n")
            out.flush()
    report(runs)
    click.echo(f"\n{len(runs)} runs in {(time.monotonic() - began) / 60:.1f} minutes; every run: {results.OUT}")
    click.echo(f"as Markdown: python -m tests.bench.table {results.OUT}")


def all_runs(choice: Choice) -> Iterator[Run]:
    """Every run: those on one broker, then those for which a database is needed."""
    if set(choice.only) - set(DATABASE):
        with rig() as broker:
            yield from measured(broker, choice, ready(choice.candidates))
    for name, of_database in DATABASE.items():
        if name in choice.only and time.monotonic() < choice.ends:
            try:
                yield from of_database(choice.rounds, quick=choice.quick)
            except (java_peers.BuildFailedError, pytest.fail.Exception) as error:
                click.echo(f"{name} is left out: {error}", err=True)


def ready(candidates: Sequence[str]) -> list[str]:
    """Build and install what they need; those that cannot be are reported and left out."""
    made = []
    for candidate in candidates:
        try:
            CANDIDATES[candidate].prepare()
            made.append(candidate)
        except Exception as error:
            click.echo(f"{candidate} is left out: {error}", err=True)
    return made


def measured(broker: Rig, choice: Choice, candidates: Sequence[str]) -> Iterator[Run]:
    """Every run in turn; a failure is reported and the next one goes on."""
    plan = list(cases(choice, candidates))
    for number, (turn, source, workload, candidate) in enumerate(plan, 1):
        if time.monotonic() > choice.ends:
            click.echo(f"time is up: {len(plan) + 1 - number} runs of {len(plan)} are left out", err=True)
            break
        records = choice.records if source.record_bytes < 1000 else choice.records // 2
        [loaded] = broker.load([source], records)
        key = (ENTITY,) if source.changes and CANDIDATES[candidate].remembers else ()
        task = Task(workload, loaded, VIEWS[workload], key)
        where = f"[{number}/{len(plan)}] round {turn} {table.name(results.Case(workload, *_case(task)))}: {candidate}"
        try:
            got = broker.run(CANDIDATES[candidate], [task], candidate, choice.seconds)
        except Exception as error:
            click.echo(f"{where} FAILED: {_reason(error)}", err=True)
            continue
        click.echo(f"{where} {got.records_per_s:,.0f} records/s (over {got.counted:,} records)", err=True)
        yield Run(workload, *_case(task), candidate, round(got.records_per_s), round(got.cpu_s_per_million, 2), turn)
    for name in latency.RATES_PER_S:
        if name in choice.only and time.monotonic() < choice.ends:
            seconds = 8 if choice.quick else 20
            yield from latency.measured(broker, name, candidates, rounds=choice.rounds, seconds=seconds)
    if "readers" in choice.only and time.monotonic() < choice.ends:
        yield from curves.readers(broker, candidates, choice.records, choice.seconds, quick=choice.quick)
    if "subjects" in choice.only and time.monotonic() < choice.ends:
        yield from curves.subjects(broker, candidates, choice.records, choice.seconds, quick=choice.quick)
    if "holdings" in choice.only and ROUTER in candidates and time.monotonic() < choice.ends:
        yield from holdings.measured(broker, quick=choice.quick)


def _case(task: Task) -> tuple[int, int, str, int]:
    return task.source.record_bytes, task.source.batch_kb, task.source.codec, task.readers


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, CandidateFailedError) else f"{type(error).__name__}: {error}"


def cases(choice: Choice, candidates: Sequence[str]) -> Iterator[tuple[int, Source, str, str]]:
    """Round, source, workload and candidate of each run: rounds are the outermost."""
    sources = [
        Source(size, batch, codec)
        for size, codec, batch in itertools.product(choice.sizes, choice.codecs, choice.batches)
    ]
    for turn in range(1, choice.rounds + 1):
        for source in sources:
            for workload in VIEWS:
                for candidate in candidates:
                    if workload not in choice.only or workload not in CANDIDATES[candidate].workloads:
                        continue
                    first = workload == "W0" and source == sources[-1]
                    if candidate in SLOW and (turn > 1 or (choice.quick and not first)):
                        continue
                    if workload == "W4" and source != Source():
                        continue
                    yield turn, replace(source, changes=workload == "W4"), workload, candidate


def report(runs: Sequence[Run]) -> None:
    """Medians over the rounds and their ratios, in the terminal."""
    rows = results.rows(runs)
    costs = [[table.name(case), f"{share:.0%}"] for case, share in results.ledger_costs(rows)]
    for header, lines in (
        (table.THROUGHPUT, table.throughput(rows)),
        (table.TARGETS, table.targets(rows)),
        (("workload", "the ledger costs"), costs),
        (("latency", *table.LATENCY[1:]), table.latency(runs, "latency")),
        (("trickle", *table.LATENCY[1:]), table.latency(runs, "trickle")),
        (("readers' curve", "readers", "records/s", "CPU s per million"), table.curve(runs, "readers")),
        (("subjects' curve", "subjects", "records/s", "CPU s per million"), table.curve(runs, "subjects")),
        (table.HOLDINGS, table.holdings(runs)),
        *((header, lines) for _, header, lines in database_tables.sections(runs)),
    ):
        shown = Table(*header)
        for line in lines:
            shown.add_row(*line)
        if shown.row_count:
            Console(width=140).print(shown)


if __name__ == "__main__":
    main()
