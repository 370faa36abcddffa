"""`exchange grant simulate`: run a draft grant over retained records, and deliver nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from exchange import names
from exchange.bus.connection import connect
from exchange.cli.grant_desk import complete_request, with_desk
from exchange.cli.options import Moment, output_option, show_json
from exchange.cli.table import table
from exchange.contract.model import Epoch, Grant
from exchange.epochs import epoch_in_force
from exchange.errors import ConfigError
from exchange.grants.desk import Desk
from exchange.replay.hypothesis import read_draft
from exchange.replay.simulate import Given, Scope, Simulated
from exchange.replay.simulate import simulate as run_draft


@click.command()
@click.argument("draft", metavar="FILE|NUMBER", shell_complete=complete_request)
@click.option("--from", "from_ms", type=Moment(), help="From the first record of this time or later on.")
@click.option("--until", "until_ms", type=Moment(end=True), help="Only records before this time; a day is included.")
@click.option("--limit", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="Most records to read.")
@click.option("--sample", type=click.IntRange(min=0, max=100), default=5, show_default=True, help="Records to show.")
@output_option
@with_desk
def simulate(
    desk: Desk, draft: str, from_ms: int | None, until_ms: int | None, limit: int, sample: int, output: str
) -> None:
    """Run a draft over the records that its subject keeps: what it would give, and what would change for its reader.

    FILE has one grant, written as in the contract file; `id`, `purpose` and the period may be left out. NUMBER is the
    number of a request. The command decides as routers do, but does not apply the quota. If there are more
    than --limit records, the newest of each partition are used. The sample shows for each field what kind of value it
    has and how long a text is, but never the value. If the subject has a key, the command counts the rows that the
    reader would get and lose, by their newest versions.
    """
    cluster = connect(desk.settings, "exchange.simulate", names.LEDGER_PRINCIPAL)
    epoch = epoch_in_force(cluster)
    grant = _grant(desk, draft, epoch)
    scope = Scope(from_ms, until_ms, limit, sample)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} records"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        found = run_draft(
            cluster, epoch, grant, desk.now, scope, os.urandom(32), lambda n: progress.update(task, advance=n)
        )
    if output == "json":
        show_json(_plain(found))
    else:
        _show(found)


def _grant(desk: Desk, draft: str, epoch: Epoch) -> Grant:
    path = Path(draft)
    if draft.isdecimal() and not path.exists():
        with desk.store() as store:
            asked = store.request(int(draft)).grant.model_dump_json(by_alias=True)
        # The contract in force may differ from the file against which the request was checked.
        return read_draft(asked.encode(), f"request {draft}, for the contract in force,", epoch, desk.today)
    try:
        data = path.read_bytes()
    except OSError as error:
        remedy = "give a file with one grant, or the number of a request"
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error
    return read_draft(data, str(path), epoch, desk.today)


def _plain(found: Simulated) -> dict[str, Any]:
    def side(given: Given) -> dict[str, Any]:
        return {
            "grant": given.grant.id,
            "fields": given.described,
            "delivered": given.delivered,
            "withheld": dict(given.withheld),
            "persons": len(given.persons.tags()),
        }

    return {
        "subject": found.draft.grant.subject,
        "reader": found.draft.grant.reader,
        "records": found.records,
        "quarantined": found.quarantined,
        "draft": side(found.draft),
        "now": side(found.now) if found.now else None,
        "records_gained": found.gained,
        "records_lost": found.lost,
        "persons_gained": found.persons_gained,
        "persons_lost": found.persons_lost,
        "rows_gained": found.rows_gained,
        "rows_withdrawn": found.withdrawn,
        "sample": found.sample,
    }


def _show(found: Simulated) -> None:
    draft, now = found.draft, found.now
    click.echo(f"{draft.grant.subject} to {draft.grant.reader}: {found.records:,} records read, "
               f"{found.quarantined:,} of them not valid.")  # fmt: skip
    sides = [("draft", draft), *([(f"in force: {now.grant.id}", now)] if now else [])]
    table(
        ("", "delivered", "withheld", "persons"),
        [
            (name, side.delivered, ", ".join(f"{n:,} {why}" for why, n in sorted(side.withheld.items())),
             len(side.persons.tags()))
            for name, side in sides
        ],
    )  # fmt: skip
    for what, fields in (("gained", found.fields_gained), ("lost", found.fields_lost)):
        click.echo(f"Fields {what}: {', '.join(fields) or 'none'}")
    click.echo(f"Records gained: {found.gained:,}, lost: {found.lost:,}. "
               f"Persons gained: {found.persons_gained:,}, lost: {found.persons_lost:,}.")  # fmt: skip
    if found.rows_gained or found.withdrawn:
        click.echo(f"Rows that the reader would get: {found.rows_gained:,}, rows withdrawn: {found.withdrawn:,}.")
    if found.sample:
        click.echo("Shapes of some of the records that it would deliver:")
        table(list(found.sample[0]), [[one.get(name, "") for name in found.sample[0]] for one in found.sample])
