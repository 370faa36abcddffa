"""`exchange import`: makes a first contract from what a cluster already has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from exchange import private
from exchange.cli.options import output_option, show_json, today
from exchange.cli.say import say
from exchange.contract.load import examine
from exchange.errors import ConfigError
from exchange.plan.apply import read_actual
from exchange.plan.find import administrators
from exchange.plan.starter import BLANK, DEFAULT_PATTERN, Starter, make_draft
from exchange.settings import Settings


class NothingToImportError(ConfigError):
    """No topic of the cluster can become a subject."""

    code = "nothing-to-import"
    remedy = "give a pattern that fits the topics' names"


class WouldOverwriteError(ConfigError):
    """A file that would be written exists already."""

    code = "would-overwrite"
    remedy = "name another contract in EXCHANGE_CONTRACT, or use --force"


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
    actual = read_actual(administrators(settings))
    draft = make_draft(actual.topics, actual.registry, patterns)
    if not draft.subjects:
        remedy = f"say how they are named with --pattern, as '{DEFAULT_PATTERN}'"
        raise NothingToImportError(f"none of {len(actual.topics)} topics matches a pattern", remedy=remedy)
    folder = settings.contract.parent
    files = {folder / name: text for name, text in draft.schemas.items()} | {settings.contract: draft.contract}
    _write(files, force=force)
    problems = examine(settings.contract, today()).problems
    if output == "json":
        facts = {
            "files": list(files),
            "subjects": draft.subjects,
            "unmapped": draft.unmapped,
            "notes": draft.notes,
            "blanks": _blanks(draft),
            "problems": problems,
        }
        show_json(facts)
        return
    for topic, reason in draft.unmapped.items():
        say(f"left out: topic {topic} {reason}")
    for note in draft.notes:
        say(f"note: {note}", "yellow")
    for line, key in _blanks(draft).items():
        click.echo(f"{settings.contract}:{line}: to be filled in: {key}")
    click.echo(
        f"{settings.contract} is written. Subjects: {len(draft.subjects)}; mistakes that are left: {len(problems)}"
    )
    click.echo("Fill in its blanks, then run `exchange validate`.")


def _blanks(draft: Starter) -> dict[int, str]:
    """The keys left blank, by line of the contract."""
    lines = enumerate(draft.contract.splitlines(), 1)
    return {n: line.strip(" -").split(":")[0] for n, line in lines if BLANK in line and not line.startswith("#")}


def _write(files: Mapping[Path, str], *, force: bool) -> None:
    """Write all of the files, the contract last; write none if one exists and may not be overwritten."""
    there = [path for path in files if path.exists()]
    if there and not force:
        message = f"{there[0]} is there already" + (f", and {len(there) - 1} more" if len(there) > 1 else "")
        raise WouldOverwriteError(message)
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            private.write(path, text.encode(), 0o666)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
