"""The fold of a case: what an event must fit besides the case's state, and what is to be done next."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from exchange.cases import events as e
from exchange.cases.case import Case, NextStep, fold
from exchange.cases.clocks import Stop
from exchange.cases.states import CaseState, CaseStateError
from tests.rigs.case_world import CLERK, DAY, NOW, PARTIES, STREET

ENGINE: dict[str, Any] = {"time": NOW, "who": e.ENGINE}
PERSON: dict[str, Any] = {"time": NOW, "who": CLERK}
OPENED = e.CaseOpened(**PERSON, case_no="C1", type="household", region="4401", day=NOW.date(), parties=PARTIES[:1])
FINDING = e.CaseFinding(outcome="eligible", values={}, reasons=(), missing=())
FOUND = e.CaseFound(**ENGINE, rule="r", version="1", parameters={}, finding=FINDING)
AMENDED = e.CaseAmended(**ENGINE, rule="r", version="1", parameters={}, finding=FINDING)


def question(item: str, round_: int = 1, **changes: Any) -> e.CaseQuestion:
    values = {
        "question_id": f"C1/{item}/1/{round_}",
        "to": "tax",
        "item": item,
        "party": 1,
        "parameters": {},
        "answer": {},
        "authorisation": "A-1",
        "remind_on": date(2026, 3, 5),
        "due_on": date(2026, 3, 9),
        "optional": False,
        "outside": False,
        **changes,
    }
    return e.CaseQuestion(**values)


def asked(round_: int, *items: str, **changes: Any) -> e.CaseAsked:
    return e.CaseAsked(**ENGINE, round=round_, questions=tuple(question(item, round_, **changes) for item in items))


def answered(item: str, round_: int = 1, **changes: Any) -> e.CaseAnswered:
    return e.CaseAnswered(**ENGINE, answer=answer(item, round_, **changes))


def answer(item: str, round_: int = 1, **changes: Any) -> e.CaseAnswer:
    values = {
        "question_id": f"C1/{item}/1/{round_}",
        "department": "tax",
        "status": "nothing_found",
        "content": "{}",
        "reason": None,
        "data_as_of": None,
        "queried_at": NOW,
        "answered_by": "query",
        **changes,
    }
    return e.CaseAnswer(**values)


def late(*items: str) -> e.CaseLate:
    return e.CaseLate(**ENGINE, questions=tuple(f"C1/{item}/1/1" for item in items))


def decided(finding: int) -> e.CaseDecided:
    return e.CaseDecided(time=NOW, who=STREET, finding=finding, outcome="granted", reasons=("Poor.",))


def objected(*items: str) -> e.CaseObjected:
    return e.CaseObjected(**PERSON, items=items, reason="Wrong.")


def folded(*history: e.CaseEvent) -> Case:
    case = fold([OPENED, *history])
    assert case is not None
    return case


BOTH = (asked(1, "a", "b"), answered("a"), answered("b"))


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        ([OPENED], "is opened and cannot be opened"),
        ([asked(2, "a")], "it has asked that before"),
        ([asked(1, "a"), answered("b")], "it has asked no such question"),
        ([asked(1, "a", "b"), answered("a"), answered("a", status="refused")], "that question is answered"),
        ([asked(1, "a"), e.CaseContradicted(**ENGINE, answer=answer("a"))], "no answer of it says anything else"),
        ([*BOTH, e.CaseContradicted(**ENGINE, answer=answer("a", data_as_of=NOW.date()))], "no answer of it says"),
        ([asked(1, "a", "b"), answered("a"), late("a")], "it does not wait for that"),
        ([*BOTH, FOUND, objected("a"), asked(2, "a"), answered("a", 2), FOUND], "it has a finding"),
        ([*BOTH, AMENDED], "it has no finding yet"),
        ([*BOTH, FOUND, AMENDED, decided(5)], "its finding was amended"),
        ([*BOTH, decided(5)], "it can only be answered, contradicted, found, amended, carried, closed"),
        ([*BOTH, FOUND, objected("a", "c")], "it asks about a, b only"),
        ([*BOTH, e.CaseCarried(**ENGINE, year=2026)], "it has come to that year already"),
    ],
)
def test_what_does_not_fit_is_refused(history: list[e.CaseEvent], fault: str) -> None:
    with pytest.raises(CaseStateError, match=fault):
        folded(*history)
    folded(*history[:-1])


def test_a_history_begins_with_the_opening() -> None:
    with pytest.raises(CaseStateError, match="a case begins with being opened, not asked"):
        fold([asked(1, "a")])
    assert fold([]) is None


def test_what_is_to_do_next() -> None:
    assert folded().next_step == NextStep.ASK
    assert folded(*BOTH[:2]).next_step is None
    assert folded(*BOTH).next_step == NextStep.FIND
    assert folded(*BOTH, FOUND).next_step is None
    assert folded(*BOTH, FOUND, objected("a")).next_step == NextStep.ASK
    assert folded(*BOTH, FOUND, decided(5)).next_step is None


def test_a_finding_waits_for_what_the_type_cannot_do_without() -> None:
    assert folded(asked(1, "a", "b"), late("a", "b")).next_step is None
    optional = asked(1, "a", "b", optional=True)
    assert folded(optional, answered("a")).next_step is None
    assert folded(optional, answered("a"), late("b")).next_step == NextStep.FIND
    assert folded(optional, late("a")).next_step is None
    case = folded(optional, answered("a"), late("b"), FOUND, answered("b"))
    assert (case.state, case.next_step) == (CaseState.FOUND, NextStep.AMEND)


def test_the_answer_to_a_superseded_question_changes_no_finding() -> None:
    optional = asked(1, "a", "b", optional=True)
    history = [optional, answered("a"), late("b"), FOUND, objected("b"), asked(2, "b"), answered("b", 2), AMENDED]
    case = folded(*history, answered("b"))
    assert (case.state, case.next_step) == (CaseState.AMENDED, None)
    assert case.answers.keys() == {"C1/a/1/1", "C1/b/1/1", "C1/b/1/2"}
    assert case.current == {("a", 1): "C1/a/1/1", ("b", 1): "C1/b/1/2"}


def test_days_on_which_something_is_to_do() -> None:
    case = folded(asked(1, "a", "b"))
    remind, due = date(2026, 3, 5), date(2026, 3, 9)
    day = timedelta(days=1)
    assert case.next_day == remind
    assert case.to_remind(remind) == ()
    assert case.to_remind(remind + day) == case.to_remind(due) == ("C1/a/1/1", "C1/b/1/1")
    assert case.to_remind(due + day) == ()  # too late for that
    assert (case.to_mark_late(due), case.to_mark_late(due + day)) == ((), ("C1/a/1/1", "C1/b/1/1"))
    reminded = e.CaseReminded(**ENGINE, questions=("C1/a/1/1", "C1/b/1/1"))
    case = folded(asked(1, "a", "b"), reminded)
    assert (case.next_day, case.to_remind(due)) == (due, ())
    assert folded(asked(1, "a", "b"), late("a", "b")).next_day is None
    assert folded(asked(1, "a", "b"), late("a")).next_day == remind
    assert folded(*BOTH).next_day is None
    assert folded(asked(1, "a", remind_on=None)).next_day == due


def test_the_clock_stands_still_while_a_unit_outside_of_the_city_is_awaited() -> None:
    def on(event: e.CaseEvent, days: int) -> e.CaseEvent:
        return event.model_copy(update={"time": NOW + days * DAY})

    abroad = asked(1, "bank", "shares", outside=True, optional=True)
    history = [abroad.model_copy(update={"questions": (*abroad.questions, question("wages"))})]
    first = NOW.date()
    assert folded(*history).stops == {"C1/bank/1/1": Stop(first, None), "C1/shares/1/1": Stop(first, None)}
    history += [on(answered("bank"), 2), on(answered("wages"), 3), on(late("shares"), 8), on(FOUND, 8)]
    ended = {"C1/bank/1/1": Stop(first, first + 2 * DAY), "C1/shares/1/1": Stop(first, first + 8 * DAY)}
    assert folded(*history).stops == ended, "a finding no longer waits for what it was made without"
    history += [on(answered("shares"), 9)]
    assert folded(*history).stops == ended
    assert folded(*history).opened_on == first
