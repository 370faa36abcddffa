"""The review of a month's applications for a car quota, through the engine and the departments' own answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from exchange.apps.car_quota.quota_month import QuotaMonth
from exchange.cases.acts import CaseActs
from exchange.cases.case import Case
from exchange.cases.caseload import types
from exchange.cases.engine import CaseEngine
from exchange.cases.events import FACTS, Party, Who
from exchange.cases.states import CaseState
from exchange.cases.store import CaseStore
from exchange.workdays import Calendar
from tests.rigs.own_tables import CONNECTORS
from tests.scale import departments
from tests.scale.departments import Department, Questions
from tests.scale.quota_applicants import Sample
from tests.second_program.program import SecondProgram

ASKER, REGION = "transport", "4401"
CLERK = Who(person="li", role="clerk")


class Review:
    """All applications of the sample, asked at once on the month's day."""

    def __init__(self, home: Path, url: str, sample: Sample, month: QuotaMonth, calendar: Calendar) -> None:
        self._home, self._sample, self._month, self._calendar = home, sample, month, calendar
        types_ = types(CONNECTORS / ASKER, month.asked_on)
        asked = list(dict.fromkeys(item.asks for each in types_.values() for item in each.items))
        departments.fill(home, asked, sample.rows, sample.known, month.apply_until)
        self.store = CaseStore(url)
        sinks = departments.make_sinks(self.store, asked)
        self.departments = {each: Department(each, home, calendar, ASKER) for each in asked}
        self._questions = Questions(self.store)
        self._engine = CaseEngine(ASKER, self.store, types_, calendar, sinks)
        self._acts = CaseActs(self.store, types_)

    def close(self) -> None:
        self.store.close()
        for each in self.departments.values():
            each.close()

    def run(self) -> None:
        """Until every application has a finding."""
        day = self._month.asked_on
        for case_no, (type_, party, name) in self._sample.parties.items():
            applicant = Party(number=1, party_id=party, name=name, authorisation=f"{case_no}-1")
            self._acts.open(case_no, type_, REGION, self._month.apply_until, [applicant], CLERK, _at(day))
        while self.store.in_states(CaseState.OPENED, CaseState.ASKED, CaseState.PARTIAL, CaseState.ANSWERED):
            self._engine.work(_at(day))
            if self._calendar.due(day - timedelta(days=1), 1).day == day:
                for row in self._questions.new():
                    self.departments[row["to"]].take(row, day)
                for each in self.departments.values():
                    if each.work(_at(day), day):
                        each.people(_at(day))
                    each.send(self.store)
                self._engine.work(_at(day, hour=9))
            day += timedelta(days=1)

    def cases(self) -> list[Case]:
        return [self.store.case(case_no) for case_no in self._sample.parties]

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """The findings on which the second program differs."""
        with closing(SecondProgram("quota")) as program:
            program.read_city(self._home / "city")
            day, sample = self._month.apply_until, self._sample.parties
            program.apply((no, type_, REGION, day, party, name, "A") for no, (type_, party, name) in sample.items())
            program.add("asked", ("case_no", "day"), ((no, self._month.asked_on) for no in sample))
            second = program.findings()
        found = {case.case_no: _told(case) for case in self.cases()}
        return {no: (first, second[no]) for no, first in found.items() if first != second[no]}


def visits(cases: list[Case]) -> Counter[str]:
    """Of each department, how many applicants need not go there, because it gave a fact instead."""
    avoided: Counter[str] = Counter()
    for case in cases:
        answered: dict[str, bool] = defaultdict(lambda: True)
        for question_id, asked in case.questions.items():
            answer = case.answers.get(question_id)
            answered[asked.to] &= answer is not None and answer.status in FACTS
        avoided.update(department for department, by_fact in answered.items() if by_fact)
    return avoided


def found_by(cases: list[Case], store: CaseStore, day: date) -> int:
    """How many had their finding on that day."""
    when = (next(e.time for e in store.history(case.case_no) if e.kind == "found") for case in cases)
    return sum(each.date() <= day for each in when)


def _told(case: Case) -> dict[str, Any]:
    assert case.finding
    codes = case.finding.values.get("codes")
    reasons = sorted(case.finding.values["failed"].split())
    return {"outcome": case.finding.outcome, "codes": codes and int(codes), "reasons": reasons}


def _at(day: date, hour: int = 1) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
