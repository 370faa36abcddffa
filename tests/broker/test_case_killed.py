"""The engine of cases, killed at each statement in turn: the next pass completes what was undisturbed done at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.rigs.case_world import CLERK, DAY, ITEMS, NOW, PARTIES, Type, World

TYPE = Type(items=(*ITEMS, replace(ITEMS[1], name="flats", asks="tax", optional=True)))


class KilledError(BaseException):
    """As if the process had ended here."""


@contextmanager
def killed_at(engine: sa.Engine, nth: int) -> Iterator[list[int]]:
    """Raise KilledError at the `nth` statement or commit, and at all that come after it; yield how many there were."""
    count = [0]

    def maybe(*_: Any) -> None:
        count[0] += 1
        if count[0] >= nth:
            raise KilledError

    hooks = ("before_cursor_execute", "commit")
    for hook in hooks:
        sa.event.listen(engine, hook, maybe)
    try:
        yield count
    finally:
        for hook in hooks:
            sa.event.remove(engine, hook, maybe)


EVERY = {"sqlite": 1, "postgresql": 5}
"""At how many of its statements a pass is killed: on PostgreSQL, the same ones take three times as long."""
STAGES: tuple[datetime, ...] = (NOW, NOW + DAY, NOW + 4 * DAY, NOW + 8 * DAY, NOW + 9 * DAY, NOW + 10 * DAY)
CASES = ("C1", "C2")


def prepare(world: World, stage: int) -> None:
    """What others do before the pass of that stage."""
    match stage:
        case 0:
            for case_no in CASES:
                world.open(case_no, PARTIES[:1])
        case 1:
            for case_no in CASES:
                world.answer(f"{case_no}/wages/1/1", status="found", content={"total": "400.00"})
            world.answer("C1/debts/1/1", status="found")
        case 3:
            world.answer("C1/cars/1/1")
            world.answer("C1/wages/1/1", status="found", content={"total": "500.00"})  # contradicts
            world.answer("C2/cars/1/1")
        case 4:
            world.answer("C1/flats/1/1")  # late
            world.acts.object(world.store.case("C2"), CLERK, ["cars", "flats"], "Wrong.", STAGES[4])
        case 5:
            world.answer("C2/cars/1/2", status="found", content={"cars": 1})
            world.answer("C2/flats/1/2")


def told(world: World) -> tuple[list[list[dict[str, Any]]], list[str], dict[str, str]]:
    """The histories without times, the questions, and what became of answers."""
    return [world.bodies(case_no) for case_no in CASES], world.questions(), world.fates()


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'office.db'}" if sqlite else str(request.getfixturevalue("postgres_database"))
    with closing(World(url, TYPE)) as made:
        if sqlite:  # a process is killed here, not the machine: nothing has to reach the disk
            made.store.engine.dispose()
            sa.event.listen(made.store.engine, "connect", lambda each, _: each.execute("PRAGMA synchronous = OFF"))
        yield made


def rows(world: World) -> dict[sa.Table, list[dict[str, Any]]]:
    """All that is in the database."""
    metadata = sa.MetaData()
    with world.store.engine.begin() as connection:
        metadata.reflect(connection)
        tables = metadata.sorted_tables
        return {table: [dict(row) for row in connection.execute(sa.select(table)).mappings()] for table in tables}


def put_back(world: World, before: dict[sa.Table, list[dict[str, Any]]]) -> None:
    """Let the database be as it was."""
    with world.store.engine.begin() as connection:
        for table, values in before.items():
            connection.execute(sa.delete(table))
            if values:
                connection.execute(sa.insert(table), values)


@pytest.mark.parametrize("stage", range(len(STAGES)))
@pytest.mark.parametrize("every", [EVERY, pytest.param({}, marks=pytest.mark.siege)], ids=["", "all"])
def test_a_pass_that_is_killed_anywhere_is_completed_by_the_next(
    world: World, stage: int, every: dict[str, int]
) -> None:
    for earlier in range(stage):
        prepare(world, earlier)
        world.engine.work(STAGES[earlier])
    prepare(world, stage)
    before = rows(world)
    with killed_at(world.store.engine, 1 << 30) as count:
        world.engine.work(STAGES[stage])
    expected = told(world)
    for nth in range(1, count[0] + 1, every.get(world.store.engine.dialect.name, 1)):
        put_back(world, before)
        with pytest.raises(KilledError), killed_at(world.store.engine, nth):
            world.engine.work(STAGES[stage])
        world.store.verify_all()
        world.engine.work(STAGES[stage])
        assert told(world) == expected, f"killed at statement {nth}"
    world.store.verify_all()


def test_the_stages_do_all_that_a_pass_can_do(world: World) -> None:
    for stage, now in enumerate(STAGES):
        prepare(world, stage)
        world.engine.work(now)
    histories, questions, fates = told(world)
    every = "opened asked answered contradicted reminded late found objected amended"
    assert {event["kind"] for history in histories for event in history} == set(every.split())
    assert len(questions) == 8
    assert set(fates.values()) == {"taken", "contradicted", "never-asked"}
