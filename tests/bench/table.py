"""`python -m tests.bench.table build/bench.json`: the results as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from tests.bench import database_tables, results
from tests.bench.candidates import CANDIDATES, ROUTER, WITHOUT_LEDGER
from tests.bench.results import Case, Run


def markdown(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def name(case: Case) -> str:
    """The case in a few words."""
    codec = "" if case.codec == "none" else f", {case.codec}"
    return f"{case.workload}, {case.record_bytes} B, {case.batch_kb} KB{codec}"


def throughput(of: Sequence[results.Row]) -> Iterable[Sequence[str]]:
    """Lines of the main table."""
    for row in of:
        ours = [row.ours.get(c) if c != row.candidate else None for c in (ROUTER, WITHOUT_LEDGER)]
        ratios = [f"{ratio:.2f} ×" if ratio else "" for ratio in ours]
        numbers = [f"{row.records_per_s:,.0f}", f"{row.cpu_s_per_million:.2f}", *ratios, str(row.rounds)]
        yield [name(row.case), row.title, *numbers]


THROUGHPUT = ("workload", "candidate", "records/s", "CPU s per million", "router is", "without ledger", "rounds")


def targets(of: Sequence[results.Row]) -> Iterable[Sequence[str]]:
    """Lines of the targets' table."""
    for v in results.verdicts(of):
        yield [name(v.case), v.what, f"{v.target:.2f}", f"{v.got:.2f}", "yes" if v.got >= v.target else "no"]


TARGETS = ("workload", "ratio", "target", "measured", "reached")


def medians(runs: Sequence[Run], workload: str) -> Iterable[tuple[Run, list[float]]]:
    """Per candidate and size of a curve: one of its runs, and the medians of rate and CPU."""
    grouped: dict[tuple[str, int, int], list[Run]] = {}
    for run in runs:
        if run.workload == workload:
            grouped.setdefault((run.candidate, run.readers, run.subjects), []).append(run)
    for _, of_size in sorted(grouped.items()):
        yield (
            of_size[0],
            [
                statistics.median(run.records_per_s for run in of_size),
                statistics.median(run.cpu_s_per_million for run in of_size),
            ],
        )


def curve(runs: Sequence[Run], workload: str) -> Iterable[Sequence[str]]:
    """Lines of a curve."""
    for run, (rate, cpu) in medians(runs, workload):
        size = run.readers if workload == "readers" else run.subjects
        yield [CANDIDATES[run.candidate].title, str(size), f"{rate:,.0f}", f"{cpu:.2f}"]


_LATENCY = ("records_per_s", "p50_ms", "p99_ms", "core_share", "cpu_s_per_million")
LATENCY = ("candidate", "records/s", "p50 ms", "p99 ms", "of a core", "CPU s per million")


def latency(runs: Sequence[Run], workload: str) -> Iterable[Sequence[str]]:
    """Lines of the tables of latency and trickle."""
    of: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        if run.workload == workload:
            of.setdefault((run.candidate, round(run.records_per_s, -2)), []).append(run)
    for (candidate, _), same in sorted(of.items(), key=lambda item: (item[0][1], item[0][0])):
        rate, p50, p99, share, cpu = (statistics.median(getattr(run, name) for run in same) for name in _LATENCY)
        yield [CANDIDATES[candidate].title, f"{rate:,.0f}", f"{p50:.0f}", f"{p99:.0f}", f"{share:.1%}", f"{cpu:.1f}"]


HOLDINGS = ("rows", "readers", "router back after s", "bytes a row", "process MB")


def holdings(runs: Sequence[Run]) -> Iterable[Sequence[str]]:
    """Lines of the table of what is remembered of rows."""
    found = [run for run in runs if run.rows and run.restart_s and run.row_bytes and run.memory_mb]
    for run in sorted(found, key=lambda run: (run.rows, run.readers)):
        numbers = (f"{run.restart_s:.1f}", f"{run.row_bytes:.1f}", f"{run.memory_mb:,.0f}")
        yield [f"{run.rows:,}", str(run.readers), *numbers]


def document(runs: Sequence[Run]) -> str:
    """All tables that the runs give."""
    rows = results.rows(runs)
    cost = ([name(case), f"{share:.0%}"] for case, share in results.ledger_costs(rows))
    sections = [
        ("Throughput and processor time", THROUGHPUT, throughput(rows)),
        ("Targets", TARGETS, targets(rows)),
        ("What the ledger costs", ("workload", "of the throughput"), cost),
        (
            "Latency, publish to readable",
            LATENCY,
            latency(runs, "latency"),
        ),
        ("A trickle", LATENCY, latency(runs, "trickle")),
        ("1 to 30 readers", ("candidate", "readers", "records/s", "CPU s per million"), curve(runs, "readers")),
        ("1 to 400 subjects", ("candidate", "subjects", "records/s", "CPU s per million"), curve(runs, "subjects")),
        ("Rows that readers hold", HOLDINGS, holdings(runs)),
        *database_tables.sections(runs),
    ]
    made = []
    for title, header, body in sections:
        if lines := list(body):
            made.append(f"### {title}\n\n{markdown(header, lines)}")
    return "\n".join(made)


@click.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=results.OUT)
@click.option(
    "--into",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Page that has them between the marks `bench: begin` and `bench: end`.",
)
def main(path: Path, into: Path | None) -> None:
    """Print the results of PATH as Markdown, or put them between the marks of a page."""
    made = document(results.read(path))
    if into is None:
        click.echo(made)
        return
    before, begin, rest = into.read_text().partition("<!-- bench: begin -->\n")
    _, end, after = rest.partition("<!-- bench: end -->")
    if not end:
        raise click.ClickException(f"{into} has no bench marks")
    into.write_text(f"{before}{begin}{made}{end}{after}")


if __name__ == "__main__":
    main()
