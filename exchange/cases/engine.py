"""The engine of a department's cases: asks, takes answers, reminds, marks late, makes findings; persons decide.

`work` is one pass. It does each step in a transaction of its own, with the rows that belong to it, and every step is
done only if the case still needs it: a pass that was killed at any point is completed by the next one, and a question
is never asked twice. Time comes in as an argument.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import Connection, delete, func, insert, select

from exchange.cases import acts, tables
from exchange.cases.arrivals import Arrival, Fate, arrived, by_case, note, progress
from exchange.cases.asked import AskedType
from exchange.cases.case import Case, NextStep, step
from exchange.cases.case_type import Item
from exchange.cases.clocks import answer_due, reminder_due
from exchange.cases.events import (
    ENGINE,
    CaseAmended,
    CaseAnswered,
    CaseAsked,
    CaseCarried,
    CaseContradicted,
    CaseEvent,
    CaseFound,
    CaseLate,
    CaseQuestion,
    CaseReminded,
    Party,
)
from exchange.cases.states import EventKind
from exchange.cases.store import CaseMovedError, CaseStore
from exchange.contract.period import city_day, moment_of, ms_of
from exchange.errors import ConfigError, ExchangeError, RecordError
from exchange.workdays import Calendar


class CaseFaultError(ConfigError):
    """A case cannot go on for a reason that nobody foresaw."""

    code = "case-fault"
    remedy = "see the log for the place in the code, and report it; the case is tried again by itself"


class ContestedItemError(ConfigError):
    """An item is contested that the case type has no more, so that nobody can be asked about it again."""

    code = "case-contested-item"
    remedy = "put the item back into the case type's file, or close the case"


@dataclass
class Pass:
    """What one pass did: how many cases got which event, what became of answers, and which cases could not go on.

    `moved` counts the steps left to the next pass because somebody else was at the case.
    """

    events: Counter[EventKind] = field(default_factory=Counter)
    arrivals: Counter[Fate] = field(default_factory=Counter)
    moved: int = 0
    failed: dict[str, ConfigError | RecordError] = field(default_factory=dict)


class CaseEngine:
    """The engine of one department, whose case types these are, by name; `answers`: sinks' tables, by who answers."""

    def __init__(
        self,
        department: str,
        store: CaseStore,
        types: Mapping[str, AskedType],
        calendar: Calendar,
        answers: Mapping[str, str],
    ) -> None:
        self._department = department
        self._store = store
        self._types = types
        self._calendar = calendar
        self._answers = answers
        self._taken_until: Mapping[str, object] = {}

    def work(self, now: datetime) -> Pass:
        """One pass over all cases. Whatever is wrong with one case does not hold up the others; see `Pass.failed`."""
        now = moment_of(ms_of(now))
        today, done = city_day(now), Pass()
        for case_no in self._store.to_carry(today.year):
            with _each(case_no, done):
                self._carry(self._store.case(case_no), today.year, now, done)
        for case_no in self._store.to_do(NextStep.ASK):
            with _each(case_no, done):
                self._ask(self._store.case(case_no), now, done)
        self._take_all(now, done)
        for case_no in self._store.expired(today):
            with _each(case_no, done):
                self._press(self._store.case(case_no), today, now, done)
        for next_step in (NextStep.FIND, NextStep.AMEND):
            for case_no in self._store.to_do(next_step):
                with _each(case_no, done):
                    self._find(self._store.case(case_no), now, done)
        return done

    def _carry(self, case: Case, year: int, now: datetime, done: Pass) -> None:
        if case.year < year:
            self._store.append(case, CaseCarried(time=now, who=ENGINE, year=year))
            done.events[EventKind.CARRIED] += 1

    def _ask(self, case: Case, now: datetime, done: Pass) -> None:
        if case.next_step != NextStep.ASK:
            return
        type_ = acts.type_of(self._types, case.type)
        if gone := set(case.contested).difference(item.name for item in type_.items):
            raise ContestedItemError(f"the case type {case.type} has no item {', '.join(sorted(gone))} any more")
        values = type_.parameters_on(case.day, case.region)
        asked = CaseAsked(
            time=now,
            who=ENGINE,
            round=case.round + 1,
            questions=tuple(
                self._question(case, item, party, values, city_day(now))
                for item in type_.items
                if item.name in case.contested or not case.contested
                for party in case.parties
            ),
        )

        def rows(connection: Connection) -> None:
            connection.execute(insert(tables.questions), [_row(case, each, now) for each in asked.questions])
            # What was answered before it was asked is looked at again.
            ids = [each.question_id for each in asked.questions]
            connection.execute(delete(tables.arrivals).where(tables.arrivals.c.question_id.in_(ids)))

        self._store.append(case, asked, rows)
        done.events[EventKind.ASKED] += 1

    def _question(self, case: Case, item: Item, party: Party, values: Mapping[str, str], today: date) -> CaseQuestion:
        remind = reminder_due(item, today, self._calendar)
        times = item.about.times(case.day)  # a period is the case's, in each round
        return CaseQuestion(
            question_id=f"{case.case_no}/{item.name}/{party.number}/{case.round + 1}",
            to=item.asks,
            item=item.name,
            party=party.number,
            period_from=times.period_from,
            period_until=times.period_until,
            as_of=today if times.as_of else None,
            parameters={name: values[name] for name in item.parameters},
            answer=dict(item.answer),
            authorisation=party.authorisation,
            remind_on=remind and remind.day,
            due_on=answer_due(item, today, self._calendar).day,
            optional=item.optional,
            outside=item.outside,
        )

    def _asked_departments(self) -> Iterator[str]:
        to, last = tables.questions.c.to, ""
        while True:
            with self._store.transaction() as connection:
                found = connection.scalar(select(func.min(to)).where(to > last))
            if found is None:
                return
            yield found
            last = found

    def _take_all(self, now: datetime, done: Pass) -> None:
        """Take what has arrived; the tables of sinks that have come no further since are not read again."""
        if done.events[EventKind.ASKED]:
            self._taken_until = {}  # what was answered before it was asked is taken now
        departments = {each: self._answers.get(each) for each in self._asked_departments()}
        until = progress(self._store, departments)
        new = [each for each in departments if each not in until or until[each] != self._taken_until.get(each)]
        left = done.moved + len(done.failed)
        for case_no, arrivals in by_case(arrived(self._store, each, departments[each]) for each in new):
            with _each(case_no, done):
                self._take(case_no, arrivals, now, done)
        if done.moved + len(done.failed) == left:
            self._taken_until = until

    def _take(self, case_no: str, arrivals: Sequence[Arrival], now: datetime, done: Pass) -> None:
        """Take the answers to one case's questions, in one transaction."""
        before = self._store.case_if_any(case_no)
        case, events = before, list[CaseEvent]()
        fates: list[tuple[Arrival, Fate]] = []
        for arrival in arrivals:
            fate, answer = arrival.fate(case, self._department), arrival.answer
            fates.append((arrival, fate))
            if case and answer and fate in (Fate.TAKEN, Fate.CONTRADICTED):
                kind = CaseAnswered if fate == Fate.TAKEN else CaseContradicted
                events.append(kind(time=now, who=ENGINE, answer=answer))
                case = step(case, events[-1])
        if before and events:
            self._store.append_all(before, events, lambda connection: note(connection, fates))
        else:
            with self._store.transaction() as connection:
                note(connection, fates)
        done.events.update(event.kind for event in events)
        done.arrivals.update(fate for _, fate in fates)

    def _press(self, case: Case, today: date, now: datetime, done: Pass) -> None:
        if reminded := case.to_remind(today):
            case = self._store.append(case, CaseReminded(time=now, who=ENGINE, questions=reminded))
            done.events[EventKind.REMINDED] += 1
        if late := case.to_mark_late(today):
            self._store.append(case, CaseLate(time=now, who=ENGINE, questions=late))
            done.events[EventKind.LATE] += 1

    def _find(self, case: Case, now: datetime, done: Pass) -> None:
        if case.next_step not in (NextStep.FIND, NextStep.AMEND):
            return
        made, keep = acts.made(case, acts.type_of(self._types, case.type))
        kind = CaseAmended if case.finding else CaseFound
        self._store.append(case, kind(time=now, who=ENGINE, **made), keep)
        done.events[EventKind.AMENDED if case.finding else EventKind.FOUND] += 1


@contextmanager
def _each(case_no: str, done: Pass) -> Iterator[None]:
    try:
        yield
    except CaseMovedError:
        done.moved += 1
    except (ConfigError, RecordError) as error:
        done.failed[case_no] = error
    except ExchangeError:
        raise
    except Exception as error:
        done.failed[case_no] = CaseFaultError(f"case {case_no}: {type(error).__name__}")
        done.failed[case_no].__cause__ = error


def _row(case: Case, asked: CaseQuestion, now: datetime) -> dict[str, object]:
    party = next(each for each in case.parties if each.number == asked.party)
    return {
        "question_id": asked.question_id,
        "to": asked.to,
        "type": case.type,
        "item": asked.item,
        "party_id": party.party_id,
        "party_name": party.name,
        "period_from": asked.period_from,
        "period_until": asked.period_until,
        "as_of": asked.as_of,
        "parameters": json.dumps(asked.parameters, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        "authorisation": asked.authorisation,
        "asked_at": now,
        "due_on": asked.due_on,
        "updated_at": now,
    }
