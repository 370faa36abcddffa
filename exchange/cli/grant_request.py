"""`exchange grant request`, `renew` and `withdraw`: ask for grants, or take a request back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from exchange.cli.grant_desk import complete_grant, complete_request, with_desk
from exchange.cli.options import output_option, show_json
from exchange.contract.model import Grant
from exchange.grants import decide
from exchange.grants.bulk import merged, parse_value, purpose_of, read_drafts
from exchange.grants.desk import Desk
from exchange.grants.life import ANSWER_DAYS, REVIEW_DAYS, Request, plain
from exchange.grants.propose import Draft, RequestMistakesError, renewal

_day = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--subject", "subjects", multiple=True, metavar="SUBJECT", help="As <owner>.<name>; can be repeated.")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Many requests, as YAML list or .csv.")
@click.option("--fields", help="Names of fields, with commas between them; or all.")
@click.option("--where", metavar="YAML", help="Which records, such as '{year: {ge: 2024}}'.")
@click.option("--masks", metavar="YAML", help="Masked fields, such as '{address: redact}'.")
@click.option("--purpose", metavar="CODE", help="Short name of the purpose, such as income-verification.")
@click.option("--basis", help="Law, regulation or agreement, with its article.")
@click.option("--text", help="What the records are for, in a sentence.")
@click.option("--from", "from_", type=_day, metavar="DAY", help="First day; default: today.")
@click.option("--until", type=_day, metavar="DAY", help="Last day, included.")
@output_option
@with_desk
def request(
    desk: Desk,
    subjects: Sequence[str],
    file: Path | None,
    from_: datetime | None,
    until: datetime | None,
    output: str,
    **options: str | None,
) -> None:
    """Ask for grants of one or more subjects, with your department as the reader.

    Either all of it is requested, or nothing, and every mistake is named. With --file, options fill in what an entry
    does not say. The data authority reviews within 2 working days; the owner of a conditional subject answers within 5.
    """
    if bool(file) == bool(subjects):
        raise click.UsageError("give either --subject or --file")
    common = _common(options)
    common["from"] = from_.date() if from_ else desk.today
    if until:
        common["until"] = until.date()
    drafts = read_drafts(file, common) if file else [Draft(merged(common, {"subject": name})) for name in subjects]
    _file(desk, drafts, "", output)


@click.command()
@click.argument("grant_id", metavar="GRANT", shell_complete=complete_grant)
@click.option("--until", type=_day, required=True, metavar="DAY", help="The new last day, included.")
@click.option("--reason", default="", help="Why it is still needed.")
@output_option
@with_desk
def renew(desk: Desk, grant_id: str, until: datetime, reason: str, output: str) -> None:
    """Ask for a grant to go on until another day. It is reviewed and decided like a new one."""
    plain(reason, "the reason", remedy="give it with --reason")
    _file(desk, [renewal(desk.contract(), grant_id, until.date(), desk.actor)], reason, output)


@click.command()
@click.argument("number", type=click.IntRange(min=1), metavar="REQUEST", shell_complete=complete_request)
@click.option("--reason", default="", help="Why; stays in the history.")
@with_desk
def withdraw(desk: Desk, number: int, reason: str) -> None:
    """Take back a request of your department that is not decided yet. To end a grant, use `revoke`."""
    actor = desk.actor
    with desk.store() as store:
        decide.withdraw(store, number, actor, desk.now, reason)
    click.echo(f"Request {number} is withdrawn.")


def _common(options: Mapping[str, str | None]) -> dict[str, Any]:
    """What the options say, as the values of a grant."""
    values: dict[str, Any] = {"purpose": purpose_of(options)}
    if fields := options["fields"]:
        values["fields"] = "all" if fields == "all" else [name.strip() for name in fields.split(",")]
    for name in ("where", "masks"):
        if text := options[name]:
            values[name] = parse_value(text, f"--{name}")
    return values


def _file(desk: Desk, drafts: Sequence[Draft], reason: str, output: str) -> None:
    settings, actor = desk.settings, desk.actor
    try:
        with desk.store() as store:
            filed = decide.file(store, drafts, settings.contract, actor, desk.now, settings.authority, reason)
    except RequestMistakesError as error:
        for one in error.rejected:
            told = (
                f"Request {one.number} for {one.grant.subject} is rejected, and stays on record: the subject is closed."
            )
            click.echo(told, err=True)
        raise
    if output == "json":
        show_json([_as_json(one) for one in filed])
        return
    for one in filed:
        answer = f", then {one.provider} to answer within {ANSWER_DAYS}" if one.conditional else ""
        click.echo(
            f"Request {one.number} for {one.grant.subject} waits for {settings.authority} to review it within "
            f"{REVIEW_DAYS} working days{answer}; as a grant it would be {one.grant.id}."
        )


def _as_json(one: Request) -> dict[str, Any]:
    grant: Grant = one.grant
    return {
        "request": one.number,
        "grant": grant.id,
        "subject": grant.subject,
        "reader": grant.reader,
        "state": one.state,
        "conditional": one.conditional,
    }
