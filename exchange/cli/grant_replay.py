"""`exchange grant replay`: deliver retained records again, or for the first time."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from exchange import names
from exchange.bus.connection import connect
from exchange.cli.grant_desk import complete_grant
from exchange.cli.options import Moment, confirm, output_option, say_time, show_json, yes_option
from exchange.contract.model import Grant
from exchange.epochs import epoch_in_force
from exchange.keys import ledger_key_file, load, pseudonym_key_there
from exchange.plan.find import administrators
from exchange.replay.ask import ask, keyed, watch
from exchange.replay.due import Done, Order, Survey, order_of
from exchange.replay.replay import DEFAULT_RATE, Replay
from exchange.settings import Settings


@click.command()
@click.argument("grant", metavar="ID", shell_complete=complete_grant)
@click.option("--from", "from_ms", type=Moment(), help="From the first record of this time or later on.")
@click.option(
    "--until",
    "until_ms",
    type=Moment(end=True),
    help="Only records before this time; a day is included. Default: up to now.",
)
@click.option("--again", is_flag=True, help="Also what the grant has delivered already.")
@click.option("--id", "id_", help="Name of this replay. Default: one that follows from the grant and the options.")
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    default=DEFAULT_RATE,
    show_default=True,
    help="Most records a second; at most half of the grant's quota.",
)
@yes_option
@output_option
def replay(
    grant: str,
    from_ms: int | None,
    until_ms: int | None,
    again: bool,
    id_: str | None,
    rate: int,
    yes: bool,
    output: str,
) -> None:
    """Deliver what grant ID has never delivered of the records of a period that its source still keeps.

    Records are decided under the contract as it is now: use it to give a new grant its history, to deliver what a quota
    withheld, or what did not pass before. Each record is delivered once, in order, marked as a replay for the reader
    and in the ledger. Times are those of the records (YYYY-MM-DD or YYYY-MM-DDTHH:MM, Asia/Shanghai unless a zone is
    given). If it is killed or interrupted, the same command goes on where it was.

    If the subject has a key, give no times: the routers deliver or withdraw the newest version of every row, until the
    reader holds what the grant gives. They go on even if this command ends.
    """
    settings = Settings()
    cluster = connect(settings, "exchange.router.replay", names.ROUTER_PRINCIPAL)
    if found_keyed := keyed(epoch_in_force(cluster), grant, datetime.now(UTC)):
        if from_ms is not None or until_ms is not None:
            raise click.UsageError(f"{found_keyed.subject} has a key: leave out --from and --until")
        _resynchronise(settings, found_keyed, id_, again=again, yes=yes, output=output)
        return
    if from_ms is None:
        raise click.UsageError("say from when on, with --from")
    order = order_of(grant, from_ms, until_ms, again=again, id_=id_)
    key = load(ledger_key_file(settings))
    job = Replay(cluster, order, key, pseudonym_key=pseudonym_key_there(settings), rate=rate)
    with Console(stderr=True).status("looking at source and ledger …"):
        found = job.survey(epoch_in_force(cluster))
    _show(order, found, rate)
    confirm("Deliver?", yes=yes, look="what is shown")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("records decided", total=found.due)
        done = job.run(lambda records: progress.update(task, advance=records))
    _tell(order, done, output)


def _resynchronise(settings: Settings, grant: Grant, id_: str | None, *, again: bool, yes: bool, output: str) -> None:
    what = "every row that it gives, again" if again else "the rows that it gives and its reader does not hold"
    click.echo(f"Grant {grant.id}: {what}; rows that it does not give are withdrawn.", err=True)
    confirm("Have the routers do this?", yes=yes, look="what is shown")
    resync = ask(administrators(settings), grant, id_, again=again, now=datetime.now(UTC))
    cluster = connect(settings, "exchange.router.replay", names.ROUTER_PRINCIPAL)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    read = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("records read", total=None)
        for read, total in watch(cluster, grant.subject, resync.id):
            progress.update(task, completed=read, total=total)
    if output == "json":
        show_json({"id": resync.id, "grant": grant.id, "records": read})
        return
    click.echo(f"{resync.id} is complete: {read:,} records read. {grant.reader} holds what the grant gives.")


def _show(order: Order, found: Survey, rate: int) -> None:
    until = "now" if order.until_ms is None else say_time(order.until_ms)
    what = "all that passes, again" if order.again else "what the grant has never delivered"
    click.echo(f"Replay {order.id}: grant {order.grant}, {say_time(order.from_ms)} to {until}, {what}.", err=True)
    click.echo(
        f"{found.due:,} of {found.offsets:,} records in {len(found.windows)} partitions are to be decided, "
        f"in {found.due / rate:,.0f} s at least.",
        err=True,
    )
    if found.done.records:
        click.echo(f"It goes on after {found.done.records:,} records that it has decided before.", err=True)


def _tell(order: Order, done: Done, output: str) -> None:
    if output == "json":
        show_json({"id": order.id, "grant": order.grant, **asdict(done)})
        return
    withheld = ", ".join(f"{count:,} {reason}" for reason, count in sorted(done.withheld.items())) or "none"
    click.echo(
        f"Replay {order.id} is complete: {done.records:,} records decided, {done.delivered:,} delivered; "
        f"withheld: {withheld}; not valid: {done.quarantined:,}."
    )
    if done.withheld["quota"]:
        click.echo(f"When the quota allows, deliver the rest by another replay: --id {order.id}.2")
