"""What people do with requests: each act is one transaction, together with its event in the history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from exchange.contract.edit import rewritten
from exchange.contract.file import edit
from exchange.contract.load import examine, load
from exchange.contract.model import Grant
from exchange.contract.period import city_day
from exchange.document.problem import ContractError
from exchange.document.yaml import read
from exchange.grants import life
from exchange.grants.history import Event
from exchange.grants.life import Act, Actor, Request, Rules, WrongStateError
from exchange.grants.propose import Draft, RequestMistakesError, propose
from exchange.grants.store import GrantStore


def file(
    store: GrantStore,
    drafts: Sequence[Draft],
    contract: Path,
    actor: Actor,
    now: datetime,
    authority: str,
    reason: str = "",
) -> Sequence[Request]:
    """File all drafts as requests; raises RequestMistakesError if one of them cannot be a request.

    In that case, only requests for closed subjects are filed, as rejected: they are the error's `rejected`.
    """
    filed: Sequence[Request]
    fault: RequestMistakesError | None = None
    with store.writing() as writer:
        try:
            filed = propose(drafts, contract, actor, now, authority, writer.next_number(), writer.open_request)
        except RequestMistakesError as error:
            filed, fault, reason = error.rejected, error, "rejected at once: the subject is closed"
        for request in filed:
            act = "renew" if request.renews else "request"
            writer.put(request, Event(now, actor, act, request.grant.id, request.number, reason, _body(request.grant)))
    if fault:
        raise fault
    return filed


def withdraw(store: GrantStore, number: int, actor: Actor, now: datetime, reason: str) -> None:
    """Withdraw the request, see `life.withdraw`."""
    with store.writing() as writer:
        request = writer.request(number)
        withdrawn = life.withdraw(request, actor, reason)
        writer.put(withdrawn, Event(now, actor, "withdraw", request.grant.id, number, reason))


def decide(
    store: GrantStore, number: int, act: Act, actor: Actor, now: datetime, authority: str, contract: Path, reason: str
) -> Request:
    """Take that step with the request, see `life.step`. If two people decide at once, only the first one's act counts.

    An approved grant is written into the contract file.
    """
    with store.writing() as writer:
        request = writer.request(number)
        shares = {subject.id: subject.share for subject in load(contract, city_day(now)).contract.subjects}
        # A subject that is no longer in the contract counts as closed.
        rules = Rules(authority, shares.get(request.grant.subject, "closed"))
        decided = life.step(request, act, actor, now, rules, reason)
        if act == "approve":
            _write(request, contract, now)
        body = _body(request.grant) if act == "approve" else ""
        writer.put(decided, Event(now, actor, act, request.grant.id, number, reason, body))
    return decided


def _body(grant: Grant) -> str:
    return grant.model_dump_json(by_alias=True)


def _write(request: Request, contract: Path, now: datetime) -> None:
    """Put the grant into the contract file. If it is there already, as after a later fault, this changes nothing."""

    def changed(data: bytes) -> bytes:
        _require_basis(request, data)
        after = rewritten(data, put=[request.grant])
        check = examine(contract, city_day(now), read(after))
        if check.contract is None:
            raise ContractError(f"{contract} with grant {request.grant.id}", check.problems)
        return after

    edit(contract, changed)


def _require_basis(request: Request, data: bytes) -> None:
    """Raise WrongStateError if the grant in the file is not the one that the request is about."""
    wanted = request.grant
    values = [value for value in read(data).value.get("grants") or [] if value.get("id") == wanted.id]
    there = Grant.model_validate(values[0]) if values else None
    if there == wanted:
        return
    if request.renews and there is None:
        raise WrongStateError(f"grant {wanted.id} is gone: there is nothing to renew", remedy="reject the request")
    if there and (not request.renews or there.model_copy(update={"until": wanted.until}) != wanted):
        message = f"grant {wanted.id} in the contract file is not the one that was asked for"
        raise WrongStateError(message, remedy="reject the request; ask for a new one")
