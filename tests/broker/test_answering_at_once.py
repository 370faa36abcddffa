"""Both databases: a question gets one answer, whoever else answers and whenever a process ends; no query is endless."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from exchange.cases.answering import person_queue
from exchange.cases.answering.answer_store import AnswerStore, Reply
from tests.rigs.answering import NOW, STUDY, WAGES, TaxOffice


@pytest.fixture
def office(url: str, tmp_path: Path) -> Iterator[TaxOffice]:
    made = TaxOffice(url, tmp_path)
    yield made
    made.close()


def ask_all(office: TaxOffice) -> set[str]:
    """Questions of every outcome."""
    return {
        office.ask("c1/wages/1/1"),
        office.ask("c2/wages/1/1", period_until=date(2025, 1, 1)),
        office.ask("c3/wages/1/1", party_id="nobody"),
        office.ask("c4/wages/1/1", authorisation=""),
        office.ask("c5/wages/1/1", party_name="another"),
        office.ask("c6/study/1/1", item="study"),
    }


def test_a_query_over_the_databases_types(office: TaxOffice) -> None:
    asked = office.ask()
    assert [(one.outcome, one.error) for one in office.look()] == [("answered", None)]
    row = office.answered()[asked]
    assert json.loads(row["content"]) == {"total": "30000.60", "months": 3, "over_limit": True, "bracket": "high"}
    assert (row["data_as_of"], row["queried_at"]) == (date(2025, 3, 28), NOW.replace(microsecond=123_000))


@pytest.mark.parametrize(
    ("limit", "is_over"), [("30000.59", True), ("30000.60", False), ("9", True), ("100000", False)]
)
def test_a_parameter_that_is_a_number_is_compared_as_one(office: TaxOffice, limit: str, is_over: bool) -> None:
    asked = office.ask(parameters=json.dumps({"limit": limit}))
    office.look()
    assert json.loads(office.answered()[asked]["content"])["over_limit"] is is_over


def test_a_code_with_a_leading_zero_is_text(office: TaxOffice) -> None:
    query = "SELECT COUNT(*) AS months FROM income WHERE substr(month, 6) = :limit AND resident_id = :party_id"
    office.write(WAGES | {"query": query, "answer": {"months": {"shape": "count"}}})
    asked = office.ask(parameters='{"limit": "02"}')
    office.look()
    assert office.answered()[asked]["content"] == '{"months":1}'


class Killed(BaseException):
    """Ends a process at once: nothing catches it."""


def kill_at(store: AnswerStore, number: int) -> list[int]:
    """Have the store's process end before its statement, commit or rollback of that number; what it counts up to."""
    count = [0]

    def step(*_: Any) -> None:
        count[0] += 1
        if count[0] == number:
            raise Killed

    event.listen(store.engine, "before_cursor_execute", step)
    event.listen(store.engine, "commit", step)
    return count


def test_a_kill_at_any_moment_leaves_each_question_with_one_answer_or_open(office: TaxOffice) -> None:
    asked = ask_all(office)
    number = kills = 0
    while True:
        number += 1
        for table in ("exchange_answers", "exchange_answer_queue"):
            with office.engine.begin() as connection:
                if sa.inspect(connection).has_table(table):
                    connection.execute(sa.text(f"DELETE FROM {table}"))
        store = office.store()
        steps = kill_at(store, number)
        try:
            office.look(store)
        except Killed:
            kills += 1
        store.engine.dispose()
        before = office.answered().keys() | office.queued().keys()
        office.look()
        assert office.answered().keys() | office.queued().keys() == asked
        assert not office.answered().keys() & office.queued().keys()
        assert before <= asked
        if steps[0] < number:
            break
    assert kills > 15


