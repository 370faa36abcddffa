"""Works the planted cases: brings the applications in, does what people do, and looks at what is found.

Departments ask and answer by their connectors, which run beside. Each step is done only if its case still needs it, so
that an interrupted run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from exchange.cases.acts import UnauthorisedPartyError
from exchange.cases.batch import applications
from exchange.cases.case import Case, fold
from exchange.cases.caseload import Caseload, caseload
from exchange.cases.events import CaseEvent, Who
from exchange.cases.states import CaseState
from exchange.cases.store import CaseExistsError
from exchange.cli.options import today
from exchange.connect.load import load
from exchange.contract.load import Loaded
from exchange.demo.city import casework
from exchange.demo.city.make import offices
from exchange.demo.city.planted import PlantedCase
from exchange.settings import Settings
from exchange.workdays import Calendar

CLERK = Who(person="demo", role="clerk")
DECISIONS: Mapping[str, str] = {"eligible": "granted", "ineligible": "refused", "excluded": "refused"}
"""Finding → what the demo's officer decides; other findings wait for somebody who looks."""
LOOKED_UP = ("HH-13", "banking", "HH-13/deposits/1/1", "over_limit=false")
"""The case, and the question of it that a person at the bank answers."""
Run = Callable[..., str]
"""Runs a command of `exchange`, and returns what it printed."""


@dataclass(frozen=True)
class WorkedCase:
    """A planted case and how it stands now, with its history; no case if nobody may be asked."""

    planted: PlantedCase
    case: Case | None
    history: list[CaseEvent]

    @property
    def done(self) -> bool:
        """Whether nothing more is going to happen to it in the demo."""
        if self.case is None:
            return not self.planted.authorised
        if self.planted.outcome is None:
            return len(self.case.awaited) == 1
        if self.planted.contested and self.case.round < 2:
            return False
        if self.planted.outcome in DECISIONS:
            return self.case.state == CaseState.DECIDED
        return self.case.state == CaseState.FOUND

    @property
    def right(self) -> bool:
        """Whether the finding is what was planted."""
        finding = self.case.finding if self.case else None
        if finding is None or self.planted.outcome is None:
            return finding is None and self.planted.outcome is None
        return finding.outcome == self.planted.outcome and self.planted.values.items() <= finding.values.items()


class DemoCases:
    """The planted cases of all departments that ask; use `opened`."""

    def __init__(self, settings: Settings, loaded: Loaded, its: Mapping[str, Caseload]) -> None:
        self._settings = settings
        self._loaded = loaded
        self._its = its

    def bring_in(self) -> tuple[int, int]:
        """Open the cases of the applications that came; return how many there are, and how many may not be asked."""
        opened = refused = 0
        for department, its in self._its.items():
            path = casework.applications(self._settings.home, department)
            with path.open(encoding="utf-8") as lines:
                for one in applications(lines):
                    try:
                        now = datetime.now(UTC)
                        its.acts.open(one.case_no, one.type, one.region, one.day, one.parties, CLERK, now)
                    except CaseExistsError:
                        pass
                    except UnauthorisedPartyError:
                        refused += 1
                        continue
                    opened += 1
        return opened, refused

    def worked(self) -> list[WorkedCase]:
        """Every planted case as it stands."""
        return [
            WorkedCase(planted, fold(history), history)
            for department, its in self._its.items()
            for planted in casework.PLANTED[department]
            for history in [its.store.history(planted.case_no)]
        ]

    def act(self, worked: Iterable[WorkedCase], run: Run) -> None:
        """Do what is a person's turn in these cases: look a party up, contest what is wrong, decide."""
        number, bank, question, values = LOOKED_UP
        for each in worked:
            planted, case = each.planted, each.case
            if case is None or planted.outcome is None:
                continue
            if planted.case_no == number and [asked.question_id for asked in case.awaited] == [question]:
                if question in run("case", "queue", bank):
                    run("case", "answer", bank, question, "--found", values)
            elif case.state in (CaseState.FOUND, CaseState.AMENDED) and case.next_step is None:
                self._decide(planted, case, run)

    def _decide(self, planted: PlantedCase, case: Case, run: Run) -> None:
        """Contest what is wrong, or else decide as it was found, if it is clear."""
        assert case.finding is not None
        department = next(each for each, cases in casework.PLANTED.items() if planted in cases)
        its = self._its[department]
        officer = its.types[case.type].decided_by
        if planted.contested and case.round == 1:
            for office in offices(self._loaded, self._settings.connectors, self._settings.home):
                casework.correct(office, planted)
            why = ("--reason", "The department has corrected it.", "--role", officer)
            run("case", "object", department, case.case_no, "--item", planted.contested, *why)
        elif case.finding.outcome in DECISIONS:
            reasons = [reason.text for reason in case.finding.reasons]
            who = Who(person="demo", role=officer)
            its.acts.decide(case, who, DECISIONS[case.finding.outcome], reasons, datetime.now(UTC))


@contextmanager
def opened(settings: Settings, loaded: Loaded) -> Iterator[DemoCases]:
    """The cases in the departments' databases, until the block ends."""
    with ExitStack() as stack:
        its = {
            department: stack.enter_context(
                caseload(load(settings.connectors, department), settings.home, Calendar(), today())
            )
            for department in casework.PLANTED
        }
        yield DemoCases(settings, loaded, its)
