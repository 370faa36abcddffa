"""The store of cases on SQLite and PostgreSQL: of two writers one wins, and a history that was touched shows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import date
from traceback import format_exception
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from exchange.cases import tables
from exchange.cases.case import NextStep
from exchange.cases.events import CaseCarried, CaseEvent, Who
from exchange.cases.states import CaseState
from exchange.cases.store import (
    CaseHistoryError,
    CaseMovedError,
    CaseStore,
    CaseStoreUnavailableError,
    CaseUnknownError,
)
from exchange.errors import TransientError
from tests.rigs.case_world import CLERK, NOW, PARTIES, World


@pytest.fixture
def world(url: str) -> Iterator[World]:
    with closing(World(url)) as made:
        yield made


def carried(year: int, person: str = "li") -> CaseEvent:
    return CaseCarried(time=NOW, who=Who(person=person, role="clerk"), year=year)


def test_cases_are_listed_by_state_and_by_what_is_to_do(world: World) -> None:
    for case_no in ("C2", "C1", "C3"):
        world.open(case_no)
    store = world.store
    assert store.in_states(CaseState.OPENED, CaseState.CLOSED) == ["C1", "C2", "C3"]
    assert store.to_do(NextStep.ASK) == ["C1", "C2", "C3"]
    world.acts.close(store.case("C2"), CLERK, "Withdrawn.", NOW)
    assert store.in_states(CaseState.CLOSED) == ["C2"]
    assert store.to_do(NextStep.ASK) == store.to_carry(2027) == ["C1", "C3"]
    world.engine.work(NOW)
    assert store.to_do(NextStep.ASK) == []
    assert store.expired(NOW.date()) == []
    assert store.expired(NOW.replace(month=4).date()) == ["C1", "C3"]


def test_of_two_writers_at_once_one_is_refused_and_nothing_is_lost(url: str, world: World) -> None:
    case = world.open()
    for year in range(2027, 2032):
        start = threading.Barrier(4)

        def write(person: int, start: threading.Barrier = start, year: int = year, seen: Any = case) -> str:
            with closing(CaseStore(url)) as own, suppress(CaseMovedError):
                start.wait()
                own.append(seen, carried(year, f"p{person}"))
                return f"p{person}"
            return ""

        with ThreadPoolExecutor(4) as pool:
            [won] = [person for person in pool.map(write, range(4)) if person]
        before, case = case, world.store.case("C1")
        assert (case.year, world.store.history("C1")[-1].who.person) == (year, won)
        with pytest.raises(TransientError, match=f"case C1 has changed after event {before.last}"):
            world.store.append(before, carried(year))
    assert world.store.verify("C1") == 6


def test_two_engines_at_once_ask_once(url: str, world: World) -> None:
    for number in range(8):
        world.open(f"C{number}", PARTIES[:1])
        world.answer_all(f"C{number}", parties=1)
    worlds = [World(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda each: each.engine.work(NOW), worlds))
    for each in worlds:
        each.close()
    assert sum(each.events["asked"] for each in done) == 8
    assert [each.failed for each in done] == [{}, {}, {}]
    world.engine.work(NOW)
    assert world.store.in_states(CaseState.FOUND) == [f"C{number}" for number in range(8)]
    assert len(world.questions()) == 16
    assert world.store.verify_all() == 8 * 5
    for number in range(8):
        assert world.kinds(f"C{number}") == ["opened", "asked", "answered", "answered", "found"]


def test_what_belongs_to_an_event_is_written_with_it_or_not_at_all(world: World) -> None:
    case = world.open()

    def fails(connection: Connection) -> None:
        connection.execute(insert(tables.arrivals).values(department="a", question_id="b", party_id="c", fate="d"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        world.store.append(case, carried(2027), fails)
    assert (world.store.case("C1"), world.fates(), world.store.verify("C1")) == (case, {}, 1)


E = tables.events
OF_2 = (E.c.case_no == "C1") & (E.c.seq == 2)


@pytest.mark.parametrize(
    "touch",
    [
        update(E).where(OF_2).values(body='{"kind":"closed"}'),
        update(E).where(OF_2).values(time_ms=5),
        update(E).where(OF_2).values(kind="late"),
        update(E).where(OF_2).values(digest=bytes(32)),
        delete(E).where(OF_2),
        delete(E).where(E.c.seq == 3),
        update(E).where(E.c.seq == 1, E.c.case_no == "C1").values(case_no="C7"),
        insert(E).values(case_no="C1", seq=4, time_ms=5, kind="late", body="{}", digest=bytes(32)),
        update(tables.cases).values(last_event=2),
        update(tables.cases).values(state="decided"),
        update(tables.cases).values(next_step="find"),
        update(tables.cases).values(persons=1),
        update(tables.cases).values(numbers='{"spared":"9.00"}'),
        update(tables.cases).values(decision="granted", completed_on=date(2026, 3, 2)),
        delete(tables.cases),
    ],
    ids=[
        "body",
        "time",
        "kind",
        "digest",
        "removed",
        "cut",
        "moved",
        "put-in",
        "count",
        "state",
        "step",
        "persons",
        "sum",
        "decision",
        "case",
    ],
)
def test_a_history_that_was_touched_shows_it(world: World, touch: Any) -> None:
    case = world.open()
    for year in (2027, 2028):
        case = world.store.append(case, carried(year))
    assert world.store.verify_all() == 3
    with world.store.engine.begin() as connection:
        connection.execute(touch)
    with pytest.raises(CaseHistoryError):
        world.store.verify_all()


def test_a_case_that_is_not_there_is_said(world: World) -> None:
    for ask in (world.store.case, world.store.verify):
        with pytest.raises(CaseUnknownError):
            ask("C1")
    assert world.store.history("C1") == []


def test_processes_that_begin_at_once_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: CaseStore(url), range(6)))
    for store in stores:
        assert store.verify_all() == 0
        store.close()


def test_a_database_that_is_not_there_is_transient() -> None:
    for url in ("sqlite:////no/such/folder/office.db", "postgresql+psycopg://SECRET:SECRET@127.0.0.1:1/x"):
        with pytest.raises(CaseStoreUnavailableError) as raised:
            CaseStore(url)
        assert "SECRET" not in str(raised.value)


def test_nothing_is_written_of_what_cannot_happen(world: World) -> None:
    case = world.open()
    with pytest.raises(CaseUnknownError):
        world.store.case("C2")
    with world.store.engine.connect() as connection:
        before = connection.execute(select(tables.events)).all()
    with pytest.raises(Exception, match="has come to that year already"):
        world.store.append(case, carried(2026))
    with world.store.engine.connect() as connection:
        assert connection.execute(select(tables.events)).all() == before


def test_two_engines_at_once_count_what_nobody_asked_for(url: str, world: World) -> None:
    world.open("C1", PARTIES[:1])
    world.engine.work(NOW)
    for number in range(100, 160):
        world.answer(f"C1/wages/{number}/1")
    worlds = [World(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda each: each.engine.work(NOW), worlds))
    for each in worlds:
        each.close()
    assert set(world.fates().values()) == {"never-asked"}
    assert len(world.fates()) == 60


@pytest.mark.parametrize("body", ['{"kind":"SECRET"}', "SECRET", None])
def test_a_history_that_cannot_be_read_is_corrupt(world: World, body: str | None) -> None:
    world.store.append(world.open(), carried(2027))
    first = (E.c.case_no == "C1") & (E.c.seq == 1)
    with world.store.engine.begin() as connection:
        connection.execute(update(E).where(first).values(body=body) if body else delete(E).where(first))
    with pytest.raises(CaseHistoryError) as raised:
        world.store.case("C1")
    assert "SECRET" not in "".join(format_exception(raised.value))
