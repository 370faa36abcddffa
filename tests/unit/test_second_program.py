"""The second program finds what the exchange finds: the same outcomes, sums and sets of reasons, and nothing more."""

from __future__ import annotations

import ast
import random
import re
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.rigs import household_town, quota_town
from tests.rigs.household import Planted, found, loaded
from tests.rigs.household_codes import codes
from tests.rigs.own_tables import CONNECTORS, OWN_TABLES
from tests.rigs.quota_lives import Life, answers_of, conclude, failed, rows_of
from tests.second_program.program import APPLICATION, HERE, SecondProgram
from tests.unit.test_car_quota_rule import DRAFT, LATER, unit
from tests.unit.test_case_household import test_what_is_planted_and_its_counter_example as traps

HOUSEHOLDS, LIVES = 700, 700
TRAPS = [each.values[0] for mark in traps.pytestmark for each in mark.args[1]]
UNIT = "91440101MA5ANY9X0K"


def second_households(planted: Mapping[str, Planted], missing: Iterable[tuple[Any, ...]] = ()) -> dict[str, Any]:
    """What the second program finds on them, by case."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    applications = []
    for case_no, household in planted.items():
        ids = {n: f"{case_no}/{n}" for n in range(1, household.persons + 1)}
        applications += [(case_no, "household", "4401", household.day, party, "某", "A") for party in ids.values()]
        rows.setdefault("known_party", []).extend((party, "某", None, None) for party in ids.values())
        for table, each in household.rows.items():
            at = 2 if table == "certificate" else 0
            rows.setdefault(table, []).extend((*row[:at], ids[row[at]], *row[at + 1 :]) for row in each)
    return second("household", rows, applications, missing)


def second(
    system: str,
    rows: Mapping[str, Iterable[tuple[Any, ...]]],
    applications: Iterable[tuple[Any, ...]],
    missing: Iterable[tuple[Any, ...]] = (),
) -> dict[str, Any]:
    with closing(SecondProgram(system)) as program:
        program.apply(applications)
        program.add("missing", ("case_no", "item", "number", "why"), missing)
        for department, table in program.tables():
            columns = [column.name for column in OWN_TABLES[department][table].columns]
            given = [row[: len(columns)] for row in rows.get(table, ())]
            program.add(table, columns, given, department)
        return program.findings()


def first_household(household: Planted) -> dict[str, Any]:
    """What the rule finds, in the second program's form."""
    made = found(household)
    aid = made.values.get("aid")
    return {
        "outcome": made.outcome,
        "members": int(made.values["members"]) if aid else None,
        "aid_fen": int(Decimal(aid) * 100) if aid else None,
        "reasons": codes(reason.text for reason in made.reasons),
    }


def towns(count: int, seed: int = 2016) -> dict[str, Planted]:
    rng = random.Random(seed)
    return {f"H{n}": household_town.household(rng) for n in range(count)}


def test_random_households_have_the_same_findings_and_the_same_sets_of_reasons() -> None:
    town = towns(HOUSEHOLDS)
    second_found = second_households(town)
    assert second_found.keys() == town.keys()
    different = {
        no: (first, second_found[no]) for no in town if (first := first_household(town[no])) != second_found[no]
    }
    assert not different
    told = {code.partition("/")[0] for each in second_found.values() for code in each["reasons"]}
    assert len(told) == 31  # each sentence that the rule has


def test_planted_households_have_the_same_findings() -> None:
    planted = {f"T{n}": household for n, household in enumerate(TRAPS)}
    assert second_households(planted) == {no: first_household(household) for no, household in planted.items()}


def test_one_changed_household_changes_its_own_finding_only() -> None:
    town = towns(200)
    before = second_households(town)
    changed = next(no for no, each in before.items() if each["outcome"] == "eligible")
    bought = {**town, changed: town[changed].also("owned_car", (1, 0, "registered"))}
    after = second_households(bought)
    assert {no for no in town if after[no] != before[no]} == {changed}
    assert after[changed] == first_household(bought[changed])
    assert set(after[changed]["reasons"]) - set(before[changed]["reasons"]) == {"car/1"}


@pytest.mark.parametrize("item", [item.name for item in loaded().items])
def test_a_missing_answer_never_decides(item: str) -> None:
    made = second_households({"C1": TRAPS[0]}, [("C1", item, 2, "late")])["C1"]
    assert made == {"outcome": "incomplete", "members": None, "aid_fen": None, "reasons": [f"{item}/2"]}
    assert found(TRAPS[0], {(item, 2): None}).outcome == "incomplete"


def second_lives(lives: Mapping[str, tuple[Life, date]]) -> dict[str, Any]:
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for case_no, (life, asked_on) in lives.items():
        for table, each in rows_of(life, asked_on).items():
            rows.setdefault(table, []).extend((case_no, *row[1:]) for row in each)
    return second("quota", rows, [(no, "quota", "4401", day, no, "某", "A") for no, (_, day) in lives.items()])


