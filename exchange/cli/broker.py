"""`exchange broker`: the local Kafka on the command line."""

from __future__ import annotations

import sys
from functools import partial

import click

from exchange.broker import BrokerStatus, configured
from exchange.cli.options import output_option, show_json
from exchange.settings import Settings

_port = click.option(
    "--port", type=click.IntRange(1, 65535), help="Default: that of EXCHANGE_BOOTSTRAP_SERVERS (9092)."
)


@click.group()
def broker() -> None:
    """Start, stop and inspect the local Kafka.

    It has one node and is meant for a first run and for tests. In production, use your own Kafka and name it in
    EXCHANGE_BOOTSTRAP_SERVERS. Data, log and jars are in EXCHANGE_HOME/broker.
    """


@broker.command()
@_port
@output_option
def start(port: int | None, output: str) -> None:
    """Start it, and return once clients can connect. Does nothing if it already runs."""
    _show(configured(Settings(), port).start(progress=partial(click.echo, err=True)), output)


@broker.command()
@output_option
def stop(output: str) -> None:
    """Stop it; the data stays. Does nothing if it does not run."""
    kafka = configured(Settings())
    kafka.stop()
    _show(kafka.status(), output)


@broker.command()
@output_option
def status(output: str) -> None:
    """Say whether it runs, and where. Exit status 3 if it does not."""
    found = configured(Settings()).status()
    _show(found, output)
    if found.state != "running":
        sys.exit(3)


def _show(found: BrokerStatus, output: str) -> None:
    if output == "json":
        show_json(found)
    elif found.state == "stopped":
        click.echo(f"stopped; data kept in {found.data}")
    else:
        click.echo(f"{found.state} on {found.bootstrap_servers} (pid {found.pid}), log {found.log}")
