"""`exchange router`: deliver records to the readers that have a grant."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from exchange import names
from exchange.audit.gaps import open_gaps
from exchange.bus.connection import connect
from exchange.cli.daemon import daemon, metrics_port_option
from exchange.cli.options import confirm, output_option, show_gaps, yes_option
from exchange.cli.say import say
from exchange.epochs import Published, latest_epoch
from exchange.gap import Gap
from exchange.grants.desk import operator
from exchange.grants.life import plain
from exchange.keys import ledger_key, pseudonym_key
from exchange.router.gaps import chosen, go_on
from exchange.router.loop import Limits, Router
from exchange.settings import Settings

_DEFAULTS = Limits()


@click.group()
def router() -> None:
    """Deliver records to the readers that have a grant."""


@router.command()
@click.option("--instance", default="1", show_default=True, help="Name of this router; each router needs another one.")
@click.option(
    "--gather-ms",
    default=_DEFAULTS.max_wait_s * 1000,
    show_default=True,
    type=click.FloatRange(0, 1000),
    help="Time between the starts of transactions while few records come; fewer transactions cost less.",
)
@metrics_port_option
def run(instance: str, gather_ms: float, metrics_port: int) -> None:
    """Run one router until it is stopped; start several, with different names, to share the work."""
    settings = Settings()
    cluster = connect(settings, f"exchange.router.{instance}", names.ROUTER_PRINCIPAL)
    limits = Limits(max_wait_s=gather_ms / 1000)
    worker = Router(cluster, instance, ledger_key(settings), pseudonym_key=pseudonym_key(settings), limits=limits)
    with daemon(settings, metrics_port, worker.health) as stop:
        worker.run(stop)


@router.command()
@output_option
def gaps(output: str) -> None:
    """Show where routers stand still because records were deleted before a router decided them.

    Exit status 2 if there is such a gap.
    """
    cluster = connect(Settings(), "exchange.router.gaps", names.ADMIN_PRINCIPAL)
    show_gaps(open_gaps(cluster, latest_epoch(cluster)), output)


@router.command("accept-gap")
@click.argument("places", metavar="PLACE...", nargs=-1, required=True)
@click.option("--reason", default="", help="Why the records are gone; it stays in the contract's history.")
@yes_option
def accept_gap(places: tuple[str, ...], reason: str, yes: bool) -> None:
    """Let the routers go on after gaps: no reader gets what is missing there, and the ledger says so.

    A PLACE is <topic>/<partition>, as `exchange router gaps` shows it. If the owner still has the records, ask the
    owner to publish them again afterwards.
    """
    settings = Settings()
    plain(reason, "the reason", remedy="give it with --reason")
    cluster = connect(settings, "exchange.apply", names.ADMIN_PRINCIPAL)

    def choose(found: Published | None) -> list[Gap]:
        wanted = chosen(open_gaps(cluster, found), places)
        for gap in wanted:
            say(str(gap))
        confirm("Go on after this?", yes=yes, look="`exchange router gaps`")
        return wanted

    accepted, passed = go_on(cluster, choose, operator(settings), reason, datetime.now(UTC))
    click.echo(f"Epoch {accepted.epoch.number} accepts it. {passed.text}")
