"""`exchange grant review`, `answer`, `approve` and `reject`: what becomes of a request."""

from __future__ import annotations

import click

from exchange.cli.grant_desk import complete_request, with_desk
from exchange.grants.decide import decide
from exchange.grants.desk import Desk
from exchange.grants.life import Act, Request

_number = click.argument("number", type=click.IntRange(min=1), metavar="REQUEST", shell_complete=complete_request)
_note = click.option("--note", default="", help="What others should know about it; stays in the history.")
_reason = click.option("--reason", default="", help="Why not; the requester reads it.")


@click.command()
@_number
@_note
@with_desk
def review(desk: Desk, number: int, note: str) -> None:
    """As the data authority, confirm that a request is complete: purpose, legal basis, only the fields that it needs.

    Reject a request that is not complete. For a conditional subject, the owner's 5 working days begin now.
    """
    done = _decide(desk, number, "review", note)
    if done.conditional:
        click.echo(f"Request {number} is reviewed; now {done.provider} answers.")
    else:
        click.echo(f"Request {number} is reviewed; approve or reject it.")


@click.command()
@_number
@click.option("--agree/--refuse", default=None, required=True, help="The owner's answer; a refusal ends the request.")
@_reason
@with_desk
def answer(desk: Desk, number: int, agree: bool, reason: str) -> None:
    """As the owner of the subject, answer a request that was reviewed. A refusal needs a reason."""
    _decide(desk, number, "agree" if agree else "refuse", reason)
    click.echo(f"Request {number} is " + ("agreed to; the authority decides." if agree else "refused, and rejected."))


@click.command()
@_number
@_reason
@with_desk
def reject(desk: Desk, number: int, reason: str) -> None:
    """As the data authority, refuse a request, with the reason."""
    _decide(desk, number, "reject", reason)
    click.echo(f"Request {number} is rejected.")


@click.command()
@_number
@_note
@click.option("--apply", "at_once", is_flag=True, help="Then run `exchange apply --yes`, so that it takes effect.")
@with_desk
def approve(desk: Desk, number: int, note: str, at_once: bool) -> None:
    """As the data authority, approve a request: its grant is written into the contract file.

    Nothing is delivered before `exchange apply`. Nobody can approve what they asked for or agreed to themselves.
    """
    done = _decide(desk, number, "approve", note)
    click.echo(f"Request {number} is approved: grant {done.grant.id} is in {desk.settings.contract}.")
    if at_once:
        from exchange.cli.contract import apply_contract

        apply_contract(desk.settings, yes=True)
    else:
        click.echo("It takes effect by `exchange apply`.")


def _decide(desk: Desk, number: int, act: Act, reason: str) -> Request:
    settings, actor = desk.settings, desk.actor
    with desk.store() as store:
        return decide(store, number, act, actor, desk.now, settings.authority, settings.contract, reason)
