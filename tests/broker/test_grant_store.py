"""The grants' store on SQLite and PostgreSQL: of many deciders one wins, and a history that was touched shows it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from exchange.connect.config import Database
from exchange.connect.database import Paths, engine
from exchange.errors import ExchangeError
from exchange.grants import tables
from exchange.grants.history import Event, HistoryError
from exchange.grants.life import Act, Actor, Request, Rules, WrongStateError, step, submit
from exchange.grants.store import GrantStore, GrantStoreUnavailableError, NoRequestError
from exchange.sql import DatabaseUrlError
from tests.rigs import routing

NOW = datetime(2026, 6, 1, 2, 3, 4, 567000, tzinfo=UTC)
OFFICE = Rules("bureau", "open")
WANG = Actor("wang", "civil")


@pytest.fixture
def store(url: str) -> Iterator[GrantStore]:
    with closing(GrantStore(url)) as made:
        yield made


def ask(store: GrantStore) -> Request:
    with store.writing() as writer:
        number = writer.next_number()
        grant = routing.grant(f"g{number}", subject=f"tax.s{number}", reader="civil")
        made = submit(number, grant, WANG, NOW, OFFICE)
        writer.put(made, Event(NOW, WANG, "request", grant.id, number, body=grant.model_dump_json(by_alias=True)))
    return made


def decide(url: str, number: int, act: Act, person: str) -> str:
    """As a process of its own would."""
    actor = Actor(person, "bureau")
    with closing(GrantStore(url)) as store, store.writing() as writer:
        request = writer.request(number)
        done = step(request, act, actor, NOW, OFFICE, "Because.")
        writer.put(done, Event(NOW, actor, act, request.grant.id, number, "Because."))
    return act


def test_what_is_written_is_read(store: GrantStore) -> None:
    asked = ask(store)
    assert store.request(1) == asked
    reviewed = step(asked, "review", Actor("li", "bureau"), NOW + timedelta(days=1), OFFICE)
    with store.writing() as writer:
        writer.put(reviewed, Event(NOW, Actor("li", "bureau"), "review", "g1", 1, "Complete."))
    assert store.request(1) == reviewed
    ask(store)
    assert [r.number for r in store.requests()] == [1, 2]
    assert [r.number for r in store.requests(states=("reviewed",))] == [1]
    assert [r.number for r in store.requests(subject="tax.s2", reader="civil")] == [2]
    assert [(e.act, e.actor.person, e.reason) for e in store.events("g1")] == [
        ("request", "wang", ""),
        ("review", "li", "Complete."),
    ]
    with pytest.raises(NoRequestError):
        store.request(3)


def test_of_many_deciders_one_wins(url: str, store: GrantStore) -> None:
    for _ in range(5):
        number = ask(store).number
        start = threading.Barrier(6)

        def run(person: int, start: threading.Barrier = start, number: int = number) -> str:
            start.wait()
            try:
                return decide(url, number, "approve" if person % 2 else "reject", f"p{person}")
            except WrongStateError:
                return ""

        with ThreadPoolExecutor(6) as pool:
            [won] = [act for act in pool.map(run, range(6)) if act]
        events = [e.act for e in store.events(f"g{number}")]
        assert events == ["request", won]
        assert store.request(number).state == {"approve": "approved", "reject": "rejected"}[won]
    assert store.verify()[0] == 10


def test_many_writers_leave_one_history(url: str, store: GrantStore) -> None:
    def many(_: int) -> None:
        with closing(GrantStore(url)) as own:
            for _ in range(5):
                ask(own)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(many, range(4)))
    assert [r.number for r in store.requests()] == list(range(1, 21))
    assert store.verify()[0] == 20


def test_a_fault_undoes_all_of_a_step(store: GrantStore) -> None:
    asked = ask(store)
    with pytest.raises(RuntimeError), store.writing() as writer:  # noqa: PT012
        writer.put(asked, Event(NOW, WANG, "again", "g1", 1))
        raise RuntimeError
    assert len(store.events("g1")) == 1
    assert store.verify()[0] == 1


@pytest.mark.parametrize(
    "touch",
    [
        update(tables.events).where(tables.events.c.seq == 2).values(reason="Another."),
        update(tables.events).where(tables.events.c.seq == 2).values(time_ms=5),
        update(tables.events).where(tables.events.c.seq == 2).values(digest=bytes(32)),
        delete(tables.events).where(tables.events.c.seq == 2),
        delete(tables.events).where(tables.events.c.seq == 3),
        insert(tables.events).values(
            seq=4, time_ms=5, person="eve", department="x", act="approve", grant_id="g1", reason="", body="",
            digest=bytes(32),
        ),
        update(tables.head).values(seq=2),
    ],
    ids=["reason", "time", "digest", "removed", "cut off", "put in", "head"],
)  # fmt: skip
def test_a_history_that_was_touched_shows_it(store: GrantStore, touch: object) -> None:
    for _ in range(3):
        ask(store)
    assert store.verify()[0] == 3
    with store.engine.begin() as connection:
        connection.execute(touch)  # type: ignore[call-overload]
    with pytest.raises(HistoryError):
        store.verify()


def test_notices_are_given_once(store: GrantStore) -> None:
    day = date(2026, 12, 31)
    given = []
    for until, days in ((day, 30), (day, 30), (day, 7), (day.replace(year=2027), 30)):
        with store.writing() as writer:
            given.append(writer.notice("g1", until, days, NOW))
    assert given == [True, False, True, True]
    with pytest.raises(RuntimeError), store.writing() as writer:  # noqa: PT012
        writer.notice("g2", day, 30, NOW)
        raise RuntimeError
    with store.writing() as writer:
        assert writer.notice("g2", day, 30, NOW)


def test_processes_that_begin_at_once_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: GrantStore(url), range(8)))
    for store in stores:
        ask(store)
        store.close()
    with closing(GrantStore(url)) as store, store.engine.connect() as connection:
        assert len(connection.execute(select(tables.head)).all()) == 1
        assert store.verify()[0] == 8


def test_an_empty_file_takes_its_write_ahead_log_from_many_at_once(tmp_path: Path) -> None:
    def opens(folder: int) -> None:
        GrantStore(f"sqlite:///{tmp_path / str(folder)}.db").close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(opens, sorted([*range(60)] * 16)))


def test_a_sink_waits_for_its_write_ahead_log_while_another_writes(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "sink.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # under which SQLite refuses the change at once
    end = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    end.start()
    made = engine(Database(url="sqlite:///sink.db"), Paths(tmp_path, tmp_path), writes=True)
    with made.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    end.join()
    other.close()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("nonsense", DatabaseUrlError),
        ("nosuch://host/db", DatabaseUrlError),
        ("sqlite:////no/such/folder/grants.db", GrantStoreUnavailableError),
        ("postgresql+psycopg://SECRET:SECRET@127.0.0.1:1/x", GrantStoreUnavailableError),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_without_secrets(wrong: str, error: type[ExchangeError]) -> None:
    with pytest.raises(error) as raised:
        GrantStore(wrong)
    assert "SECRET" not in str(raised.value)
