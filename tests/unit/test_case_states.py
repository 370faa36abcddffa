"""The table of a case's states: drawn as its docstring draws it, without dead ends, and strict."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest

from exchange.cases import states
from exchange.cases.states import MOVES, CaseState, CaseStateError, EventKind, states_after


def drawn() -> str:
    """The table as text, in one line for each state."""
    lines = []
    for state, moves in MOVES.items():
        told = ", ".join(f"{kind} → {' | '.join(after)}" for kind, after in moves.items())
        lines.append(f"{state or '(none)'} {told or '(nothing)'}")
    return "\n".join(lines)


def reachable(start: CaseState | None, without: Collection[EventKind] = ()) -> set[CaseState]:
    """The states that can follow, if the events `without` never happen."""
    seen: set[CaseState] = set()
    todo = [start]
    while todo:
        for kind, after in MOVES[todo.pop()].items():
            new = set(after) - seen if kind not in without else set()
            seen |= new
            todo += new
    return seen


def test_the_docstring_draws_the_table() -> None:
    assert states.__doc__ is not None
    table = "\n".join(re.findall(r"^    .*$", states.__doc__, re.MULTILINE))
    rows = re.sub(r"\n {10,}", " ", table)
    assert "\n".join(re.sub(" +", " ", row.strip()) for row in rows.splitlines()) == drawn()


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    assert set(MOVES) == {None, *CaseState}
    assert reachable(None) == set(CaseState)


def test_every_state_but_the_last_has_a_way_to_closed() -> None:
    for state in set(CaseState) - {CaseState.CLOSED}:
        assert CaseState.CLOSED in reachable(state)
    assert reachable(CaseState.CLOSED) == set()


def test_there_is_no_decision_without_a_finding() -> None:
    assert CaseState.DECIDED not in reachable(None, without={EventKind.FOUND, EventKind.AMENDED})
    assert CaseState.DECIDED not in reachable(CaseState.OBJECTED, without={EventKind.FOUND, EventKind.AMENDED})
    assert {state for state in CaseState if EventKind.DECIDED in MOVES[state]} == {CaseState.FOUND, CaseState.AMENDED}


def test_every_event_can_happen() -> None:
    assert {kind for moves in MOVES.values() for kind in moves} == set(EventKind)


def test_what_cannot_happen_says_what_can() -> None:
    with pytest.raises(CaseStateError, match="case C1 is opened and cannot be decided: it can only be asked, "):
        states_after("C1", CaseState.OPENED, EventKind.DECIDED)
    with pytest.raises(CaseStateError, match="case C1 is closed and cannot be objected: nothing more can happen to it"):
        states_after("C1", CaseState.CLOSED, EventKind.OBJECTED)
    with pytest.raises(CaseStateError, match="case C1 is not opened and cannot be asked: it can only be opened"):
        states_after("C1", None, EventKind.ASKED)
