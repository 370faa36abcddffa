"""`exchange import`: makes a first contract from what a cluster already has."""

from __future__ import annotations

from collections.abc import Sequence

import click

from exchange.cli.options import output_option, show_json, today
from exchange.cli.say import say
from exchange.contract.load import examine
from exchange.plan.importing import import_contract
from exchange.plan.starter import DEFAULT_PATTERN
from exchange.settings import Settings


@click.command("import")
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    default=(DEFAULT_PATTERN,),
    show_default=True,
    help="How topics are named, such as {department}_{subject}; give it again for more.",
)
@click.option("--force", is_flag=True, help="Overwrite the contract and its schemas.")
@output_option
def import_(patterns: Sequence[str], force: bool, output: str) -> None:
    """Write a first contract for the topics and registered schemas of the cluster.

    The contract goes to the file named by EXCHANGE_CONTRACT, schemas next to it. Every subject is closed and has no
    grants; FILL-IN marks what only people know. Nothing is changed on the cluster.
    """
    settings = Settings()
    starter, files = import_contract(settings, patterns, force=force)
    problems = examine(settings.contract, today()).problems
    if output == "json":
        facts = {
            "files": files,
            "subjects": starter.subjects,
            "unmapped": starter.unmapped,
            "notes": starter.notes,
            "blanks": starter.blanks,
            "problems": problems,
        }
        show_json(facts)
        return
    for topic, reason in starter.unmapped.items():
        say(f"left out: topic {topic} {reason}")
    for note in starter.notes:
        say(f"note: {note}", "yellow")
    for line, key in starter.blanks.items():
        click.echo(f"{settings.contract}:{line}: to be filled in: {key}")
    click.echo(
        f"{settings.contract} is written. Subjects: {len(starter.subjects)}; mistakes that are left: {len(problems)}"
    )
    click.echo("Fill in its blanks, then run `exchange validate`.")
