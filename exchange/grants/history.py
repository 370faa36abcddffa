"""The history of grants: what an event of it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.contract.period import ms_of
from exchange.errors import CorruptionError
from exchange.grants.life import Actor


class HistoryError(CorruptionError):
    """The history of grants was changed after it was written."""

    code = "grant-history"
    remedy = "find out who changed the grants' database, and compare it with a backup"


@dataclass(frozen=True)
class Event:
    """One act: who did it, when, to which grant and request, and why.

    `body` is the grant as JSON if the act settles its content: when it is asked for, approved or revoked.
    """

    time: datetime
    actor: Actor
    act: str
    grant_id: str
    request: int | None = None
    reason: str = ""
    body: str = ""

    @property
    def told(self) -> tuple[object, ...]:
        """What the event's digest covers."""
        return (
            ms_of(self.time),
            self.actor.person,
            self.actor.department,
            self.act,
            self.grant_id,
            self.request,
            self.reason,
            self.body,
        )
