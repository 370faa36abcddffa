"""A year of household cases, day by day, in virtual time: applications, questions, answers, objections, decisions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from exchange.cases.acts import CaseActs, UnauthorisedPartyError
from exchange.cases.case_row import CaseRow
from exchange.cases.caseload import types
from exchange.cases.clocks import case_due
from exchange.cases.engine import CaseEngine
from exchange.cases.events import Party, Who
from exchange.cases.states import CaseState
from exchange.cases.store import CaseExistsError, CaseStore
from exchange.workdays import Calendar
from tests.rigs.own_tables import CONNECTORS
from tests.scale import departments
from tests.scale.departments import Department, Questions
from tests.scale.households import Household, drawn
from tests.scale.progress import Progress
from tests.scale.seed import Seed

ASKER, REGION = "civil-affairs", "4401"
YEAR = 2017
"""Its Spring Festival begins on January 27; January 22 and February 4, a Sunday and a Saturday, are worked."""
CARRIED_FROM = date(2016, 12, 15)
MORNING, EVENING = 1, 9
"""Hours of UTC."""
POSTED, OBJECTED, CLOSED = 9, 5, 1
"""Working days from the finding to the decision or an objection, and from the decision to the end."""
CLERK, STREET = Who(person="li", role="clerk"), Who(person="chen", role="street-office")


class Year:
    """One run, until a day; `store` and `departments` stay open until `close`."""

    def __init__(self, home: Path, url: str, size: float, seed: Seed, until: date = date(YEAR, 12, 31)) -> None:
        self.calendar, self.seed, self._until = Calendar(), seed, until
        self.cpu_s: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.fates: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        with self._step("making the population"):
            days = {
                True: self._working(CARRIED_FROM, date(YEAR - 1, 12, 31))[-10:],
                False: self._working(date(YEAR, 1, 1), until),
            }
            groups = seed.groups(size)
            self.households = {each.case_no: each for each in drawn(groups, days, YEAR, seed.claim_fen)}
            types_ = types(CONNECTORS / ASKER, date(YEAR, 1, 1))
            self.type = types_["household"].case_type
            asked = list(dict.fromkeys(item.asks for item in self.type.items))
            rows, known = departments.of_households(self.households.values())
            departments.fill(home, asked, rows, known, CARRIED_FROM)
        self.store = CaseStore(url)
        sinks = departments.make_sinks(self.store, asked)
        self.departments = {each: Department(each, home, self.calendar, ASKER) for each in asked}
        self.questions = Questions(self.store)
        self._engine = CaseEngine(ASKER, self.store, types_, self.calendar, sinks)
        self._acts = CaseActs(self.store, types_)
        self._due: dict[str, tuple[str, date]] = {}  # case → what a person does with it, and when
        self._objected: set[str] = set()

    def close(self) -> None:
        self.store.close()
        for each in self.departments.values():
            each.close()

    def run(self, progress: Progress) -> None:
        """All days from the first application on."""
        applying: dict[date, list[Household]] = {}
        for each in self.households.values():
            applying.setdefault(each.day, []).append(each)
        day = min(applying)
        handed_in = 0
        while day <= self._until:
            morning, evening = (datetime(day.year, day.month, day.day, hour, tzinfo=UTC) for hour in (MORNING, EVENING))
            if self._is_worked(day):
                with self._step("persons: opening cases"):
                    for each in applying.get(day, ()):
                        self._apply(each, morning)
                with self._step("persons: deciding"):
                    self._decide(day, morning)
            self._work(morning)
            if self._is_worked(day):
                self._carry(day, morning)
                self._work(evening)
            handed_in += len(applying.get(day, ()))
            progress.note(handed_in, f"{day}, {len(self._due):,} cases with persons")
            day += timedelta(days=1)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.cpu_s[name] += time.process_time() - began

    def _work(self, now: datetime) -> None:
        with self._step("the engine"):
            done = self._engine.work(now)
        for error in done.failed.values():
            raise error
        self.events.update({str(kind): count for kind, count in done.events.items()})
        self.fates.update({str(fate): count for fate, count in done.arrivals.items()})

    def _carry(self, today: date, now: datetime) -> None:
        """Questions go to the departments, which answer; answers come back."""
        with self._step("copying rows between departments"):
            for row in self.questions.new():
                self.departments[row["to"]].take(row, today)
        for each in self.departments.values():
            with self._step("answering by queries"):
                queued = each.work(now, today)
            if queued:
                with self._step("answering by persons"):
                    each.people(now)
            with self._step("copying rows between departments"):
                each.send(self.store)

    def _apply(self, home: Household, now: datetime) -> None:
        """Every 500th household hands in an application without signatures first, and every 200th hands it in twice."""
        number = int(home.case_no[1:])
        signed = [Party(number=n, party_id=party, name=name, authorisation=f"{home.case_no}-{n}")
                  for n, (party, name) in enumerate(zip(home.ids, home.names, strict=True), 1)]  # fmt: skip
        attempts = [signed]
        if number % 500 == 0:
            attempts.insert(0, [each.model_copy(update={"authorisation": " "}) for each in signed])
        if number % 200 == 0:
            attempts.append(signed)
        for parties in attempts:
            try:
                self._acts.open(home.case_no, self.type.type, REGION, home.day, parties, CLERK, now)
            except (UnauthorisedPartyError, CaseExistsError) as error:
                self.refused[error.code] += 1

    def _decide(self, today: date, now: datetime) -> None:
        for case_no in self.store.in_states(CaseState.FOUND, CaseState.AMENDED, CaseState.DECIDED):
            what, due = self._due.get(case_no) or self._planned(case_no, today)
            if due > today:
                continue
            del self._due[case_no]
            case, home = self.store.case(case_no), self.households[case_no]
            if what == "close":
                self._acts.close(case, CLERK, "Told to the household.", now)
            elif what == "object":
                assert home.objects
                self._objected.add(case_no)
                if home.corrected:
                    self.departments["police"].correct(*home.corrected)
                self._acts.object(case, CLERK, [home.objects], "That is not so any more.", now)
            else:
                assert case.finding
                outcome = "refused" if case.finding.outcome == "ineligible" else "granted"
                self._acts.decide(case, STREET, outcome, ["As found, and seen at the visit."], now)
                self._due[case_no] = ("close", self.calendar.due(today, CLOSED).day)

    def _planned(self, case_no: str, today: date) -> tuple[str, date]:
        objects = self.households[case_no].objects and case_no not in self._objected
        self._due[case_no] = (
            ("object", self.calendar.due(today, OBJECTED).day)
            if objects
            else ("decide", self.calendar.due(today, POSTED).day)
        )
        return self._due[case_no]

    def _working(self, since: date, until: date) -> list[date]:
        days = (since + timedelta(days=n) for n in range((until - since).days + 1))
        return [day for day in days if self._is_worked(day)]

    def _is_worked(self, day: date) -> bool:
        return self.calendar.due(day - timedelta(days=1), 1).day == day

    def overdue(self, row: CaseRow) -> bool:
        """Whether the case was first decided after the last day of its own clock."""
        decided = row.completed_on
        assert decided
        return decided > case_due(self.type, row.opened_on, row.stops, decided, self.calendar).day
