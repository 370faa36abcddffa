"""`exchange city`: the databases of a fictional city."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from exchange.cli.options import output_option, show_json, today
from exchange.contract.load import load
from exchange.demo.city.make import Manifest, make
from exchange.settings import Settings

RECORDS = 200_000
SEED = 440100


@click.group()
def city() -> None:
    """Make the databases of a fictional city, to try the exchange with."""


@city.command("make")
@click.option("--records", type=click.IntRange(min=1_000), default=RECORDS, show_default=True, help="About how many.")
@click.option("--seed", type=int, default=SEED, show_default=True, help="Another seed is another city.")
@click.option("--force", is_flag=True, help="Replace what the tables hold.")
@output_option
def make_command(records: int, seed: int, force: bool, output: str) -> None:
    """Fill the database of every department, as its connector names it.

    The same seed and size make the same rows; a city that exists already is left alone.
    """
    started = time.monotonic()
    manifest, made = build(Settings(), records=records, seed=seed, force=force)
    took_s = time.monotonic() - started
    if output == "json":
        rows = {subject: held.rows for subject, held in manifest.registers.items()}
        show_json({"made": made, "seed": seed, "rows": rows, "seconds": round(took_s, 1)})
    elif made:
        rate = manifest.rows / took_s
        click.echo(f"{manifest.rows:,} rows in {len(manifest.registers)} registers; {rate:,.0f} rows/s")
    else:
        click.echo(f"the databases hold this city already: {manifest.rows:,} rows; nothing changed")


def build(settings: Settings, *, records: int, seed: int, force: bool = False) -> tuple[Manifest, bool]:
    """Make the city with a progress bar on stderr."""
    loaded = load(settings.contract, today())
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("city", total=records)

        def report(subject: str, rows: int) -> None:
            progress.update(task, description=subject, advance=rows)

        return make(loaded, settings.connectors, settings.home, records=records, seed=seed, force=force, report=report)
