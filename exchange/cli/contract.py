"""Commands for the contract: validate, plan, apply, schema export."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from exchange import credentials
from exchange.bus import Cluster
from exchange.bus.cluster import apply as apply_plan
from exchange.bus.cluster import read_actual
from exchange.cli import plan_words
from exchange.cli.adoption import Adoption
from exchange.cli.connection import connect
from exchange.contract.changes import Change, PublishEpoch
from exchange.contract.json_schema import contract_schema
from exchange.contract.load import examine, load
from exchange.contract.period import city_day
from exchange.contract.plan import Plan, make_plan
from exchange.contract.problem import Problem
from exchange.errors import ConfigError, TransientError
from exchange.ledger.entry import SCHEMA_FILE
from exchange.schema import avro
from exchange.settings import Settings

CHANGES_STATUS = 3

_output = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
_delete = click.option(
    "--delete", "delete", metavar="TOPIC", multiple=True, help="Delete this topic, which the contract does not have."
)


@click.command()
@_output
@click.option(
    "--against",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The contract file as it was, with its schemas beside it: warn of every reader that a schema change touches.",
)
def validate(output: str, against: Path | None) -> None:
    """Check the contract and its schemas: every mistake with its line, path and remedy.

    The exit status is 0 where there is no error; warnings do not count.
    """
    settings = Settings()
    today = city_day(datetime.now(UTC))
    check = examine(settings.contract, today)
    errors = sum(problem.severity == "error" for problem in check.problems)
    problems = check.problems + (check.changes(examine(against, today)) if against else [])
    if output == "json":
        click.echo(json.dumps([vars(problem) for problem in problems], ensure_ascii=False, indent=2))
    else:
        _show_problems(settings.contract, problems)
        if check.contract:
            c = check.contract
            click.echo(
                f"{len(c.departments)} departments, {len(c.subjects)} subjects, {len(c.grants)} grants: in order"
            )
        else:
            click.echo(f"{errors} errors, {len(check.problems) - errors} warnings")
    sys.exit(ConfigError.exit_status if errors else 0)


@click.command()
@_output
@_delete
@click.option("--detailed-exitcode", is_flag=True, help="Exit status 3 where there is something to change.")
def plan(output: str, delete: Sequence[str], detailed_exitcode: bool) -> None:
    """Show the difference between the contract and the cluster; change nothing."""
    found = _plan(Settings(), delete)
    if output == "json":
        click.echo(json.dumps(plan_words.as_json(found), ensure_ascii=False, indent=2))
    else:
        plan_words.show(found)
    if found.refusals:
        sys.exit(ConfigError.exit_status)
    sys.exit(CHANGES_STATUS if detailed_exitcode and found.changes else 0)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_delete
def apply(yes: bool, delete: Sequence[str]) -> None:
    """Make the cluster what the contract says, and publish the contract as the next epoch.

    Safe to run again, also after an interruption. Nothing is deleted unless --delete names it.
    Returns when every router has taken the epoch or was fenced: from then on no record is released
    under the one before.
    """
    settings = Settings()
    found = _plan(settings, delete)
    plan_words.show(found)
    if found.refusals:
        sys.exit(ConfigError.exit_status)
    if found.is_empty:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                "nobody is here to ask", remedy="look at `exchange plan`, then run `exchange apply --yes`"
            )
        click.confirm("Apply this?", abort=True)
        again = _plan(settings, delete)
        if _texts(again) != _texts(found):
            raise TransientError("the cluster or the contract changed meanwhile", remedy="run `exchange apply` again")
        found = again
    cluster = _cluster(settings)
    with Console(stderr=True).status("starting …") as status, Adoption(cluster) as adoption:
        apply_plan(cluster, found, _tell(status.update))
        for published in found.changes:
            if isinstance(published, PublishEpoch):
                number = published.epoch.number
                click.echo(f"Epoch {number} is published.")
                status.update("waiting for the routers …")
                click.echo(adoption.passed(number).text)


@click.group()
def schema() -> None:
    """The contract's JSON Schema."""


@schema.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), default="schemas/contract.schema.json")
def export(target: Path) -> None:
    """Write the contract's JSON Schema for editors to TARGET."""
    target.write_text(contract_schema(), encoding="utf-8")
    click.echo(f"{target} is written.")


def _cluster(settings: Settings) -> Cluster:
    return connect(settings, "exchange.apply", credentials.ADMIN)


def _plan(settings: Settings, delete: Sequence[str]) -> Plan:
    now = datetime.now(UTC)
    loaded = load(settings.contract, city_day(now))
    return make_plan(loaded, read_actual(_cluster(settings)), avro.load(SCHEMA_FILE), now, delete=delete)


def _tell(update: Callable[[str], None]) -> Callable[[Change], None]:
    return lambda change: update(change.text)


def _texts(plan: Plan) -> list[str]:
    return [change.text for change in plan.changes]


def _show_problems(source: Path, problems: Sequence[Problem]) -> None:
    for problem in problems:
        place = f"{source}:{problem.line}" + (f" {problem.path}" if problem.path else "")
        click.secho(f"{place}: {problem.severity}: ", fg="red" if problem.severity == "error" else "yellow", nl=False)
        click.echo(problem.message + (f" — {problem.remedy}" if problem.remedy else ""))
