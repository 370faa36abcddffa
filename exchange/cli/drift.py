"""`exchange drift`: is the cluster still as the contract wants it?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from exchange.cli.contract import CHANGES_STATUS
from exchange.cli.options import output_option, show_json
from exchange.cli.plan_words import in_words
from exchange.cli.say import say
from exchange.plan.changes import PublishEpoch
from exchange.plan.drift import find_drift
from exchange.plan.find import find
from exchange.settings import Settings


@click.command()
@output_option
@click.option("--accept", metavar="PRINCIPAL", multiple=True, help="Its own access rules are in order: User:backup.")
def drift(output: str, accept: Sequence[str]) -> None:
    """Say how the cluster differs from the contract; change nothing.

    Exit status 3 if there is drift, 0 if there is none.
    """
    found = find(Settings())
    result = find_drift(found.plan, found.loaded, found.actual, accept)
    epochs = [change for change in found.plan.changes if isinstance(change, PublishEpoch)]
    if output == "json":
        told = asdict(result) | {"drift": bool(result.findings), "epoch": [t for e in epochs for t in in_words(e)]}
        show_json(told)
    else:
        for finding in result.findings:
            say(f"{finding.kind} {finding.target}: {finding.text}", None if finding.mended else "red")
        for epoch in epochs:
            for line in in_words(epoch):
                say(f"    {line}")
        for note in result.notes:
            say(f"note: {note}", "yellow")
        count = len(result.findings)
        mended = sum(finding.mended for finding in result.findings)
        click.echo(f"{count} differences, of which `exchange apply` mends {mended}." if count else "No drift.")
    sys.exit(CHANGES_STATUS if result.findings else 0)
