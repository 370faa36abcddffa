"""Where each request and grant stands on a day; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from exchange.contract.model import Contract, Grant
from exchange.grants.life import STATES, Clock, Request, clock
from exchange.workdays import Calendar

STANDINGS = (*(state for state in STATES if state != "approved"), "upcoming", "in-force", "expired", "revoked")
"""An approved request stands as its grant does: upcoming, in force, expired, or revoked."""


@dataclass(frozen=True)
class Standing:
    """A request, or a grant of the contract that was not requested here (then `request` is None)."""

    request: Request | None
    grant: Grant
    state: str
    clock: Clock | None
    days_left: int | None


def standings(
    requests: Sequence[Request], contract: Contract, authority: str, today: date, calendar: Calendar
) -> Iterator[Standing]:
    """All requests by number, then the contract's other grants in the contract's order.

    If several requests for one grant are approved, such as renewals, only the last one is listed.
    """
    granted = {grant.id: grant for grant in contract.grants}
    of = {request.grant.id: request.number for request in requests if request.state == "approved"}
    for request in requests:
        if request.state != "approved":
            yield Standing(request, request.grant, request.state, clock(request, authority, today, calendar), None)
        elif of[request.grant.id] == request.number:
            yield _of_grant(request, granted.pop(request.grant.id, request.grant), contract, today)
    for grant in granted.values():
        yield _of_grant(None, grant, contract, today)


def selected(
    standings: Iterable[Standing],
    states: Collection[str] = (),
    reader: str | None = None,
    subject: str | None = None,
    ends_within: int | None = None,
    *,
    overdue: bool = False,
) -> list[Standing]:
    """Those in one of the states, of that reader and subject, that end in so many days; `overdue`: requests only."""
    return [
        one
        for one in standings
        if (not states or one.state in states)
        and reader in (None, one.grant.reader)
        and subject in (None, one.grant.subject)
        and (not overdue or (one.clock is not None and one.clock.overdue))
        and (ends_within is None or (one.days_left is not None and one.days_left <= ends_within))
    ]


def _of_grant(request: Request | None, grant: Grant, contract: Contract, today: date) -> Standing:
    if all(one.id != grant.id for one in contract.grants):
        return Standing(request, grant, "revoked", None, None)
    if today > grant.until:
        return Standing(request, grant, "expired", None, None)
    state = "upcoming" if today < grant.from_ else "in-force"
    return Standing(request, grant, state, None, (grant.until - today).days)
