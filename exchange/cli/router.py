"""`exchange router`: deliver records to the readers that have a grant."""

from __future__ import annotations

import click

from exchange import credentials
from exchange.cli.connection import connect
from exchange.cli.daemon import daemon, metrics_port_option
from exchange.keys import ledger_key_file, load_or_create, pseudonym_key
from exchange.router.loop import Limits, Router
from exchange.settings import Settings

_DEFAULTS = Limits()


@click.group()
def router() -> None:
    """Deliver records to the readers that have a grant."""


@router.command()
@click.option("--instance", default="1", show_default=True, help="Name of this router; each needs one of its own.")
@click.option(
    "--gather-ms",
    default=_DEFAULTS.max_wait_s * 1000,
    show_default=True,
    type=click.FloatRange(0, 1000),
    help="Longest wait, after a first batch, for more to share its transaction.",
)
@metrics_port_option
def run(instance: str, gather_ms: float, metrics_port: int) -> None:
    """Run one router until it is stopped; start several, with different names, to share the work."""
    settings = Settings()
    cluster = connect(settings, f"exchange.router.{instance}", credentials.ROUTER)
    ledger_key = load_or_create(ledger_key_file(settings))
    limits = Limits(max_wait_s=gather_ms / 1000)
    worker = Router(cluster, instance, ledger_key, pseudonym_key=pseudonym_key(settings), limits=limits)
    with daemon(settings, metrics_port, worker.health) as stop:
        worker.run(stop)
