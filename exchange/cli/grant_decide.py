"""`exchange grant review`, `answer`, `approve` and `reject`: what becomes of a request."""

from __future__ import annotations

from collections.abc import Callable

import click

from exchange.cli.grant_desk import Desk, complete_request, with_desk
from exchange.contract.edit import rewritten
from exchange.contract.file import edit
from exchange.contract.load import examine
from exchange.contract.model import Grant
from exchange.document.problem import ContractError
from exchange.document.yaml import read
from exchange.grants.history import Event
from exchange.grants.life import Act, Request, WrongStateError, step

_number = click.argument("number", type=click.IntRange(min=1), metavar="REQUEST", shell_complete=complete_request)
_note = click.option("--note", default="", help="What others should know about it; stays in the history.")
_reason = click.option("--reason", default="", help="Why not; the requester reads it.")


@click.command()
@_number
@_note
@with_desk
def review(desk: Desk, number: int, note: str) -> None:
    """As the data authority, find a request complete: purpose, legal basis, no more fields than needed.

    A request that is not is rejected. For a conditional subject the owner's 5 working days begin.
    """
    done = _take(desk, number, "review", note)
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
    """As the owner of the subject, answer a request that was reviewed. A refusal needs its reason."""
    _take(desk, number, "agree" if agree else "refuse", reason)
    click.echo(f"Request {number} is " + ("agreed to; the authority decides." if agree else "refused, and rejected."))


@click.command()
@_number
@_reason
@with_desk
def reject(desk: Desk, number: int, reason: str) -> None:
    """As the data authority, refuse a request, with the reason."""
    _take(desk, number, "reject", reason)
    click.echo(f"Request {number} is rejected.")


@click.command()
@_number
@_note
@click.option("--apply", "at_once", is_flag=True, help="Then run `exchange apply --yes`, so that it takes effect.")
@with_desk
def approve(desk: Desk, number: int, note: str, at_once: bool) -> None:
    """As the data authority, approve a request: its grant is written into the contract file.

    Nothing is delivered before `exchange apply`. Nobody approves what they asked for or agreed to themselves.
    """
    done = _take(desk, number, "approve", note, lambda request: _write(desk, request))
    click.echo(f"Request {number} is approved: grant {done.grant.id} is in {desk.settings.contract}.")
    if at_once:
        from exchange.cli.contract import apply

        click.get_current_context().invoke(apply, yes=True)
    else:
        click.echo("It takes effect by `exchange apply`.")


def _take(
    desk: Desk, number: int, act: Act, reason: str, effect: Callable[[Request], None] = lambda _: None
) -> Request:
    """Take the step in one transaction with its effect; the first of two who decide at once is the only one."""
    actor = desk.actor
    with desk.store() as store, store.writing() as writer:
        request = writer.request(number)
        done = step(request, act, actor, desk.now, desk.office(request.grant.subject), reason)
        effect(request)
        body = request.grant.model_dump_json(by_alias=True) if act == "approve" else ""
        writer.put(done, Event(desk.now, actor, act, request.grant.id, number, reason, body))
    return done


def _write(desk: Desk, request: Request) -> None:
    """Put the grant into the contract file. Doing so again, as after a fault behind it, changes nothing."""

    def changed(data: bytes) -> bytes:
        _require_basis(request, data)
        after = rewritten(data, put=[request.grant])
        check = examine(desk.settings.contract, desk.today, read(after))
        if check.contract is None:
            raise ContractError(f"{desk.settings.contract} with grant {request.grant.id}", check.problems)
        return after

    edit(desk.settings.contract, changed)


def _require_basis(request: Request, data: bytes) -> None:
    """WrongStateError where the file's grant is not the one that the request is about."""
    wanted = request.grant
    found = [value for value in read(data).value.get("grants") or [] if value.get("id") == wanted.id]
    there = Grant.model_validate(found[0]) if found else None
    if there == wanted:
        return
    if request.renews and there is None:
        raise WrongStateError(f"grant {wanted.id} is gone: there is nothing to renew", remedy="reject the request")
    if there and (not request.renews or there.model_copy(update={"until": wanted.until}) != wanted):
        message = f"grant {wanted.id} in the contract file is not the one that was asked for"
        raise WrongStateError(message, remedy="reject the request; let it be asked for anew")
