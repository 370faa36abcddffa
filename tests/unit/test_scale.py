"""The runs at the city's size, at a tiny one: figures are counted, not written, and a wrong rule or row is seen."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from exchange.apps.car_quota.quota_month import days_of
from exchange.cases.states import CaseState
from exchange.cases.statistics import COMPLETED, FOUND
from exchange.workdays import Calendar
from tests.scale import figures, quota_run
from tests.scale.__main__ import MARK, main
from tests.scale.households import INELIGIBLE
from tests.scale.progress import Progress
from tests.scale.quota_applicants import sample
from tests.scale.quota_month import REGION, Review, visits
from tests.scale.seed import Seed
from tests.scale.year import Year

SEED = Seed(open_at_end=0)
SPRING = date(2017, 2, 10)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("scale")
    (home / "city").mkdir()
    return home


@pytest.fixture(scope="module")
def year(city: Path) -> Iterator[Year]:
    """A few weeks around Spring Festival."""
    few = Seed(
        accepted=6,
        accepted_persons=14,
        completed=9,
        completed_persons=21,
        ineligible=4,
        ineligible_persons=10,
        open_at_end=0,
    )
    with closing(Year(city, f"sqlite:///{city / 'city' / 'civil-affairs.db'}", 1, few, SPRING)) as made:
        made.run(Progress(9, "cases"))
        yield made


def test_the_groups_have_the_citys_numbers() -> None:
    groups = SEED.groups(1)
    accepted = [group for group in groups if not group.carried]
    assert (sum(g.cases for g in accepted), sum(g.persons for g in accepted)) == (63_816, 142_673)
    assert sum(g.cases for g in groups) == 67_704
    assert sum(g.persons for g in groups) == 152_177
    ineligible = [group for group in groups if group.ineligible]
    assert sum(g.cases for g in ineligible) == 9_642
    assert abs(sum(g.persons for g in ineligible) - 24_544) <= 1


def test_cases_run_through_the_engine_and_the_departments_answers(year: Year) -> None:
    made = figures.counted(year)
    assert made.of(COMPLETED).cases >= 3
    assert year.events["carried"] >= 1
    assert year.fates == {"taken": sum(each.answered for each in year.departments.values())}
    cases = [year.store.case(no) for no in year.store.in_states(*CaseState)]
    questions = [question for case in cases for question in case.questions.values()]
    assert len(questions) == year.questions.sent >= sum(18 * len(case.parties) for case in cases)
    assert {question.to for question in questions} == {name for name, each in year.departments.items() if each.answered}
    assert len(year.departments) == 15


def test_what_is_found_ineligible_is_what_was_planted(year: Year) -> None:
    made = figures.counted(year)
    found = {no for no, each in made.findings.items() if each["outcome"] == "ineligible"}
    assert found == {no for no in made.findings if year.households[no].kind in INELIGIBLE}
    assert 0 < made.of(FOUND, "ineligible").cases <= len(found)


def test_the_second_program_finds_the_same_until_a_row_is_changed(year: Year, city: Path) -> None:
    made = figures.counted(year)
    assert figures.differences(year, made, city) == {}
    case_no = next(no for no, each in made.findings.items() if each["outcome"] == "eligible")
    party = year.households[case_no].ids[0]
    with closing(sqlite3.connect(city / "city" / "police.db")) as database:
        database.execute("INSERT INTO owned_car VALUES (?, 0, 'registered')", (party,))
        database.commit()
        different = figures.differences(year, made, city)
        database.execute("DELETE FROM owned_car WHERE party_id = ? AND status = 'registered'", (party,))
        database.commit()
    assert set(different) == {case_no}


def test_nobody_works_on_days_that_are_off(year: Year) -> None:
    """January 27 to February 2 are Spring Festival, and the Sunday and the Saturday around it are worked."""
    days: Counter[date] = Counter()
    for case_no in year.store.in_states(*CaseState):
        for event in year.store.history(case_no):
            if event.kind in ("opened", "asked", "answered", "decided", "closed"):
                days[event.time.date()] += 1
    assert not any(date(2017, 1, 27) <= day <= date(2017, 2, 2) for day in days)
    assert days[date(2017, 1, 22)]
    assert not days[date(2017, 1, 21)]


def test_a_quota_month_is_reviewed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "city").mkdir()
    month = days_of(quota_run.RULES, quota_run.NOVEMBER, REGION, Calendar())
    drawn = sample(4, 3, month.asked_on, seed=1)
    with closing(
        Review(tmp_path, f"sqlite:///{tmp_path / 'city' / 'transport.db'}", drawn, month, Calendar())
    ) as review:
        review.run()
        assert review.differences() == {}
        avoided = visits(review.cases())
    asked = {"police", "veterans", "social-security", "transport-agency"}
    assert avoided == {**dict.fromkeys(asked, 4), **dict.fromkeys(("market", "development-reform", "tax"), 3)}
    assert quota_run._drawn(tmp_path, "persons", 500, 40, month)
    assert "40 winners; Node draws the same" in capsys.readouterr().out


def test_a_folder_that_no_run_has_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit, match="not made by a run"):
        main(["quota", "--folder", str(tmp_path)])
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / MARK).exists()
