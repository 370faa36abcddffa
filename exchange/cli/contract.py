"""Commands for the contract: validate, plan, apply, schema export."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from exchange import credentials
from exchange.bus import Cluster
from exchange.bus.cluster import apply as apply_plan
from exchange.bus.cluster import read_actual
from exchange.cli.adoption import Adoption
from exchange.cli.connection import connect
from exchange.contract.changes import Change, DeleteTopic, PublishEpoch
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
ADOPTION_TIMEOUT_S = 60.0

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
        click.echo(json.dumps(_plan_json(found), ensure_ascii=False, indent=2))
    else:
        _show_plan(found)
    if found.refusals:
        sys.exit(ConfigError.exit_status)
    sys.exit(CHANGES_STATUS if detailed_exitcode and found.changes else 0)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_delete
def apply(yes: bool, delete: Sequence[str]) -> None:
    """Make the cluster what the contract says, and publish the contract as the next epoch.

    Safe to run again, also after an interruption. Nothing is deleted unless --delete names it.
    Returns when every router that runs has taken the epoch: from then on no record is released
    under the one before.
    """
    settings = Settings()
    found = _plan(settings, delete)
    _show_plan(found)
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
                _require_all(adoption.missing(number, ADOPTION_TIMEOUT_S), number)


@click.group()
def schema() -> None:
    """The contract's JSON Schema."""


@schema.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), default="schemas/contract.schema.json")
def export(target: Path) -> None:
    """Write the contract's JSON Schema for editors to TARGET."""
    target.write_text(contract_schema(), encoding="utf-8")
    click.echo(f"{target} is written.")


def _require_all(missing: set[str], number: int) -> None:
    if missing:
        told = ", ".join(sorted(missing))
        remedy = "look at their logs, or stop them: until then they release records under the epoch before"
        raise TransientError(f"epoch {number} is published, but not yet taken by {told}", remedy=remedy)
    click.echo(f"Every router works under epoch {number}.")


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


def _show_plan(plan: Plan) -> None:
    for change in plan.changes:
        click.secho(f"{change.text}", fg="red" if isinstance(change, DeleteTopic) else None)
        if isinstance(change, PublishEpoch):
            for difference in change.differences:
                click.echo(f"    {difference}")
    for notice in plan.notices:
        click.secho(f"note: {notice}", fg="yellow")
    for orphan in plan.orphans:
        click.secho(f"note: topic {orphan} is not in the contract; `--delete {orphan}` would remove it", fg="yellow")
    for refusal in plan.refusals:
        click.secho(f"refused: {refusal.target}: {refusal.message} — {refusal.remedy}", fg="red")
    if plan.is_empty:
        click.echo("No changes: the cluster is as the contract has it.")
    elif not plan.refusals:
        click.echo(f"{len(plan.changes)} changes.")


def _plan_json(plan: Plan) -> dict[str, Any]:
    changes: list[dict[str, Any]] = []
    for change in plan.changes:
        entry: dict[str, Any] = {"kind": change.kind, "target": change.target, "text": change.text}
        if isinstance(change, PublishEpoch):
            entry |= {"epoch": change.epoch.number, "differences": list(change.differences)}
        changes.append(entry)
    refusals = [vars(refusal) for refusal in plan.refusals]
    return {"changes": changes, "refusals": refusals, "notices": plan.notices, "orphans": plan.orphans}
