"""The history of grants as a chain: each event's digest covers the one before, so that none can be changed alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from exchange.contract.period import ms_of
from exchange.errors import CorruptionError
from exchange.grants.life import Actor

START = bytes(32)


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


def digest(before: bytes, seq: int, event: Event) -> bytes:
    """The event's digest; `before` is the digest of the event before it, or START."""
    told = [
        seq,
        ms_of(event.time),
        event.actor.person,
        event.actor.department,
        event.act,
        event.grant_id,
        event.request,
        event.reason,
        event.body,
    ]
    return hashlib.sha256(before + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()).digest()


def verify(chain: Iterable[tuple[int, Event, bytes]], head: tuple[int, bytes]) -> int:
    """Check events, given in order with number and digest; return their count. HistoryError names the first fault."""
    last, before = 0, START
    for seq, event, found in chain:
        if seq != last + 1:
            raise HistoryError(f"event {last + 1} is missing from the history", remedy=_REMEDY)
        before = digest(before, seq, event)
        if found != before:
            raise HistoryError(f"event {seq} is not what was written", remedy=_REMEDY)
        last = seq
    if (last, before) != head:
        raise HistoryError(f"the history ends after event {last}, but {head[0]} were written", remedy=_REMEDY)
    return last


_REMEDY = "find out who changed the grants' database, and compare it with a backup"
