"""The thread that answers: what it says of itself while a query fails, and that the others are answered meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange import metrics
from exchange.cases.answering import answer_worker
from exchange.cases.answering.answer_worker import UnansweredError, UnansweredForNowError, workers
from exchange.connect import worker as connect_worker
from exchange.connect.load import ConnectorConfigError
from exchange.connect.runner import RunningConnector
from exchange.waiting import until
from tests.rigs.answering import NAME, NUMBER, SINK, STUDY, WAGES, TaxOffice

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS total FROM n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_worker, "POLL_S", 0.02)
    monkeypatch.setattr(connect_worker, "LAST_BACKOFF_S", 0.05)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[TaxOffice]:
    made = TaxOffice(f"sqlite:///{tmp_path}/tax.db", tmp_path)
    yield made
    made.close()


def started(office: TaxOffice, *, patient: bool = True) -> RunningConnector:
    stop = threading.Event()
    made = workers(office.connector, office.folder, stop, patient=patient)
    for one in made:
        one.start()
    return RunningConnector(tuple(made), stop)


def ended(connector: RunningConnector) -> None:
    connector.stop.set()
    connector.wait(until_idle=False)


def counted(item: str, outcome: str) -> float:
    labels = {"department": "tax", "type": "household" if item != "other" else item, "item": item, "outcome": outcome}
    return metrics.REGISTRY.get_sample_value("exchange_case_questions_total", labels) or 0.0


def test_it_answers_what_comes_and_counts_by_item(office: TaxOffice) -> None:
    before = {key: counted(*key) for key in (("wages", "answered"), ("study", "queued"), ("wages", "failed"))}
    connector = started(office)
    assert office.answered() == {}  # the tables are there before the thread has done anything
    assert until(lambda: connector.workers[0].idle, 30, 0.01)
    assert connector.health().facts == {"answerer civil-affairs.question": "idle"}
    office.ask()
    office.ask("c1/study/1/1", item="study")
    assert until(lambda: office.answered() and office.queued(), 30, 0.01)
    assert until(lambda: connector.workers[0].idle, 30, 0.01)
    assert connector.health().facts["answerer civil-affairs.question"].startswith("idle (2 rows")
    ended(connector)
    grown = {key: counted(*key) - count for key, count in before.items()}
    assert grown == {("wages", "answered"): 1, ("study", "queued"): 1, ("wages", "failed"): 0}


def test_a_query_that_fails_is_seen_and_the_others_are_answered(
    office: TaxOffice, caplog: pytest.LogCaptureFixture
) -> None:
    office.write(WAGES | {"item": "broken", "query": "SELECT 1 AS total FROM nowhere"}, WAGES)
    for number in (1, 2):
        office.ask(f"c{number}/broken/1/1", item="broken")
    office.ask("c3/other/1/1", item="canary-7f3a")
    office.ask("c4/wages/1/1")
    before = counted("broken", "failed"), counted("other", "failed")
    with caplog.at_level(logging.WARNING):
        connector = started(office)
        assert until(lambda: "c4/wages/1/1" in office.answered(), 30, 0.01)
        assert until(lambda: not connector.health().ok, 30, 0.01)
        said = connector.health().facts["answerer civil-affairs.question"]
        assert "[unanswered]: 3 questions are not answered: [database-config] query of broken of household: " in said
        assert "no such table: nowhere) (2 times); [answer-query] a question is about an item that" in said
        assert connector.health().failing == {metrics.Part("answerer", "civil-affairs.question"): True}
        office.engine.connect().exec_driver_sql("CREATE TABLE nowhere (x)").connection.commit()
        office.withdraw("c3/other/1/1")
        office.withdraw("c1/broken/1/1")
        assert until(lambda: "c2/broken/1/1" in office.answered(), 30, 0.01)
        assert until(lambda: connector.health().ok, 30, 0.01)
        ended(connector)
    assert counted("broken", "failed") - before[0] >= 2
    assert counted("other", "failed") - before[1] >= 1
    told = caplog.text + said
    assert not any(secret in told for secret in (NUMBER, NAME, "canary", "c2/broken"))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"query": "SELECT 1 AS no"}, UnansweredError),
        (
            {"query": ENDLESS},
            UnansweredForNowError,
        ),
    ],
)
def test_until_idle_ends_if_only_a_person_can_help(
    office: TaxOffice, changes: dict[str, Any], error: type[Exception]
) -> None:
    office.write(WAGES | changes, timeout_s=0.1)
    office.ask()
    connector = started(office, patient=False)
    assert until(lambda: connector.workers[0].error is not None, 30, 0.01)
    assert type(connector.workers[0].error) is error
    if error is UnansweredForNowError:
        assert connector.workers[0].is_alive()
        ended(connector)
    else:
        with pytest.raises(UnansweredError):
            connector.wait(until_idle=True)


def test_without_a_block_there_are_no_threads_and_a_wrong_one_refuses_to_start(office: TaxOffice) -> None:
    office.write()
    assert workers(office.connector, office.folder, threading.Event(), patient=True) == []
    for wrong in (
        {"answers": [STUDY | {"by": "machine"}]},
        {"answers": [STUDY], "sinks": []},
        {"answers": [STUDY], "sources": []},
        {"answers": [STUDY], "sinks": [SINK | {"database": "sqlite:///x.db"}]},
        {"answers": [STUDY, STUDY]},
    ):
        office.write(**wrong)
        with pytest.raises(ConnectorConfigError):
            workers(office.connector, office.folder, threading.Event(), patient=True)
