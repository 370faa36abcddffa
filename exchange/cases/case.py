"""A case as the fold of its events; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from exchange.cases.clocks import Stop
from exchange.cases.events import (
    CaseAmended,
    CaseAnswer,
    CaseAnswered,
    CaseAsked,
    CaseCarried,
    CaseClosed,
    CaseContradicted,
    CaseDecided,
    CaseEvent,
    CaseFinding,
    CaseFound,
    CaseLate,
    CaseObjected,
    CaseOpened,
    CaseQuestion,
    CaseReminded,
    Party,
)
from exchange.cases.states import CaseState, CaseStateError, states_after
from exchange.contract.period import city_day


class NextStep(StrEnum):
    """What the engine has to do for a case, without waiting for anybody."""

    ASK = "ask"
    FIND = "find"
    AMEND = "amend"


@dataclass(frozen=True)
class Case:
    """A case after event number `last`; `current` is the latest question of each item and party.

    `stops`: the times for which its clock stands still, by the questions to units outside of the city. It is completed
    when it is first decided.
    """

    case_no: str
    type: str
    region: str
    day: date
    year: int
    opened_on: date
    parties: tuple[Party, ...]
    state: CaseState = CaseState.OPENED
    last: int = 1
    round: int = 0
    questions: Mapping[str, CaseQuestion] = field(default_factory=dict)
    current: Mapping[tuple[str, int], str] = field(default_factory=dict)
    answers: Mapping[str, CaseAnswer] = field(default_factory=dict)
    contradictions: tuple[CaseAnswer, ...] = ()
    reminded: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    stops: Mapping[str, Stop] = field(default_factory=dict)
    contested: tuple[str, ...] = ()
    finding: CaseFinding | None = None
    finding_event: int = 0
    answer_event: int = 0
    decision: CaseDecided | None = None
    completed_on: date | None = None
    closed_on: date | None = None

    @property
    def awaited(self) -> tuple[CaseQuestion, ...]:
        """The questions whose answers are still to come, late ones too; superseded ones are not waited for."""
        return tuple(self.questions[asked] for asked in self.current.values() if asked not in self.answers)

    @property
    def next_step(self) -> NextStep | None:
        """What the engine has to do now; None if it waits, or if it is a person's turn."""
        match self.state:
            case CaseState.OPENED | CaseState.OBJECTED:
                return NextStep.ASK
            case CaseState.PARTIAL | CaseState.ANSWERED:
                if all(asked.optional and asked.question_id in self.late for asked in self.awaited):
                    return NextStep.FIND
            case CaseState.FOUND | CaseState.AMENDED:
                if self.answer_event > self.finding_event:
                    return NextStep.AMEND
        return None

    @property
    def next_day(self) -> date | None:
        """The day after which a department has to be reminded, or is late; None if nothing is awaited in time."""
        if self.state not in (CaseState.ASKED, CaseState.PARTIAL):
            return None
        days = [asked.due_on for asked in self.awaited if asked.question_id not in self.late]
        days += [asked.remind_on for asked in self.awaited if asked.remind_on and self._may_remind(asked)]
        return min(days, default=None)

    def to_remind(self, today: date) -> tuple[str, ...]:
        """The questions of which the departments have to be reminded on this day."""
        return tuple(
            asked.question_id
            for asked in self.awaited
            if self._may_remind(asked) and asked.remind_on and asked.remind_on < today <= asked.due_on
        )

    def to_mark_late(self, today: date) -> tuple[str, ...]:
        """The questions that have become late before this day."""
        return tuple(
            asked.question_id for asked in self.awaited if asked.question_id not in self.late and asked.due_on < today
        )

    def _may_remind(self, asked: CaseQuestion) -> bool:
        return asked.question_id not in self.reminded | self.late


def fold(history: Iterable[CaseEvent]) -> Case | None:
    """The case after these events; None if there are none. Raises CaseStateError where one cannot follow."""
    case = None
    for event in history:
        case = step(case, event)
    return case


