"""`exchange monitoring`: dashboards and alert rules for the monitoring system that is there."""

from __future__ import annotations

from pathlib import Path

import click

from exchange.cli.say import counted, say
from exchange.monitoring.export import contents
from exchange.monitoring.export import export as write
from exchange.monitoring.grafana import RUNBOOKS


@click.group()
def monitoring() -> None:
    """Dashboards for Grafana and alert rules for Prometheus."""


@monitoring.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--selector",
    default="",
    metavar="MATCHERS",
    help='Label matchers that select the daemons in the rules, such as \'job="bus",env="production"\'. Needed if '
    "Prometheus watches several exchanges, or calls the job otherwise than `exchange`.",
)
@click.option(
    "--runbooks",
    metavar="URL",
    default=RUNBOOKS,
    show_default=True,
    help="Where your people find that page: alerts and panels link into it.",
)
@click.option("--force", is_flag=True, help="Overwrite files that have another content.")
def export(folder: Path, selector: str, runbooks: str, force: bool) -> None:
    """Write dashboards, alert rules and an example of Prometheus' configuration to DIR.

    Made for the metrics of this version: run it again after an update, with --force. Without it,
    nothing is written if a file is there with another content. On the dashboards the data source,
    the job and more are chosen on the page.
    """
    texts = contents(selector, runbooks)
    written = write(folder, texts, force=force)
    for path in written:
        say(str(path))
    click.echo(f"{counted(len(written), 'file')} written, {len(texts) - len(written)} were there already")
    if runbooks == RUNBOOKS:
        click.echo(f"Alerts and panels link to {RUNBOOKS}: give --runbooks to make that a link that opens.")
