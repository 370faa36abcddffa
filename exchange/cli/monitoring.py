"""`exchange monitoring`: dashboards and alert rules for your monitoring system."""

from __future__ import annotations

from pathlib import Path

import click

from exchange.cli.say import counted, say
from exchange.monitoring.export import contents
from exchange.monitoring.export import export as write
from exchange.monitoring.grafana import RUNBOOKS


@click.group()
def monitoring() -> None:
    """Write dashboards for Grafana and alert rules for Prometheus."""


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

    They fit the metrics of this version: run this again after an update, with --force. Without --force, nothing is
    written if a file exists with other content. On the dashboards, people choose the data source, the job and more.
    """
    texts = contents(selector, runbooks)
    written = write(folder, texts, force=force)
    for path in written:
        say(str(path))
    click.echo(f"{counted(len(written), 'file')} written, {len(texts) - len(written)} were there already")
    if runbooks == RUNBOOKS:
        click.echo(f"Alerts and panels link to {RUNBOOKS}: give --runbooks to make that a link that opens.")
