"""Legal histories of a case, drawn event by event from what its state allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from exchange.cases import events as e
from exchange.cases.case import Case, NextStep, step
from exchange.cases.finding import make
from exchange.cases.states import MOVES, EventKind
from tests.rigs.case_world import CLERK, NOW, PARTIES, SHAPES, STREET, Rule

RULE = Rule()
VALUES = {"standard": "950.00"}
CONTENTS = {"wages": ('{"total":"10.00"}', '{"total":"5000.00"}'), "cars": ('{"cars":1}', '{"cars":0}')}
STATUSES = ("found", "nothing_found", "not_authorised", "not_identified", "refused")


@dataclass
class Drawing:
    """Draws the next event; the builders return None if there is nothing that the event could be about."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    now: datetime = NOW

    def event(self, case: Case) -> e.CaseEvent | None:
        """An event that can follow; None if the case is closed."""
        rare = self._one(st.sampled_from([[EventKind.CARRIED], [EventKind.CLOSED]])) if MOVES[case.state] else []
        kinds = [kind for kind in MOVES[case.state] if kind not in (EventKind.CARRIED, EventKind.CLOSED)]
        often = self._one(st.permutations(kinds))
        for kind in [*rare, *often] if self._one(st.integers(0, 9)) == 9 else [*often, *rare]:
            self.now += timedelta(milliseconds=self._one(st.integers(0, 10**9)))
            made = getattr(self, f"_{kind}")(case)
            if made is not None:
                return made
        return None

    def _one(self, strategy: st.SearchStrategy[Any]) -> Any:
        return self.draw(strategy)

    def _stamp(self, who: e.Who = e.ENGINE) -> dict[str, Any]:
        return {"time": self.now, "who": who}

    def _asked(self, case: Case) -> e.CaseAsked:
        items = case.contested or ("wages", "cars")
        questions = [
            e.CaseQuestion(
                question_id=f"{case.case_no}/{item}/{party.number}/{case.round + 1}",
                to={"wages": "tax", "cars": "police"}[item],
                item=item,
                party=party.number,
                parameters=VALUES,
                answer=SHAPES[item],
                authorisation=party.authorisation,
                remind_on=self._one(st.sampled_from([None, date(2026, 3, 5)])),
                due_on=date(2026, 3, 9),
                optional=self._one(st.booleans()),
                outside=False,
            )
            for item in items
            for party in case.parties
        ]
        return e.CaseAsked(**self._stamp(), round=case.round + 1, questions=tuple(questions))

    def _answer(self, question: e.CaseQuestion) -> e.CaseAnswer:
        return e.CaseAnswer(
            question_id=question.question_id,
            department=question.to,
            status=self._one(st.sampled_from(STATUSES)),
            content=self._one(st.sampled_from(CONTENTS[question.item])),
            reason=self._one(st.sampled_from([None, "secret"])),
            data_as_of=self._one(st.sampled_from([None, date(2026, 3, 1)])),
            queried_at=self.now,
            answered_by=self._one(st.sampled_from(["query", "person"])),
        )

    def _answered(self, case: Case) -> e.CaseAnswered | None:
        asked = [each for question_id, each in case.questions.items() if question_id not in case.answers]
        return (
            e.CaseAnswered(**self._stamp(), answer=self._answer(self._one(st.sampled_from(asked)))) if asked else None
        )

    def _contradicted(self, case: Case) -> e.CaseContradicted | None:
        if not case.answers:
            return None
        question_id = self._one(st.sampled_from(sorted(case.answers)))
        answer = self._answer(case.questions[question_id])
        return (
            e.CaseContradicted(**self._stamp(), answer=answer)
            if case.answers[question_id].contradicts(answer)
            else None
        )

    def _some_awaited(self, case: Case) -> tuple[str, ...]:
        ids = [asked.question_id for asked in case.awaited]
        return tuple(self._one(st.lists(st.sampled_from(ids), min_size=1, unique=True))) if ids else ()

    def _reminded(self, case: Case) -> e.CaseReminded | None:
        some = self._some_awaited(case)
        return e.CaseReminded(**self._stamp(), questions=some) if some else None

    def _late(self, case: Case) -> e.CaseLate | None:
        some = self._some_awaited(case)
        return e.CaseLate(**self._stamp(), questions=some) if some else None

    def _made(self, case: Case) -> dict[str, Any]:
        finding = make(case, RULE, VALUES)
        return {"rule": RULE.name, "version": RULE.version, "parameters": VALUES, "finding": finding}

    def _found(self, case: Case) -> e.CaseFound | None:
        if case.finding or not self._is_over(case):
            return None
        who = e.ENGINE if case.next_step == NextStep.FIND else CLERK
        return e.CaseFound(**self._stamp(who), **self._made(case))

    def _is_over(self, case: Case) -> bool:
        """Whether nothing is awaited that is not late."""
        return all(asked.question_id in case.late for asked in case.awaited)

    def _amended(self, case: Case) -> e.CaseAmended | None:
        if case.finding is None or not self._is_over(case):
            return None
        return e.CaseAmended(**self._stamp(CLERK), **self._made(case), reason="Late.")

    def _decided(self, case: Case) -> e.CaseDecided:
        return e.CaseDecided(**self._stamp(STREET), finding=case.finding_event, outcome="granted", reasons=("Poor.",))

    def _objected(self, case: Case) -> e.CaseObjected:
        items = self._one(st.lists(st.sampled_from(["wages", "cars"]), min_size=1, unique=True))
        return e.CaseObjected(**self._stamp(CLERK), items=tuple(items), reason="Wrong.")

    def _carried(self, case: Case) -> e.CaseCarried:
        return e.CaseCarried(**self._stamp(), year=case.year + 1)

    def _closed(self, case: Case) -> e.CaseClosed:
        return e.CaseClosed(**self._stamp(CLERK), reason="Told.")


@st.composite
def histories(draw: st.DrawFn, case_no: str = "C1", most: int = 25) -> list[e.CaseEvent]:
    """Histories from the opening on, of up to so many events."""
    parties = PARTIES[: draw(st.integers(1, 2))]
    drawing = Drawing(draw)
    history: list[e.CaseEvent] = [
        e.CaseOpened(
            time=NOW, who=CLERK, case_no=case_no, type="household", region="4401", day=NOW.date(), parties=parties
        )
    ]
    case = step(None, history[0])
    for _ in range(draw(st.integers(0, most - 1))):
        event = drawing.event(case)
        if event is None:
            break
        history.append(event)
        case = step(case, event)
    return history
