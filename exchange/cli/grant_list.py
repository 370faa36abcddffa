"""`exchange grant list`, `show` and `verify`: where requests and grants stand, and what was done to them."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic_core import to_jsonable_python

from exchange.cli.grant_desk import complete_grant, complete_request, with_desk
from exchange.cli.options import output_option, say_time, show_json
from exchange.cli.say import say
from exchange.cli.table import table
from exchange.contract.edit import entry
from exchange.contract.period import ms_of
from exchange.grants.desk import Desk
from exchange.grants.history import Event
from exchange.grants.life import Clock
from exchange.grants.standing import STANDINGS, Standing, selected
from exchange.workdays import Due


@click.command("list")
@click.option("--state", "states", type=click.Choice(STANDINGS), multiple=True, help="Only these; can be repeated.")
@click.option("--reader", help="Only this department as reader.")
@click.option("--subject", help="Only this subject, as <owner>.<name>.")
@click.option("--overdue", is_flag=True, help="Only requests that should have been dealt with.")
@click.option("--ends-within", type=click.IntRange(min=0), metavar="DAYS", help="Only grants that end in so many days.")
@output_option
@with_desk
def list_(
    desk: Desk,
    states: tuple[str, ...],
    reader: str | None,
    subject: str | None,
    overdue: bool,
    ends_within: int | None,
    output: str,
) -> None:
    """Requests and grants: where they stand, whom they wait for, what is overdue, what ends when.

    Grants that people wrote into the contract by hand have no request number.
    """
    with desk.store() as store:
        found = selected(desk.standings(store), states, reader, subject, ends_within, overdue=overdue)
    if output == "json":
        show_json([_as_json(one) for one in found])
        return
    table(
        ("request", "grant", "subject", "reader", "purpose", "state", "waits for", "due", "overdue", "until"),
        [
            (
                str(one.request.number) if one.request else "",
                one.grant.id,
                one.grant.subject,
                one.grant.reader,
                one.grant.purpose.code,
                one.state,
                one.clock.waits_for if one.clock else "",
                _due(one.clock.due) if one.clock else "",
                _overdue(one.clock) if one.clock else "",
                one.grant.until,
            )
            for one in found
        ],
    )
    if any(one.clock and _is_provisional(one.clock) for one in found):
        click.echo(_PROVISIONAL, err=True)


@click.command()
@click.argument("id_", metavar="REQUEST|GRANT", shell_complete=lambda *a: complete_request(*a) + complete_grant(*a))
@output_option
@with_desk
def show(desk: Desk, id_: str, output: str) -> None:
    """One request (by number) or one grant (by id): what it gives, its time limits and its whole history."""
    with desk.store() as store:
        found, history = desk.look_up(store, id_)
    if output == "json":
        standing = _as_json(found[-1]) | {"content": entry(found[-1].grant)} if found else {}
        show_json({**standing, "history": [_event_json(e) for e in history]})
        return
    for one in found:
        _show(one)
    table(
        ("time", "who", "for", "did", "request", "reason"),
        [(say_time(e.time), e.actor.person, e.actor.department, e.act, e.request or "", e.reason) for e in history],
    )


@click.command()
@with_desk
def verify(desk: Desk) -> None:
    """Check that no event of the history was changed, removed or inserted since it was written.

    This reveals changes to single rows. The owner of the database can rewrite the whole history, so keep the number
    and the digest that this prints somewhere else.
    """
    with desk.store() as store:
        count, sealed = store.verify()
    click.echo(f"{count} events, unchanged; digest {sealed.hex()}")


_PROVISIONAL = (
    "Provisional: public holidays of that year are not known, so only weekends are left out. Name them in the file of "
    "EXCHANGE_HOLIDAYS, or update the package chinesecalendar."
)


def _show(one: Standing) -> None:
    grant = one.grant
    left = f", {one.days_left} days left" if one.days_left is not None else ""
    click.echo(f"grant     {grant.id}: {one.state}{left}")
    if one.request:
        asked = one.request
        renewal = ", a renewal" if asked.renews else ""
        who = f"{asked.requester.person} for {asked.requester.department}"
        say(f"request   {asked.number}{renewal}, by {who}, {say_time(asked.submitted)}")
    if one.clock:
        state = _overdue(one.clock) or "in time"
        days = f"due {_due(one.clock.due)}, all of it {_due(one.clock.due_in_all)}"
        click.echo(f"waits     for {one.clock.waits_for}: {days}: {state}")
        if _is_provisional(one.clock):
            click.echo(f"          {_PROVISIONAL}")
    for name, value in to_jsonable_python(entry(grant)).items():
        if name != "id":
            say(f"{name:9} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    click.echo()


def _as_json(one: Standing) -> dict[str, Any]:
    return {
        "request": one.request.number if one.request else None,
        "renews": bool(one.request and one.request.renews),
        "grant": one.grant.id,
        "subject": one.grant.subject,
        "reader": one.grant.reader,
        "purpose": one.grant.purpose.code,
        "state": one.state,
        "from": one.grant.from_.isoformat(),
        "until": one.grant.until.isoformat(),
        "days_left": one.days_left,
        "waits_for": one.clock.waits_for if one.clock else None,
        "due": one.clock.due.day.isoformat() if one.clock else None,
        "due_in_all": one.clock.due_in_all.day.isoformat() if one.clock else None,
        "provisional": _is_provisional(one.clock) if one.clock else None,
        "overdue": one.clock.overdue if one.clock else None,
    }


def _event_json(e: Event) -> dict[str, Any]:
    return {
        "time_ms": ms_of(e.time),
        "time": say_time(e.time),
        "person": e.actor.person,
        "department": e.actor.department,
        "act": e.act,
        "request": e.request,
        "reason": e.reason,
        "content": json.loads(e.body) if e.body else None,
    }


def _is_provisional(clock: Clock) -> bool:
    return clock.due.provisional or clock.due_in_all.provisional


def _due(due: Due) -> str:
    return f"{due.day} (provisional)" if due.provisional else due.day.isoformat()


def _overdue(clock: Clock) -> str:
    return ("OVERDUE (provisional)" if clock.first.provisional else "OVERDUE") if clock.overdue else ""
