"""`exchange broker`: the local Kafka on the command line."""

from __future__ import annotations

import sys
from functools import partial

import click

from exchange.broker import BrokerStatus, LocalBroker
from exchange.cli.options import output_option, show_json
from exchange.errors import ConfigError
from exchange.settings import Settings

_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
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
    """Start the broker, and return once clients can connect. Harmless if it already runs."""
    _show(local(port).start(progress=partial(click.echo, err=True)), output)


@broker.command()
@output_option
def stop(output: str) -> None:
    """Stop the broker; its data stays. Harmless if it does not run."""
    kafka = local()
    kafka.stop()
    _show(kafka.status(), output)


@broker.command()
@output_option
def status(output: str) -> None:
    """Say whether the broker runs, and where. Exit status 3 if it does not."""
    found = local().status()
    _show(found, output)
    if found.state != "running":
        sys.exit(3)


def local(port: int | None = None) -> LocalBroker:
    """The local Kafka of the settings; raises ConfigError if they name another machine."""
    settings = Settings()
    return LocalBroker(
        settings.home, port or _configured_port(settings.bootstrap_servers), java=settings.java, maven=settings.maven
    )


def _configured_port(bootstrap_servers: str) -> int:
    host, _, port = bootstrap_servers.split(",", maxsplit=1)[0].rpartition(":")
    if host.strip("[]") not in _LOCAL_HOSTS or not port.isdigit():
        raise ConfigError(
            f"EXCHANGE_BOOTSTRAP_SERVERS names {bootstrap_servers}, which is not on this machine",
            remedy="unset it to use the local broker, or give --port",
        )
    return int(port)


def _show(found: BrokerStatus, output: str) -> None:
    if output == "json":
        show_json(found)
    elif found.state == "stopped":
        click.echo(f"stopped; data kept in {found.data}")
    else:
        click.echo(f"{found.state} on {found.bootstrap_servers} (pid {found.pid}), log {found.log}")
