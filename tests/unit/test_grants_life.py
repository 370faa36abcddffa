"""Every step of a request that is allowed, and every one that is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, get_args

import pytest

from exchange.contract.model import Contract, Grant, Purpose
from exchange.grants.life import (
    OPEN,
    STATES,
    Act,
    Actor,
    PastPeriodError,
    Request,
    Rules,
    State,
    TextError,
    WrongActorError,
    WrongStateError,
    clock,
    step,
    submit,
    withdraw,
)
from exchange.grants.notices import notice_due
from exchange.grants.standing import standings
from exchange.workdays import Calendar
from tests.rigs import routing

NOW = datetime(2026, 6, 1, 2, tzinfo=UTC)  # a Monday
CALENDAR = Calendar()
CONDITIONAL, FREE = Rules("bureau", "conditional"), Rules("bureau", "open")
WANG, LI, ZHAO, CHEN = Actor("wang", "civil"), Actor("li", "bureau"), Actor("zhao", "tax"), Actor("chen", "bureau")
ACTS: tuple[Act, ...] = get_args(Act)
ACTORS: dict[Act, Actor] = {"review": LI, "agree": ZHAO, "refuse": ZHAO, "approve": LI, "reject": LI}
RESULTS: dict[Act, State] = {
    "review": "reviewed",
    "agree": "agreed",
    "refuse": "rejected",
    "approve": "approved",
    "reject": "rejected",
}


def grant(**changes: Any) -> Grant:
    return routing.grant("civil.income.1", **{"subject": "tax.income", "reader": "civil"} | changes)


def request(rules: Rules = CONDITIONAL, state: State = "requested", **changes: Any) -> Request:
    made = submit(1, grant(), WANG, NOW, rules)
    reviewed = {"reviewed": NOW, "reviewed_by": "li"} if state not in ("requested",) else {}
    answered = {"answered_by": "zhao"} if state == "agreed" else {}
    return replace(made, state=state, **reviewed | answered | changes)


ALLOWED = {
    ("conditional", "requested", "review"), ("conditional", "requested", "reject"),
    ("conditional", "reviewed", "agree"), ("conditional", "reviewed", "refuse"), ("conditional", "reviewed", "reject"),
    ("conditional", "agreed", "approve"), ("conditional", "agreed", "reject"),
    ("open", "requested", "review"), ("open", "requested", "approve"), ("open", "requested", "reject"),
    ("open", "reviewed", "approve"), ("open", "reviewed", "reject"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("share", "state", "act"),
    [c for c in product(("conditional", "open"), STATES, ACTS) if c[:2] != ("open", "agreed")],
)
def test_every_step(share: str, state: State, act: Act) -> None:
    rules = CONDITIONAL if share == "conditional" else FREE
    before = request(rules, state)
    if (share, state, act) in ALLOWED:
        assert step(before, act, ACTORS[act], NOW, rules, "Because.").state == RESULTS[act]
    else:
        with pytest.raises(WrongStateError):
            step(before, act, ACTORS[act], NOW, rules, "Because.")


@pytest.mark.parametrize(
    ("state", "act"), [(state, act) for share, state, act in sorted(ALLOWED) if share == "conditional"]
)
@pytest.mark.parametrize("department", ["civil", "tax", "bureau", "health", ""])
def test_only_the_one_whose_turn_it_is_acts(state: State, act: Act, department: str) -> None:
    actor = Actor("someone", department)
    if department == ACTORS[act].department:
        step(request(state=state), act, actor, NOW, CONDITIONAL, "Because.")
    else:
        with pytest.raises(WrongActorError):
            step(request(state=state), act, actor, NOW, CONDITIONAL, "Because.")


@pytest.mark.parametrize(("share", "state", "act"), sorted(ALLOWED))
def test_nobody_decides_on_their_own_request(share: str, state: State, act: Act) -> None:
    rules = CONDITIONAL if share == "conditional" else FREE
    for department in ("bureau", "tax", "civil"):
        with pytest.raises(WrongActorError):
            step(request(rules, state), act, Actor("wang", department), NOW, rules, "Because.")


def test_nobody_acts_for_provider_and_authority() -> None:
    with pytest.raises(WrongActorError, match="other side"):
        step(request(state="reviewed"), "agree", Actor("li", "tax"), NOW, CONDITIONAL)
    agreed = request(state="agreed")
    for act in ("approve", "reject"):
        with pytest.raises(WrongActorError, match="other side"):
            step(agreed, act, Actor("zhao", "bureau"), NOW, CONDITIONAL, "Because.")
    assert step(agreed, "approve", CHEN, NOW, CONDITIONAL).state == "approved"


@pytest.mark.parametrize("act", ["refuse", "reject"])
@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "\x1b[31mred", "a\u202eb", "x" * 3000])
def test_a_refusal_gives_a_reason_that_can_be_read(act: Act, reason: str) -> None:
    with pytest.raises(TextError):
        step(request(state="reviewed"), act, ACTORS[act], NOW, CONDITIONAL, reason)


def test_a_closed_subject_is_refused_at_once() -> None:
    assert submit(1, grant(), WANG, NOW, Rules("bureau", "closed")).state == "rejected"


@pytest.mark.parametrize("state", STATES)
def test_the_reader_takes_back_what_is_not_decided(state: State) -> None:
    for actor in (WANG, Actor("hu", "civil")):
        if state in OPEN:
            assert withdraw(request(state=state), actor).state == "withdrawn"
        else:
            with pytest.raises(WrongStateError, match=state):
                withdraw(request(state=state), actor)


@pytest.mark.parametrize("department", ["tax", "bureau", "health", ""])
def test_nobody_takes_back_what_another_asked_for(department: str) -> None:
    with pytest.raises(WrongActorError, match="only civil"):
        withdraw(request(), Actor("wang", department))


def test_a_reason_to_take_back_can_be_read() -> None:
    with pytest.raises(TextError):
        withdraw(request(), WANG, "a\nb")


@pytest.mark.parametrize("part", ["basis", "text"])
@pytest.mark.parametrize("words", [" ", "\u200b", "two\nlines"])
def test_purpose_and_legal_basis_are_required(part: str, words: str) -> None:
    purpose = Purpose(code="aid", basis="Law, art. 1", text="To see.").model_copy(update={part: words})
    with pytest.raises(TextError):
        submit(1, grant(purpose=purpose), WANG, NOW, FREE)


def test_one_asks_for_ones_own_department_and_for_days_to_come() -> None:
    with pytest.raises(WrongActorError):
        submit(1, grant(), ZHAO, NOW, FREE)
    with pytest.raises(PastPeriodError):
        submit(1, grant(until=date(2026, 5, 31)), WANG, NOW, FREE)
    submit(1, grant(until=date(2026, 6, 1)), WANG, NOW, FREE)


def test_what_the_authority_wants_itself_its_owner_has_to_allow() -> None:
    own = submit(1, grant(reader="bureau"), LI, NOW, FREE)
    assert own.conditional
    with pytest.raises(WrongStateError, match="needs the answer of tax"):
        step(own, "approve", CHEN, NOW, FREE)


def test_a_subject_that_became_conditional_needs_its_owner() -> None:
    before = request(FREE, "reviewed")
    with pytest.raises(WrongStateError, match="needs the answer"):
        step(before, "approve", CHEN, NOW, CONDITIONAL)
    assert step(before, "agree", ZHAO, NOW, CONDITIONAL).state == "agreed"
    # And one that became open meanwhile is still answered, as was said when it was asked for.
    with pytest.raises(WrongStateError, match="needs the answer"):
        step(request(CONDITIONAL, "reviewed"), "approve", CHEN, NOW, FREE)


@pytest.mark.parametrize(
    ("rules", "state", "waits_for", "due"),
    [
        (CONDITIONAL, "requested", "bureau", "2026-06-03"),
        (CONDITIONAL, "reviewed", "tax", "2026-06-08"),
        (CONDITIONAL, "agreed", "bureau", "2026-06-10"),
        (FREE, "requested", "bureau", "2026-06-03"),
        (FREE, "reviewed", "bureau", "2026-06-10"),
    ],
)
def test_the_clock(rules: Rules, state: State, waits_for: str, due: str) -> None:
    asked, last = request(rules, state), date.fromisoformat(due)
    on_time = clock(asked, "bureau", last, CALENDAR)
    assert on_time is not None
    assert (on_time.waits_for, on_time.due.day, on_time.overdue) == (waits_for, last, False)
    assert on_time.due_in_all.day == date(2026, 6, 10)
    late = clock(asked, "bureau", last.replace(day=last.day + 1), CALENDAR)
    assert late is not None
    assert late.overdue


def test_a_late_review_does_not_move_the_end() -> None:
    late = request(state="reviewed", reviewed=datetime(2026, 6, 9, 2, tzinfo=UTC))
    found = clock(late, "bureau", date(2026, 6, 11), CALENDAR)
    assert found is not None
    assert (found.due.day, found.due_in_all.day, found.overdue) == (date(2026, 6, 16), date(2026, 6, 10), True)


def test_the_citys_day_counts() -> None:
    evening = replace(request(), submitted=datetime(2026, 6, 1, 16, 30, tzinfo=UTC))  # Tuesday, 00:30
    found = clock(evening, "bureau", date(2026, 6, 2), CALENDAR)
    assert found is not None
    assert found.due.day == date(2026, 6, 4)


def test_a_clock_without_known_holidays_says_so() -> None:
    last = CALENDAR.known_until
    asked = replace(request(), submitted=datetime(last.year, 12, 28, 2, tzinfo=UTC))
    now, then = (
        clock(asked, "bureau", day, CALENDAR) for day in (last.replace(day=30), last.replace(year=last.year + 1))
    )
    assert now is not None
    assert then is not None
    assert (now.due.provisional, now.due_in_all.provisional, now.overdue) == (False, True, False)
    assert (then.overdue, then.first) == (True, now.due)


@pytest.mark.parametrize("state", sorted(set(STATES) - set(OPEN)))
def test_what_is_decided_has_no_clock(state: State) -> None:
    assert clock(request(state=state), "bureau", date(2026, 12, 1), CALENDAR) is None


@pytest.mark.parametrize(
    ("left", "days"), [(91, None), (90, 90), (46, 90), (45, 45), (30, 30), (8, 30), (7, 7), (0, 7), (-1, None)]
)
def test_notices(left: int, days: int | None) -> None:
    until = date(2026, 12, 31)
    assert notice_due(until, until - timedelta(days=left)) == days


def test_standings() -> None:
    def on(day: str, *requests: Request, grants: tuple[Grant, ...]) -> list[tuple[int | None, str, int | None]]:
        contract = Contract(version=1, departments=(), subjects=(), grants=grants)
        found = standings(requests, contract, "bureau", date.fromisoformat(day), CALENDAR)
        return [(one.request and one.request.number, one.state, one.days_left) for one in found]

    asked, approved = request(), replace(request(state="approved"), number=2)
    given, other = grant(), grant(id="other", reader="health")
    assert on("2026-06-01", asked, grants=()) == [(1, "requested", None)]
    assert on("2026-06-01", approved, grants=(given,)) == [(2, "in-force", 213)]
    assert on("2025-06-01", approved, grants=(given,)) == [(2, "upcoming", 578)]
    assert on("2026-12-31", approved, grants=(given,)) == [(2, "in-force", 0)]
    assert on("2027-01-01", approved, grants=(given,)) == [(2, "expired", None)]
    assert on("2026-06-01", approved, grants=()) == [(2, "revoked", None)]
    assert on("2026-06-01", grants=(other,)) == [(None, "in-force", 213)]
    renewal = replace(approved, number=3, renews=True)
    longer = grant(until=date(2027, 12, 31))
    assert on("2027-01-01", approved, renewal, grants=(longer, other)) == [
        (3, "in-force", 364),
        (None, "expired", None),
    ]