def step(case: Case | None, event: CaseEvent) -> Case:
    """The case after one more event; raises CaseStateError if that cannot happen to it."""
    if isinstance(event, CaseOpened):
        states_after(event.case_no, case.state if case else None, event.kind)
        opened_on = city_day(event.time)
        return Case(event.case_no, event.type, event.region, event.day, event.day.year, opened_on, event.parties)
    if case is None:
        raise CaseStateError(f"a case begins with being opened, not {event.kind}")
    states = states_after(case.case_no, case.state, event.kind)
    _must_fit(case, event)
    after = replace(_told(case, event), last=case.last + 1)
    if len(states) > 1:  # of the answers of a round: some, or all
        return replace(after, state=CaseState.PARTIAL if after.awaited else CaseState.ANSWERED)
    return replace(after, state=states[0])


def _must_fit(case: Case, event: CaseEvent) -> None:
    match event:
        case CaseAsked():
            known = any(asked.question_id in case.questions for asked in event.questions)
            wrong = "it has asked that before" if known or event.round != case.round + 1 else ""
        case CaseAnswered():
            asked = event.answer.question_id in case.questions
            wrong = "it has asked no such question" if not asked else ""
            wrong = "that question is answered" if event.answer.question_id in case.answers else wrong
        case CaseContradicted():
            first = case.answers.get(event.answer.question_id)
            wrong = "" if first and first.contradicts(event.answer) else "no answer of it says anything else"
        case CaseReminded() | CaseLate():
            awaited = {asked.question_id for asked in case.awaited}
            wrong = "" if awaited.issuperset(event.questions) else "it does not wait for that"
        case CaseFound() | CaseAmended():
            in_time = {asked.to for asked in case.awaited if asked.question_id not in case.late}
            wrong = f"it waits for {', '.join(sorted(in_time))}, until they are late" if in_time else ""
            if bool(case.finding) != isinstance(event, CaseAmended):
                wrong = "it has a finding, which can be amended" if case.finding else "it has no finding yet"
        case CaseDecided():
            wrong = "" if event.finding == case.finding_event else "its finding was amended"
        case CaseObjected():
            items = {item for item, _ in case.current}
            wrong = "" if items.issuperset(event.items) else f"it asks about {', '.join(sorted(items))} only"
        case CaseCarried():
            wrong = "" if event.year > case.year else "it has come to that year already"
        case _:
            wrong = ""
    if wrong:
        raise CaseStateError(f"case {case.case_no} cannot be {event.kind}: {wrong}")


def _told(case: Case, event: CaseEvent) -> Case:
    """The case with what the event tells."""
    seq, today = case.last + 1, city_day(event.time)
    match event:
        case CaseAsked(questions=questions):
            return replace(
                case,
                round=event.round,
                questions={**case.questions, **{asked.question_id: asked for asked in questions}},
                current={**case.current, **{(asked.item, asked.party): asked.question_id for asked in questions}},
                contested=(),
                stops={**case.stops, **{asked.question_id: Stop(today, None) for asked in questions if asked.outside}},
            )
        case CaseAnswered(answer=answer):
            counts = answer.question_id in case.current.values()
            answers = {**case.answers, answer.question_id: answer}
            stops = _ended(case, today, answer.question_id)
            return replace(case, answers=answers, stops=stops, answer_event=seq if counts else case.answer_event)
        case CaseContradicted(answer=answer):
            return replace(case, contradictions=(*case.contradictions, answer))
        case CaseReminded(questions=asked):
            return replace(case, reminded=case.reminded.union(asked))
        case CaseLate(questions=asked):
            return replace(case, late=case.late.union(asked))
        case CaseFound() | CaseAmended():
            stops = _ended(case, today, *case.stops)  # what is still awaited is done without
            return replace(case, finding=event.finding, finding_event=seq, stops=stops)
        case CaseDecided():
            return replace(case, decision=event, completed_on=case.completed_on or today)
        case CaseObjected(items=items):
            return replace(case, contested=items)
        case CaseCarried(year=year):
            return replace(case, year=year)
        case CaseClosed():
            return replace(case, closed_on=today)
        case _:
            return case


def _ended(case: Case, today: date, *questions: str) -> Mapping[str, Stop]:
    """The stops, of which those of these questions end today, if they last until now."""
    ended = {asked: Stop(stop.since, today) for asked, stop in case.stops.items() if stop.until is None}
    return {**case.stops, **{asked: stop for asked, stop in ended.items() if asked in questions}}
