"""An application for a car quota as a case: all departments asked at once, and the finding with every reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.cases.acts import CaseActs
from exchange.cases.case import Case
from exchange.cases.engine import CaseEngine
from exchange.cases.events import Party, Who
from exchange.cases.states import CaseState
from exchange.cases.store import CaseStore
from exchange.workdays import Calendar
from tests.rigs.case_world import sink, table_of
from tests.rigs.quota_lives import HERE, ME, Answers, Life, answers_of, asked, case_type

ASKED_AT = datetime(2018, 7, 13, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class Office:
    """The transport department, with one application."""

    def __init__(self, folder: Path) -> None:
        self.store = CaseStore(f"sqlite:///{folder / 'transport.db'}")
        types = {"quota": case_type("quota")}
        self.engine = CaseEngine(
            "transport",
            self.store,
            types,
            Calendar(),
            {each.asks: table_of(each.asks) for each in types["quota"].items},
        )
        applicant = Party(number=1, party_id=ME, name="王一", authorisation="A-1")
        clerk = Who(person="li", role="clerk")
        CaseActs(self.store, types).open("C1", "quota", HERE, ASKED_AT.date(), [applicant], clerk, ASKED_AT)

    def close(self) -> None:
        self.store.close()

    def answer(self, answers: Answers) -> None:
        """The sinks put the answers into their tables."""
        with self.store.engine.begin() as connection:
            for item, content in answers.items():
                table = sink(asked("quota", item))
                table.create(connection, checkfirst=True)
                row = {"question_id": f"C1/{item}/1/1", "to": "transport", "party_id": ME, "answered_by": "query"}
                status = "nothing_found" if content is None else "found"
                more = {"status": status, "content": json.dumps(content or {}), "queried_at": ASKED_AT + DAY}
                connection.execute(sa.insert(table).values({**row, **more}))

    def case(self, now: datetime) -> Case:
        """The case, after the engine's work of that moment."""
        self.engine.work(now)
        return self.store.case("C1")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with closing(Office(tmp_path)) as made:
        yield made


def test_all_are_asked_at_once_and_are_due_on_the_same_day(office: Office) -> None:
    case = office.case(ASKED_AT)
    assert [question.item for question in case.questions.values()] == [item.name for item in case_type("quota").items]
    assert {question.due_on for question in case.questions.values()} == {date(2018, 7, 25)}
    insurance = next(question for question in case.questions.values() if question.item == "insurance")
    assert (insurance.period_from, insurance.period_until) == (date(2015, 7, 1), date(2018, 6, 30))


def test_the_finding_has_every_reason_and_names_the_answers_that_it_rests_on(office: Office) -> None:
    office.case(ASKED_AT)
    office.answer(answers_of(Life(cars=("in use",), quotas_held=1), ASKED_AT.date()))
    case = office.case(ASKED_AT + DAY)
    assert case.state == CaseState.FOUND
    assert case.finding is not None
    assert (case.finding.outcome, case.finding.values["failed"]) == ("excluded", "cars quotas")
    assert [[rests.department for rests in reason.rests_on] for reason in case.finding.reasons] == [
        ["police"],
        ["transport-agency"],
    ]


def test_without_an_answer_there_is_no_finding_that_says_eligible(office: Office) -> None:
    office.case(ASKED_AT)
    answers = answers_of(Life(), ASKED_AT.date())
    office.answer({item: content for item, content in answers.items() if item != "vehicles"})
    case = office.case(ASKED_AT + 30 * DAY)
    assert case.finding is None or case.finding.outcome == "incomplete"
    office.answer({"vehicles": None})
    again = office.case(ASKED_AT + 31 * DAY)
    assert again.finding is not None
    assert again.finding.outcome == "eligible"
