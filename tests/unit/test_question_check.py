"""A connector that asks: `exchange connector check` names each line that keeps questions in or answers out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exchange.cases import engine_worker, question_check
from exchange.cases.caseload import caseload
from exchange.connect import load
from exchange.connect.database import DatabaseConfigError
from exchange.connect.load import Connector, ConnectorConfigError
from exchange.workdays import Calendar
from tests.rigs.case_office import CONNECTOR, CaseOffice
from tests.rigs.case_world import NOW, OFFICE, sink


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CaseOffice]:
    with closing(CaseOffice(tmp_path)) as made:
        yield made


def connector(office: CaseOffice, text: str = CONNECTOR) -> Connector:
    (office.own / "connector.yaml").write_text(text, "utf-8")
    return load.load(office.own.parent, OFFICE)


def started(found: Connector) -> int:
    """How many threads the department's cases get."""
    return len(engine_worker.workers(found, found.folder, Calendar(), threading.Event(), patient=False))


def test_a_right_connector_has_no_mistakes(office: CaseOffice) -> None:
    assert question_check.check(connector(office), NOW.date()) == []
    assert started(connector(office)) == 1


SOURCE = "{subject: civil-affairs.question, table: exchange_questions, cursor: {time: updated_at, id: id}}"


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message", "remedy"),
    [
        (f"- {SOURCE}", "[]", 3, "no source publishes civil-affairs.question", f"add to `sources`: {SOURCE}"),
        (
            "exchange_questions",
            "questions",
            4,
            "civil-affairs.question does not come from the table",
            f"write {SOURCE}",
        ),
        ("updated_at", "asked_at", 4, "civil-affairs.question does not come from the table", f"write {SOURCE}"),
        ("id: id}}", "id: id}, database: sqlite:///x.db}", 4, "civil-affairs.question has a database of its", "leave"),
        ("  - subject: tax.answer\n", "", 5, "no sink takes in tax.answer", "add to `sinks`: {subject: tax.answer}"),
        ("tax.answer", "tax.answer\n    database: sqlite:///x.db", 7, "tax.answer has a database of its own", "leave"),
        ("tax.answer", "tax.answer\n    parquet: {folder: x}", 6, "tax.answer does not go into a table", "give a"),
    ],
)
def test_each_mistake_is_named_with_its_line_and_keeps_the_connector_from_starting(
    office: CaseOffice, right: str, wrong: str, line: int, message: str, remedy: str
) -> None:
    found = connector(office, CONNECTOR.replace(right, wrong, 1))
    [problem] = question_check.check(found, NOW.date())
    assert (problem.line, problem.severity) == (line, "error")
    assert problem.message.startswith(message)
    assert problem.remedy.startswith(remedy)
    with pytest.raises(ConnectorConfigError) as raised:
        started(found)
    assert raised.value.problems == (problem,)


def test_a_case_type_with_mistakes_is_not_this_check_s_to_name(office: CaseOffice) -> None:
    (office.own / "cases" / "household.yaml").write_text("title: 1\n", "utf-8")
    assert question_check.check(connector(office), NOW.date()) == []


def test_cases_follow_the_table_that_a_sink_names(office: CaseOffice) -> None:
    found = connector(
        office, CONNECTOR.replace("tax.answer", "{subject: tax.answer, table: said}").replace("subject: {", "{")
    )
    office.open()
    office.engine.work(NOW)
    office.answer_all()
    with office.store.transaction() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {sink('tax').name} RENAME TO said")
    with caseload(found, office.folder, Calendar(), NOW.date()) as its:
        assert its.engine.work(NOW).arrivals == {"taken": 4}


@pytest.mark.parametrize(
    ("url", "message"),
    [("", "cases need a database"), ("mysql://a@127.0.0.1/a", "cases do not work with MySQL")],
)
def test_cases_need_a_database_of_a_kind_that_can_keep_them(office: CaseOffice, url: str, message: str) -> None:
    given = CONNECTOR.replace("database: sqlite:///office.db", f"database: {url}" if url else "")
    found = connector(office, given)
    with pytest.raises(DatabaseConfigError, match=message), caseload(found, office.folder, Calendar(), NOW.date()):
        pass
