"""What can happen to a case in which state: one table, which everything else asks.

    (none)    opened → opened
    opened    asked → asked, carried → opened, closed → closed
    asked     answered → partial | answered, contradicted → asked, reminded → asked, late → partial,
              carried → asked, closed → closed
    partial   answered → partial | answered, contradicted → partial, reminded → partial, late → partial,
              found → found, amended → amended, carried → partial, closed → closed
    answered  answered → answered, contradicted → answered, found → found, amended → amended,
              carried → answered, closed → closed
    found     answered → found, contradicted → found, decided → decided, objected → objected,
              amended → amended, carried → found, closed → closed
    decided   answered → decided, contradicted → decided, objected → objected, amended → amended,
              carried → decided, closed → closed
    objected  asked → asked, answered → objected, contradicted → objected, carried → objected,
              closed → closed
    amended   answered → amended, contradicted → amended, decided → decided, objected → objected,
              amended → amended, carried → amended, closed → closed
    closed    (nothing)

A finding is *found* once; each later one, after an objection or an answer that came late, is *amended*. The engine does
not make one without an answer that the case type cannot do without; a person can have it made once that is late, and it
is incomplete. A case can be closed without a decision, because its applicant may withdraw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from exchange.errors import ConfigError


class CaseState(StrEnum):
    """Where a case stands."""

    OPENED = "opened"
    ASKED = "asked"
    PARTIAL = "partial"
    ANSWERED = "answered"
    FOUND = "found"
    DECIDED = "decided"
    OBJECTED = "objected"
    AMENDED = "amended"
    CLOSED = "closed"


class EventKind(StrEnum):
    """What can happen to a case."""

    OPENED = "opened"
    ASKED = "asked"
    ANSWERED = "answered"
    CONTRADICTED = "contradicted"
    REMINDED = "reminded"
    LATE = "late"
    FOUND = "found"
    DECIDED = "decided"
    OBJECTED = "objected"
    AMENDED = "amended"
    CARRIED = "carried"
    CLOSED = "closed"


class CaseStateError(ConfigError):
    """What is asked for cannot happen to the case in the state that it has."""

    code = "case-state"
    remedy = "look at the case's history, and do what is possible now"


_S, _E = CaseState, EventKind

MOVES: Mapping[CaseState | None, Mapping[EventKind, tuple[CaseState, ...]]] = {
    None: {_E.OPENED: (_S.OPENED,)},
    _S.OPENED: {_E.ASKED: (_S.ASKED,), _E.CARRIED: (_S.OPENED,), _E.CLOSED: (_S.CLOSED,)},
    _S.ASKED: {
        _E.ANSWERED: (_S.PARTIAL, _S.ANSWERED),
        _E.CONTRADICTED: (_S.ASKED,),
        _E.REMINDED: (_S.ASKED,),
        _E.LATE: (_S.PARTIAL,),
        _E.CARRIED: (_S.ASKED,),
        _E.CLOSED: (_S.CLOSED,),
    },
    _S.PARTIAL: {
        _E.ANSWERED: (_S.PARTIAL, _S.ANSWERED),
        _E.CONTRADICTED: (_S.PARTIAL,),
        _E.REMINDED: (_S.PARTIAL,),
        _E.LATE: (_S.PARTIAL,),
        _E.FOUND: (_S.FOUND,),
        _E.AMENDED: (_S.AMENDED,),
        _E.CARRIED: (_S.PARTIAL,),
        _E.CLOSED: (_S.CLOSED,),
    },
    _S.ANSWERED: {
        _E.ANSWERED: (_S.ANSWERED,),
        _E.CONTRADICTED: (_S.ANSWERED,),
        _E.FOUND: (_S.FOUND,),
        _E.AMENDED: (_S.AMENDED,),
        _E.CARRIED: (_S.ANSWERED,),
        _E.CLOSED: (_S.CLOSED,),
    },
    _S.FOUND: {
        _E.ANSWERED: (_S.FOUND,),
        _E.CONTRADICTED: (_S.FOUND,),
        _E.DECIDED: (_S.DECIDED,),
        _E.OBJECTED: (_S.OBJECTED,),
        _E.AMENDED: (_S.AMENDED,),
        _E.CARRIED: (_S.FOUND,),
        _E.CLOSED: (_S.CLOSED,),
    },
    _S.DECIDED: {
        _E.ANSWERED: (_S.DECIDED,),
        _E.CONTRADICTED: (_S.DECIDED,),
        _E.OBJECTED: (_S.OBJECTED,),
        _E.AMENDED: (_S.AMENDED,),
        _E.CARRIED: (_S.DECIDED,),
        _E.CLOSED: (_S.CLOSED,),
    },
    _S.OBJECTED: {
        _E.ASKED: (_S.ASKED,),
        _E.ANSWERED: (_S.OBJECTED,),
        _E.CONTRADICTED: (_S.OBJECTED,),
        _E.CARRIED: (_S.OBJECTED,),
        _E.CLOSED: (_S.CLOSED,),
    },
    _S.AMENDED: {
        _E.ANSWERED: (_S.AMENDED,),
        _E.CONTRADICTED: (_S.AMENDED,),
        _E.DECIDED: (_S.DECIDED,),
        _E.OBJECTED: (_S.OBJECTED,),
        _E.AMENDED: (_S.AMENDED,),
        _E.CARRIED: (_S.AMENDED,),
        _E.CLOSED: (_S.CLOSED,),
    },
    _S.CLOSED: {},
}


def states_after(case_no: str, state: CaseState | None, kind: EventKind) -> tuple[CaseState, ...]:
    """The states to which the event can lead; raises CaseStateError, which names what can happen instead."""
    moves = MOVES[state]
    if kind in moves:
        return moves[kind]
    stands = f"is {state}" if state else "is not opened"
    possible = f"it can only be {', '.join(moves)}" if moves else "nothing more can happen to it"
    raise CaseStateError(f"case {case_no} {stands} and cannot be {kind}: {possible}")
