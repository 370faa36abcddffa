"""A connector that takes changes from PostgreSQL's log, against a real Kafka: `check`, and kills."""

from __future__ import annotations

import itertools
import random
from datetime import date

import pytest

from exchange.connect import load
from exchange.connect.cdc.setup import name_of
from exchange.connect.check import check
from exchange.connect.database import Paths
from exchange.contract.load import load as load_contract
from exchange.document.problem import Problem
from tests.rigs.deliveries import drain
from tests.rigs.income_table import KEY, IncomeTable, history, settled
from tests.rigs.project import Project

KILLS = 25


@pytest.fixture
def project(project: Project) -> Project:
    project.apply(key=KEY)
    return project


@pytest.fixture
def register(project: Project, postgres_database: str) -> IncomeTable:
    made = IncomeTable(project, postgres_database)
    source = {"subject": project.subject, "table": "income", "cdc": "postgresql", "page_rows": 40}
    project.connector(project.owner, database=postgres_database, sources=[source])
    return made


def problems(project: Project) -> list[Problem]:
    connector = load.load(project.folder / "connectors", project.owner)
    contract = load_contract(project.folder / "topics.yaml", date(2026, 1, 1))
    return check(connector, contract, Paths(connector.folder, project.home))


def test_check_says_what_to_run_and_then_only_warns(project: Project, register: IncomeTable) -> None:
    name = name_of(project.subject)
    found = problems(project)
    [error] = [problem for problem in found if problem.severity == "error"]
    assert error.message == f"there is no publication {name}"
    found.remove(error)
    assert len(found) == 2  # the log is kept without limit; there is no column for `employer`
    register.sql(error.remedy)
    register.insert(3)
    assert problems(project) == found
    register.sql("UPDATE income SET recorded_at = '2025-03-01 08:00:00.0001' WHERE serial = 1")
    [rejected] = [problem for problem in problems(project) if problem not in found]
    assert rejected.message.startswith("1 of the first 3 rows would be rejected: recorded_at: timestamp finer")
    register.sql("ALTER TABLE income DROP year")
    assert any("it has no column year" in problem.message for problem in problems(project))


@pytest.mark.siege
def test_kills_neither_lose_nor_repeat_changes(project: Project, register: IncomeTable) -> None:
    register.sql(f"CREATE PUBLICATION {name_of(project.subject)} FOR TABLE income")
    register.insert(300)
    drain(project, project.owner)
    register.change_through_kills(KILLS, random.Random(11))
    drain(project, project.owner)
    found = history(project)
    gone = sum(events.count("gone") for events in found.values())
    assert gone > 20, "the test tests something"
    assert settled(project) == register.keys()
    before = sum(map(len, found.values()))
    register.touch(register.next - 1)
    drain(project, project.owner)
    assert sum(map(len, history(project).values())) in (before, before + 1)  # 0 if that row was deleted
    assert all(pair != ("gone", "gone") for events in found.values() for pair in itertools.pairwise(events))