def first_life(life: Life, asked_on: date) -> dict[str, Any]:
    made = conclude("quota", answers_of(life, asked_on), asked_on)
    assert len(made.reasons) == len(failed(made)) or made.outcome == "eligible"
    return {"outcome": made.outcome, "codes": None, "reasons": sorted(failed(made))}


def test_random_applicants_have_the_same_eligibility_and_the_same_failed_conditions() -> None:
    rng = random.Random(2013)
    lives = {f"L{n}": quota_town.life(rng) for n in range(LIVES)}
    made = second_lives(lives)
    assert made.keys() == lives.keys()
    different = {no: (first, made[no]) for no in lives if (first := first_life(*lives[no])) != made[no]}
    assert not different
    assert len({each for one in made.values() for each in one["reasons"]}) == 7
    assert any(each["outcome"] == "eligible" for each in made.values())


def test_one_changed_applicant_changes_their_own_eligibility_only() -> None:
    lives = {f"L{n}": (Life(), date(2018, 7, 13)) for n in range(50)}
    stolen = {**lives, "L7": (replace(Life(), cars=("in use", "stolen")), date(2018, 7, 13))}
    before, after = second_lives(lives), second_lives(stolen)
    assert {no for no in lives if before[no] != after[no]} == {"L7"}
    assert after["L7"]["reasons"] == ["cars"]


@pytest.mark.parametrize("day", [DRAFT, LATER], ids=str)
@pytest.mark.parametrize("tax", ["0", "9999.99", "10000.00", "49999.99", "50000.00", "550000.00", "3550000.00", "9e6"])
@pytest.mark.parametrize(
    ("valid", "institution", "large"),
    [(True, False, False), (False, True, False), (True, True, True), (True, False, True)],
)
def test_units_have_the_same_codes_and_reasons(
    day: date, tax: str, valid: bool, institution: bool, large: bool
) -> None:
    first = unit(day, tax, valid=valid, institution=institution, large=large)
    month = (day.replace(day=1) - timedelta(days=1)).replace(day=1)
    rows = {
        "organisation": [(UNIT, "valid" if valid else "cancelled", institution * 1)],
        "tax_paid": [(UNIT, month, int(Decimal(tax) * 100)), (UNIT, month.replace(year=month.year - 1), 10**12)],
        "large_investment": [(UNIT, month)] * large,
    }
    made = second("quota", rows, [("U1", "quota-unit", "4401", day, UNIT, "某公司", "A")])["U1"]
    codes_ = first.values.get("codes")
    assert made == {
        "outcome": first.outcome,
        "codes": codes_ and int(codes_),
        "reasons": sorted(failed(first)),
    }


def test_it_reads_a_city(tmp_path: Path) -> None:
    """Databases of departments and a file of applications give what the same rows give."""
    with closing(SecondProgram("household")) as program:
        for department in {department for department, _ in program.tables()}:
            with closing(sqlite3.connect(tmp_path / f"{department}.db")) as database:
                for name, table in OWN_TABLES[department].items():
                    database.execute(f"CREATE TABLE {name} ({', '.join(column.name for column in table.columns)})")
                if department == "police":
                    database.execute("INSERT INTO civil_status VALUES ('R1', 'alive', 'single')")
                    database.execute("INSERT INTO known_party (party_id, name) VALUES ('R1', '某')")
                database.commit()
        (tmp_path / "applications").mkdir()
        rows = [",".join(APPLICATION), "C1,household,4401,2016-06-15,R1,某,A-1"]
        (tmp_path / "applications" / "civil-affairs.csv").write_text("\n".join(rows), "utf-8")
        program.read_city(tmp_path)
        made = program.findings()
    assert made == {
        "C1": {"outcome": "eligible", "members": 1, "aid_fen": 84000, "reasons": ["income_below", "nothing_excludes"]}
    }


def test_it_shares_no_code_with_what_it_checks() -> None:
    outside = {"duckdb", "pyarrow", "tests"} | set(sys.stdlib_module_names)
    for path in HERE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= outside, path
            assert all(name.startswith("tests.second_program") for name in names if name.startswith("tests")), path


def test_it_shares_no_sql_with_what_it_checks() -> None:
    """No eight words in a row of a department's query are in its SQL."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[\w:']+", re.sub(r"--.*", "", text).lower())
        return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}

    theirs = set().union(*(runs(path.read_text("utf-8")) for path in CONNECTORS.glob("*/connector.yaml")))
    assert theirs
    for path in HERE.glob("*.sql"):
        assert not runs(path.read_text("utf-8")) & theirs, path
