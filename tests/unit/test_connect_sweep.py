"""A table that is swept: what is gone is deleted once, what is there never, and a great loss is asked about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange import metrics
from exchange.connect.published import ANSWER, NAMES, OWN, QUESTION
from exchange.connect.roll_call import ManyDeletionsError, Question
from exchange.connect.sql_source import SqlSource
from exchange.connect.testing import MAX_PAGES, DeletionConformance, Journal, Origin, apply, drain
from tests.rigs.keyed import SOFT, Cars, Table, drained, read


class TestSweep(DeletionConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return Cars(tmp_path, brake=1.0)


class TestSweepWithoutAnIndex(DeletionConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return Cars(tmp_path, brake=1.0, key="")


@pytest.fixture
def cars(tmp_path: Path) -> Cars:
    return Cars(tmp_path)


def answered(journal: Journal, reason: str = "really") -> None:
    question = Question.among(journal.progress)
    assert question is not None
    apply(journal.progress, question.answer("ann", reason, datetime(2026, 1, 1, tzinfo=UTC)))


def asked(cars: Cars, journal: Journal) -> None:
    with pytest.raises(ManyDeletionsError) as raised:
        drained(cars.table.source(), journal, cars)
    assert "v0" not in str(raised.value)


def test_a_row_whose_key_changes_is_deleted_under_the_old_one(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(30))
    drain(cars, journal)
    cars.table.sql.execute("UPDATE car SET vin = 'v0099', at = at + 100 WHERE vin = 'v0003'")
    drain(cars, journal)
    assert journal.deleted == [3]
    assert journal.there == {*range(30), 99} - {3}


def test_a_row_that_comes_back_while_keys_are_compared_is_not_deleted(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(30))
    drain(cars, journal)
    cars.delete([2, 3, 4])
    source = cars.table.source()
    source.open(dict(journal.progress))

    def look() -> None:
        for page in source.pages():
            journal.commit(read(page), cars)

    look()  # the first seven keys: 2 and 3 were seen to be gone
    cars.add([2, 3])
    while not source.settled():
        look()
    source.close()
    assert journal.deleted == [4]
    assert journal.there == {*range(30)} - {4}


def test_rows_published_before_the_sweep_was_set_are_adopted(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(30))
    plain = _plain(cars.table)
    plain.open({})
    for page in plain.pages():
        apply(journal.progress, page.progress)
    plain.close()
    drain(cars, journal)
    assert journal.serials == []
    cars.delete([5])
    drain(cars, journal)
    assert journal.deleted == [5]


def test_a_source_that_no_longer_sweeps_forgets_the_rows_and_a_later_one_adopts_them(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(30))
    drain(cars, journal)
    cars.add(range(30, 60))
    plain = _plain(cars.table)
    plain.open(dict(journal.progress))
    for page in plain.pages():
        apply(journal.progress, page.progress)
    plain.close()
    assert not [name for name in journal.progress if name.startswith(OWN)]
    cars.delete([5])
    drain(cars, journal)
    assert journal.deleted == [], "nobody can know it"
    cars.delete([35])
    drain(cars, journal)
    assert journal.deleted == [35]


def test_a_great_loss_is_asked_about_and_nothing_is_published_meanwhile(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(100))
    drain(cars, journal)
    cars.delete(range(40))
    asked(cars, journal)
    cars.add([200])
    for _ in range(2):
        asked(cars, journal)
    assert (journal.deleted, max(journal.serials)) == ([], 99)
    assert metrics.REGISTRY.get_sample_value("exchange_deletions_asked_rows", {"subject": "police.car"}) == 40
    answered(journal)
    drain(cars, journal)
    assert sorted(journal.deleted) == list(range(40))
    assert journal.there == {*range(40, 100), 200}
    assert metrics.REGISTRY.get_sample_value("exchange_deletions_asked_rows", {"subject": "police.car"}) == 0
    assert QUESTION not in journal.progress
    assert ANSWER in journal.progress


def test_an_answer_holds_through_kills_and_for_these_rows_only(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(100))
    drain(cars, journal)
    cars.delete(range(40))
    asked(cars, journal)
    answered(journal)
    steps = 0
    while drain(cars, journal, pages=2 if steps % 2 else 1, lose_last=steps % 2 == 0):
        steps += 1
        assert steps < MAX_PAGES
        if steps == 3:
            assert 0 < len(journal.deleted) < 40
            cars.delete(range(40, 55))  # fewer than 20 more: no question
    assert sorted(journal.deleted) == list(range(55))


def test_an_answer_does_not_hold_for_rows_that_are_missed_later(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(100))
    drain(cars, journal)
    cars.delete(range(40))
    asked(cars, journal)
    answered(journal)
    cars.delete(range(40, 80))
    asked(cars, journal)
    assert journal.deleted == []
    answered(journal)
    drain(cars, journal)
    assert sorted(journal.deleted) == list(range(80))


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_an_older_answer_does_not_hold_if_the_next_question_is_cut_short(cars: Cars, pages: int) -> None:
    journal = Journal()
    cars.add(range(100))
    drain(cars, journal)
    cars.delete(range(40))
    asked(cars, journal)
    answered(journal)
    cars.delete(range(40, 80))
    source = cars.source()
    source.open(dict(journal.progress))
    looks = source.pages()
    for _ in range(pages):
        journal.commit(next(looks), cars)
    source.close()
    asked(cars, journal)
    assert journal.deleted == []


def test_rows_that_are_brought_back_end_the_question(cars: Cars) -> None:
    journal = Journal()
    cars.add(range(100))
    drain(cars, journal)
    rows = cars.table.sql.execute("SELECT * FROM car WHERE vin < 'v0040'").fetchall()
    cars.delete(range(40))
    asked(cars, journal)
    cars.table.sql.executemany("INSERT INTO car VALUES (?, ?, ?, ?, ?)", rows[:-1])
    cars.add([200])
    drain(cars, journal)
    assert journal.deleted == [39]
    assert journal.there == {*range(100), 200} - {39}
    assert QUESTION not in journal.progress


@pytest.mark.parametrize("gone", [19, 20])
def test_few_rows_are_deleted_without_a_question(cars: Cars, gone: int) -> None:
    journal = Journal()
    cars.add(range(gone))
    drain(cars, journal)
    cars.delete(range(gone))
    if gone < 20:
        drain(cars, journal)
        assert len(journal.deleted) == gone
    else:
        asked(cars, journal)


def test_a_soft_deleted_row_is_deleted_once_and_once_only(tmp_path: Path) -> None:
    cars = Cars(tmp_path, deleted=SOFT)
    journal = Journal()
    cars.add(range(30))
    drain(cars, journal)
    cars.table.put([7], "sold")
    drain(cars, journal)
    cars.delete([7])
    drain(cars, journal)
    assert journal.deleted == [7]


def test_names_on_the_cursor_topic_grow_with_the_rows_that_are_there_only(cars: Cars) -> None:
    journal = Journal()
    for start in range(0, 1000, 100):
        cars.add(range(start, start + 100))
        drain(cars, journal)
        cars.delete(range(start, start + 19))
        drain(cars, journal)
        cars.delete(range(start + 19, start + 38))
        drain(cars, journal)
    entries = {name: value for name, value in journal.progress.items() if name.startswith(NAMES)}
    assert len(entries) <= 5
    assert sum(map(len, entries.values())) < 20 * len(journal.there)


def _plain(table: Table) -> SqlSource:
    made = table.config.model_copy(update={"sweep": None})
    return SqlSource(made, table.source().engine, None, fetch_rows=10, clock=lambda: table.now)


def test_the_suite_sees_a_source_that_deletes_what_came_back(cars: Cars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.connect.published.PublishedRows.see", lambda self, names: None)
    with pytest.raises((AssertionError, ManyDeletionsError)):
        DeletionConformance().test_a_deletion_comes_once(cars)
