"""`exchange case` of the department that asks: from an application to the numbers of a year."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from exchange.cases.acts import UnauthorisedPartyError
from exchange.cases.batch import ApplicationsError
from exchange.cases.store import CaseExistsError
from tests.rigs.case_office import CaseOffice

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
    assert "canary" not in f"{said.output}{said.exception}"
    assert office.store.history("C1") == []


def test_nobody_is_no_case(office: CaseOffice) -> None:
    assert "case C1 names nobody" in str(office.run("open", "C1", *OPENED).exception)