def test_two_connectors_answer_each_question_once(office: TaxOffice) -> None:
    asked = {office.ask(f"c{i:03d}/wages/1/1", party_name="x" if i % 3 == 0 else "李安娜") for i in range(60)}
    stores = [office.store(), office.store()]
    barrier = threading.Barrier(2)
    found: list[list[str]] = [[], []]

    def answer(which: int) -> None:
        barrier.wait()
        found[which] = [one.outcome for one in office.look(stores[which])]

    threads = [threading.Thread(target=answer, args=[which]) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert office.answered().keys() | office.queued().keys() == asked
    outcomes = [*found[0], *found[1]]
    assert (outcomes.count("answered"), outcomes.count("queued"), outcomes.count("failed")) == (40, 20, 0)


def test_the_later_of_two_writers_is_told_so(office: TaxOffice) -> None:
    asked = office.ask()
    store = office.store()
    [question] = store.open_questions(office.asker, "tax")
    assert store.answer(office.asker, question, Reply("nothing_found"), NOW, NOW)
    assert not store.answer(office.asker, question, Reply("not_identified"), NOW, NOW)
    store.close()
    assert office.answered()[asked]["status"] == "nothing_found"


def test_a_question_withdrawn_while_its_query_runs_is_not_answered(office: TaxOffice) -> None:
    office.ask("c1/wages/1/1")
    office.ask("c2/wages/1/1", party_name="another")
    store = office.store()
    questions = list(store.open_questions(office.asker, "tax"))
    office.withdraw("c1/wages/1/1")
    office.withdraw("c2/wages/1/1")
    assert not store.answer(office.asker, questions[0], Reply("nothing_found"), NOW, NOW)
    assert not store.enqueue(office.asker, questions[1], "name", NOW)
    store.close()
    assert (office.answered(), office.queued()) == ({}, {})


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS months FROM n"


@pytest.mark.parametrize("endless", [ENDLESS, f"SELECT 1 AS months UNION ALL SELECT * FROM ({ENDLESS}) AS later"])
def test_a_statement_takes_no_longer_than_the_databases_timeout(office: TaxOffice, endless: str) -> None:
    slow = WAGES | {"item": "slow", "query": endless, "answer": {"months": {"shape": "count"}}}
    office.write(slow, WAGES, timeout_s=0.3)
    office.ask("c1/slow/1/1", item="slow")
    office.ask("c1/slow/2/1", item="slow")
    good = office.ask("c1/wages/1/1")
    slow_one, other = office.look()
    assert (slow_one.item, slow_one.outcome, other.outcome) == ("slow", "failed", "answered")
    assert "query of slow of household: the statement took too long" in str(slow_one.error)
    assert office.answered().keys() == {good}


def test_a_person_answers_once_and_the_queue_says_who(office: TaxOffice) -> None:
    office.write(WAGES, STUDY)
    asked = office.ask("c1/study/1/1", item="study")
    office.look()
    store = office.store()
    given = {"enrolled": "true", "years": "3"}
    arguments = (store, [office.asker], asked, "found", "li", NOW)
    steps = kill_at(store, 10**9)
    person_queue.answer(*arguments, given=given)
    store.close()
    needed = steps[0]
    row = office.answered()[asked]
    assert (row["content"], row["answered_by"], row["status"]) == ('{"enrolled":true,"years":3}', "person", "found")
    assert (office.queued()[asked]["person"], office.queued()[asked]["answered_at"]) == ("li", row["updated_at"])
    for number in range(1, needed + 1):
        again = office.ask(f"c{number + 1}/study/1/1", item="study")
        office.look()
        killed, whole = office.store(), office.store()
        kill_at(killed, number)
        with pytest.raises(Killed):
            person_queue.answer(killed, [office.asker], again, "found", "li", NOW, given=given)
        killed.engine.dispose()
        assert again not in office.answered()
        assert office.queued()[again]["person"] is None
        person_queue.answer(whole, [office.asker], again, "nothing_found", "wang", NOW)
        with pytest.raises(person_queue.NotQueuedError):
            person_queue.answer(whole, [office.asker], again, "found", "li", NOW, given=given)
        whole.close()
        assert office.queued()[again]["person"] == "wang"
