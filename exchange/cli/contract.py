"""Commands for the contract: validate, plan, apply, schema export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from exchange.cases.load import examine as examine_case
from exchange.cases.load import files as case_files
from exchange.cli import plan_words
from exchange.cli.options import confirm, output_option, show_json, today, yes_option
from exchange.cli.say import counted, say
from exchange.contract.json_schema import contract_schema
from exchange.contract.load import examine
from exchange.document.problem import Problem
from exchange.errors import ConfigError
from exchange.plan.changes import PARTS, Part
from exchange.plan.find import find, find_again, find_saved, save
from exchange.printable import printable
from exchange.router.enact import enact
from exchange.settings import Settings

CHANGES_STATUS = 3

_delete = click.option(
    "--delete", "delete", metavar="TOPIC", multiple=True, help="Delete this topic, which the contract does not have."
)


@click.command()
@output_option
@click.option(
    "--against",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The contract file as it was, with its schemas beside it: warn of every reader whom a schema change affects.",
)
def validate(output: str, against: Path | None) -> None:
    """Check the contract, its schemas and the departments' case types: every mistake with its line, path and remedy.

    The exit status is 0 if there is no error; warnings do not count.
    """
    settings = Settings()
    day = today()
    check = examine(settings.contract, day)
    cases = {path: examine_case(path, check.contract, day).problems for path in case_files(settings.connectors)}
    checked = [*check.problems, *(problem for problems in cases.values() for problem in problems)]
    errors = sum(problem.severity == "error" for problem in checked)
    of_contract = check.problems + (check.changes(examine(against, day)) if against else [])
    if output == "json":
        show_json([*of_contract, *({"file": path, **asdict(one)} for path in cases for one in cases[path])])
    else:
        for path, problems in {settings.contract: of_contract, **cases}.items():
            _show_problems(path, problems)
        if check.contract and not errors:
            c = check.contract
            types = f", {counted(len(cases), 'case type')}" if cases else ""
            click.echo(
                f"{counted(len(c.departments), 'department')}, {counted(len(c.subjects), 'subject')}, "
                f"{counted(len(c.grants), 'grant')}{types}: in order"
            )
        else:
            click.echo(f"{counted(errors, 'error')}, {counted(len(checked) - errors, 'warning')}")
    sys.exit(ConfigError.exit_status if errors else 0)


_only = click.option("--only", type=click.Choice(PARTS), multiple=True, help="Only this part; give it again for more.")


@click.command()
@output_option
@_delete
@_only
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `exchange apply FILE`."
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit status 3 if there is something to change.")
def plan(output: str, delete: Sequence[str], only: Sequence[Part], out: Path | None, detailed_exitcode: bool) -> None:
    """Show the difference between the contract and the cluster; change nothing."""
    found = find(Settings(), delete, only)
    if output == "json":
        show_json(plan_words.as_json(found.plan))
    else:
        plan_words.show(found.plan)
    if found.plan.refusals:
        sys.exit(ConfigError.exit_status)
    if out:
        save(found, out)
        click.echo(f"{out} has this plan.", err=True)
    sys.exit(CHANGES_STATUS if detailed_exitcode and found.plan.changes else 0)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@yes_option
@_delete
@_only
def apply(file: Path | None, yes: bool, delete: Sequence[str], only: Sequence[Part]) -> None:
    """Make the cluster what the contract says, and publish the contract as the next epoch.

    With a FILE that `exchange plan --out` saved, do exactly that, provided that nothing has changed since. Safe to run
    again, even after an interruption. Nothing is deleted unless --delete names it. Returns when every router has taken
    the epoch or was fenced: from then on, no record is released under the previous epoch.
    """
    apply_contract(Settings(), file, yes=yes, delete=delete, only=only)


def apply_contract(
    settings: Settings, file: Path | None = None, *, yes: bool, delete: Sequence[str] = (), only: Sequence[Part] = ()
) -> None:
    """Do what `exchange apply` does, with its words."""
    if file and (delete or only):
        raise ConfigError("a saved plan says itself what it is about", remedy="leave --delete and --only out")
    found = find_saved(settings, file) if file else find(settings, delete, only)
    plan_words.show(found.plan)
    if found.plan.refusals:
        sys.exit(ConfigError.exit_status)
    if not found.plan.is_empty and not yes:
        confirm("Apply this?", yes=False, look="`exchange plan`")
        found = find_again(settings, found)
    with Console(stderr=True).status("starting …") as status:
        enacted = enact(settings, found, lambda step: status.update(_shown(step)))
    if enacted.published:
        click.echo(f"Epoch {enacted.published} is published.")
    if enacted.passed:
        click.echo(enacted.passed.text)


@click.group()
def schema() -> None:
    """The contract's JSON Schema."""


@schema.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), default="schemas/contract.schema.json")
def export(target: Path) -> None:
    """Write the contract's JSON Schema for editors to TARGET."""
    target.write_text(contract_schema(), encoding="utf-8")
    click.echo(f"{target} is written.")


def _shown(step: str) -> Text:
    return Text(printable(step, ""))  # others' principals must add neither markup nor lines


def _show_problems(source: Path, problems: Sequence[Problem]) -> None:
    for problem in problems:
        place = f"{source}:{problem.line}" + (f" {problem.path}" if problem.path else "")
        say(f"{place}: {problem.severity}: ", "red" if problem.severity == "error" else "yellow", nl=False)
        say(problem.message + (f" — {problem.remedy}" if problem.remedy else ""))
