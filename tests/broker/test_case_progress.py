"""Which tables of sinks the engine reads again: those whose sinks have come further, and what it could not take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from exchange.cases.store import CaseMovedError, CaseStore
from tests.rigs.case_world import DAY, NOW, OFFICE, World


@pytest.fixture
def world(url: str) -> Iterator[World]:
    with closing(World(url)) as made:
        yield made


class Sinks:
    """Says how far the sinks have come, as they do."""

    def __init__(self, world: World) -> None:
        self.store = world.store
        with self.store.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE exchange_offsets (topic TEXT, partition INT, next_offset INT)")

    def come(self, department: str, offset: int) -> None:
        topic = f"inbox.{OFFICE}.{department}.answer"
        with self.store.engine.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM exchange_offsets WHERE topic = '{topic}'")
            connection.exec_driver_sql(f"INSERT INTO exchange_offsets VALUES ('{topic}', 0, {offset})")


def test_a_sink_s_table_is_read_again_only_when_the_sink_has_come_further(world: World) -> None:
    sinks = Sinks(world)
    sinks.come("police", 1)
    world.open()
    world.engine.work(NOW)
    sinks.come("tax", 1)
    world.answer("C1/wages/1/1")
    world.engine.work(NOW + DAY)
    assert world.fates() == {"C1/wages/1/1": "taken"}
    world.answer("C1/wages/2/1")
    world.answer("C1/cars/1/1")
    world.engine.work(NOW + DAY)
    assert world.fates() == {"C1/wages/1/1": "taken"}, "the sinks have not come further"
    sinks.come("tax", 2)
    world.engine.work(NOW + DAY)
    assert world.fates().keys() == {"C1/wages/1/1", "C1/wages/2/1"}
    sinks.come("police", 2)
    world.engine.work(NOW + DAY)
    assert len(world.fates()) == 3


def test_what_could_not_be_taken_is_tried_again_though_nothing_more_has_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks = Sinks(world)
    world.open()
    world.engine.work(NOW)
    sinks.come("tax", 1)
    world.answer("C1/wages/1/1")
    with monkeypatch.context() as patch:
        patch.setattr(CaseStore, "append_all", _moved)
        assert world.engine.work(NOW + DAY).moved == 1
    world.engine.work(NOW + DAY)
    assert world.fates() == {"C1/wages/1/1": "taken"}


def test_an_answer_that_came_before_its_question_is_taken_though_nothing_more_has_come(world: World) -> None:
    sinks = Sinks(world)
    world.open("C0")
    sinks.come("tax", 1)
    world.answer("C1/wages/1/1")
    world.engine.work(NOW)
    assert world.fates() == {"C1/wages/1/1": "never-asked"}
    world.open("C1")
    world.engine.work(NOW + DAY)
    assert world.fates() == {"C1/wages/1/1": "taken"}


def _moved(*_: object) -> None:
    raise CaseMovedError("somebody else was there")
