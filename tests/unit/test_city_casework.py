"""Planted cases: their parties are nobody else, and each department knows just those of whom it has something."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from stdnum.cn import ric, uscc

from exchange.contract.load import load
from exchange.demo.city import casework
from exchange.demo.city.households import HOUSEHOLDS
from exchange.demo.city.make import offices
from exchange.demo.city.own_tables import HOME, OWN_TABLES
from exchange.demo.city.register import City

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    loaded = load(ROOT / "topics.yaml", date(2026, 1, 1))
    found = offices(loaded, ROOT / "connectors", home)
    casework.fill(found, home)
    casework.fill(found, home)  # it begins anew each time
    [wrong] = [case for case in HOUSEHOLDS if case.contested]
    for office in found:
        casework.correct(office, wrong)
        office.engine.dispose()
    return home


def rows(home: Path, department: str, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home / "city" / f"{department}.db")) as database:
        return database.execute(query).fetchall()


def parties(home: Path) -> list[dict[str, str]]:
    found = []
    for department in casework.PLANTED:
        with casework.applications(home, department).open() as lines:
            found += list(csv.DictReader(lines))
    return found


def test_parties_have_numbers_that_are_valid_and_nobody_else_s(home: Path) -> None:
    numbers = [party["party_id"] for party in parties(home)]
    assert len(set(numbers)) == len(numbers)
    assert all(ric.is_valid(number) or uscc.is_valid(number) for number in numbers)
    city = City.draw(200_000, 440100)
    assert not set(numbers) & {*city.people.ids, *city.companies.codes}


def test_who_has_not_signed_has_no_authorisation(home: Path) -> None:
    unsigned = {party["case_no"] for party in parties(home) if not party["authorisation"]}
    assert unsigned == {case.case_no for case in HOUSEHOLDS if not case.authorised}


@pytest.mark.parametrize("department", OWN_TABLES)
def test_a_department_knows_those_of_whom_it_has_something(home: Path, department: str) -> None:
    known = {number for (number,) in rows(home, department, "SELECT party_id FROM known_party")}
    theirs = {table for table, where in HOME.items() if where == department}
    has = {number for table in theirs for (number,) in rows(home, department, f"SELECT party_id FROM {table}")}
    assert has
    assert has <= known
    if department not in casework.REGISTERS_OF_ALL:
        assert known == has


def test_a_bank_knows_two_by_another_name(home: Path) -> None:
    names = {party["party_id"]: party["name"] for party in parties(home)}
    known = dict(rows(home, "banking", "SELECT party_id, name FROM known_party"))
    assert sum(names[str(number)] != name for number, name in known.items()) == 2


def test_a_correction_replaces_what_was_wrong(home: Path) -> None:
    [wrong] = [case for case in HOUSEHOLDS if case.contested]
    number = next(party["party_id"] for party in parties(home) if party["case_no"] == wrong.case_no)
    wages = rows(home, "tax", f"SELECT fen FROM wage WHERE party_id = '{number}'")
    assert wages == [(row[2],) for row in wrong.corrected["wage"]]
