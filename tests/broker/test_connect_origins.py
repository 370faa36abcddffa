"""A source whose file names another origin than before: the rows that are published are those of the table."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.connect import cursor
from exchange.connect.cdc.captured import BEGUN, READ, TAKEN
from exchange.connect.cdc.setup import name_of
from tests.broker.test_connect_deletions import project
from tests.rigs.deliveries import drain
from tests.rigs.income_table import IncomeTable, Key, history, settled
from tests.rigs.project import Project

__all__ = ["project"]

SWEPT: dict[str, Any] = {"table": "income", "cursor": {"time": "at", "id": "serial"}, "sweep": {"every": "1s"}}
LOGGED = {"table": "income", "cdc": "postgresql"}


@pytest.fixture
def register(project: Project, postgres_database: str) -> IncomeTable:
    made = IncomeTable(project, postgres_database)
    made.sql(f"CREATE PUBLICATION {name_of(project.subject)} FOR TABLE income")
    return made


def take(register: IncomeTable, **origin: Any) -> None:
    """Publish what this origin has, which becomes that of the source."""
    url = register.engine.url.render_as_string(hide_password=False)
    source = {"subject": register.project.subject, "page_rows": 40, **origin}
    register.project.connector(register.project.owner, database=url, sources=[source])
    drain(register.project, register.project.owner)
    if "cdc" in origin:  # what other origins knew is forgotten, because it is wrong from now on
        known = cursor.read(register.project.cluster, register.project.owner, register.project.subject)
        assert known.keys() <= {BEGUN, READ, TAKEN}


def drop(register: IncomeTable, name: str) -> dict[str, Any]:
    """The register as a file; what takes it in."""
    folder = register.project.folder / "drop"
    folder.mkdir(exist_ok=True)
    there = register.keys()
    columns = "serial,resident_id,year,amount,paid_on,recorded_at"
    lines = [f"{serial},{resident},2024,1.5,2025-02-28,2025-03-01 08:00:00" for resident, serial in sorted(there)]
    (folder / name).write_text("\n".join([columns, *lines]) + "\n")
    (folder / f"{name}.done").touch()
    return {"csv": {"folder": str(folder), "mode": "full"}, "brake": 1.0}


def present(project: Project) -> set[Key]:
    """The rows that are there according to what was published; a log may say again what another origin noticed."""
    return {key for key, events in history(project).items() if events[-1] == "row"}


def test_the_published_rows_are_those_of_the_table_whatever_finds_them(project: Project, register: IncomeTable) -> None:
    register.insert(100)
    take(register, **SWEPT, brake=1.0)
    register.delete(1, 2)
    take(register, **SWEPT, brake=1.0)
    register.insert(10)
    take(register, **LOGGED)
    register.touch(5)
    register.delete(3, 4)
    take(register, **LOGGED)
    assert settled(project) == register.keys()
    register.insert(10)
    take(register, **SWEPT, brake=1.0)
    register.delete(5, 6)
    take(register, **SWEPT, brake=1.0)
    assert settled(project) == register.keys()
    register.delete(7, 8)
    take(register, **drop(register, "1.csv"))
    assert settled(project) == register.keys()
    register.delete(9, 10)
    take(register, **SWEPT, brake=1.0)
    assert settled(project) == register.keys()
    register.touch(11)
    take(register, **LOGGED)
    register.delete(11, 12)
    take(register, table="income", cdc={"kind": "postgresql", "snapshot": 2})
    assert present(project) == register.keys()
    take(register, **SWEPT, brake=1.0)
    register.delete(13, 14)
    take(register, **SWEPT, brake=1.0)
    assert present(project) == register.keys()
    register.delete(15, 16)
    take(register, table="income", cdc={"kind": "postgresql", "snapshot": 3})
    assert present(project) == register.keys()
