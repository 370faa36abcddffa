"""`exchange case` of the department that asks: from an application to the numbers of a year."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from exchange.cases.acts import OtherFindingError, UnauthorisedPartyError
from exchange.cases.batch import ApplicationsError
from exchange.cases.store import CaseExistsError
from tests.rigs.case_office import CaseOffice
from tests.rigs.case_world import CLERK, DAY, NOW, STREET

OPENED = ("--type", "household", "--region", "4401", "--role", "clerk")
PERSONS = "R1,王一,A-1\nR2,王二,A-2\n"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CaseOffice]:
    with closing(CaseOffice(tmp_path)) as made:
        yield made


def test_a_case_is_opened_with_the_persons_of_standard_input_as_a_file_opens_it(office: CaseOffice) -> None:
    said = office.run("open", "C1", *OPENED, "--day", "2026-03-01", text=PERSONS)
    assert said.output == "Case C1 is opened: 2 persons.\n"
    head = "case_no,type,region,day,party_id,name,authorisation\n"
    rows = "".join(f"C2,household,4401,2026-03-01,{line}\n" for line in PERSONS.splitlines())
    office.run("import", "-", "--role", "clerk", text=head + rows)
    first, second = office.bodies("C1"), office.bodies("C2")
    assert first == [{**second[0], "case_no": "C1"}]
    assert first[0]["who"] == {"person": "li", "role": "clerk"}
    assert isinstance(office.run("open", "C1", *OPENED, text=PERSONS).exception, CaseExistsError)


def test_without_a_day_the_case_is_of_today(office: CaseOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.cli.case_open.today", lambda: date(2026, 4, 5))
    office.run("open", "C1", *OPENED, text=PERSONS)
    assert office.store.case("C1").day == date(2026, 4, 5)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("canary,王一\n", ApplicationsError),
        ("R1,王一,A-1\ncanary,王二,A-2,more\n", ApplicationsError),
        ("canary,王一,\n", UnauthorisedPartyError),
    ],
)
def test_persons_that_are_not_complete_open_no_case(office: CaseOffice, text: str, error: type[Exception]) -> None:
    said = office.run("open", "C1", *OPENED, text=text)
    assert isinstance(said.exception, error)
    assert "case_no" not in said.exception.remedy  # a column of a file of applications
    assert "canary" not in f"{said.output}{said.exception}"
    assert office.store.history("C1") == []


def test_nobody_is_no_case(office: CaseOffice) -> None:
    assert "case C1 names nobody" in str(office.run("open", "C1", *OPENED).exception)


def test_the_statistics_count_what_was_found_and_decided(office: CaseOffice) -> None:
    for case_no in ("C1", "C2", "C3"):
        office.open(case_no)
    office.engine.work(NOW)
    for case_no in ("C1", "C2"):
        office.answer_all(case_no)
    office.answer("C1/cars/2/1", status="found", content={"cars": 1})
    office.engine.work(NOW + DAY)
    for case_no, outcome in (("C1", "refused"), ("C2", "granted")):
        office.acts.decide(office.store.case(case_no), STREET, outcome, ["So."], NOW + DAY)
    counted = json.loads(office.run("statistics", "--year", "2026", "--output", "json").output)
    assert [" ".join(str(each) for each in one.values()) for one in counted] == [
        "household accepted  3 None 6 None {}",
        "household completed  2 100.00 4 100.00 {'spared': '250.50'}",
        "household found eligible 1 50.00 2 50.00 {'spared': '0.00'}",
        "household found ineligible 1 50.00 2 50.00 {'spared': '250.50'}",
        "household decided granted 1 50.00 2 50.00 {'spared': '0.00'}",
        "household decided refused 1 50.00 2 50.00 {'spared': '250.50'}",
        "household open  1 None 2 None {}",
    ]
    assert "found ineligible" in office.run("statistics").output


def test_the_list_says_of_each_case_what_its_history_says(office: CaseOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.cli.case_list.today", lambda: date(2026, 3, 31))
    for case_no in ("C1", "C2", "C3"):
        office.open(case_no)
    office.engine.work(NOW)
    office.answer_all("C1")
    office.answer_all("C2", parties=1)
    office.engine.work(NOW + 10 * DAY)
    office.acts.close(office.store.case("C3"), CLERK, "Withdrawn.", NOW)
    listed = {one["case_no"]: one for one in json.loads(office.run("list", "--output", "json").output)}
    for case_no, waits_for in (
        ("C1", ""),
        ("C2", "2 answers of tax, police, 2 late"),
        ("C3", "4 answers of tax, police"),
    ):
        shown = json.loads(office.run("show", case_no, "--output", "json").output)
        assert shown == {**shown, **listed[case_no]}
        assert listed[case_no]["waits_for"].startswith(waits_for)
    assert (listed["C2"]["due"]["day"], listed["C2"]["overdue"]) == ("2026-03-26", True)
    assert [listed[each]["outcome"] for each in ("C1", "C2", "C3")] == ["eligible", None, None]
    assert office.run("list", "--state", "found").output.splitlines()[-1] == "1 case"


def test_a_case_is_shown_with_what_was_asked_answered_contested_and_decided(office: CaseOffice) -> None:
    office.run("open", "C1", *OPENED, "--day", "2026-03-01", text=PERSONS)
    office.engine.work(NOW)
    office.answer("C1/cars/2/1", status="refused", reason="sealed by a court", answered_by="person")
    office.answer_all("C1", parties=1)
    office.engine.work(NOW + DAY)
    assert "it waits for 1 answer of tax" in office.run("show", "C1").output
    office.answer_all("C1")
    office.engine.work(NOW + DAY)
    office.run("object", "C1", "--item", "cars", "--reason", "It was sold.", "--role", "clerk")
    office.engine.work(NOW + DAY)
    for party in (1, 2):
        office.answer(f"C1/cars/{party}/2")
    office.engine.work(NOW + DAY)
    first, newest = re.findall(r"finding (\d+):", office.run("show", "C1").output)
    decision = ("decide", "C1", "granted", "--reason", "As found.", "--role", "street-office", "--finding")
    assert isinstance(office.run(*decision, first).exception, OtherFindingError)
    office.run(*decision, newest)
    office.run("close", "C1", "--reason", "Paid.", "--role", "clerk")
    shown = office.run("show", "C1").output
    for line in (
        "opened  li (clerk)  2 persons, day 2026-03-01, region 4401",
        "asked  (engine)  round 1, 4 questions to tax, police",
        "answered  (engine)  C1/cars/2/1 of police: refused, sealed by a court, by a person",
        "contradicted  (engine)  C1/cars/2/1 of police: nothing found",
        "objected  li (clerk)  cars: It was sold.",
        "asked  (engine)  round 2, 2 questions to police",
        "decided  li (street-office)  granted: As found.",
        "closed  li (clerk)  Paid.",
    ):
        assert line in shown, (line, shown)
    assert "C1/wages/1/1 of tax: found, total 400.00" in shown
