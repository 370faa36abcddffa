"""A question in one department's table comes back as an answer from another's: by query, and by a person."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exchange.bus import Cluster
from exchange.cli.main import exchange
from exchange.contract.load import load as load_contract
from exchange.ledger.entry import SCHEMA_FILE
from exchange.names import inbox_topic
from exchange.plan.apply import apply, read_actual
from exchange.plan.plan import make_plan
from exchange.schema import avro
from tests.rigs.answering import NAME, NUMBER, STUDY, WAGES
from tests.rigs.brokers import clear
from tests.rigs.clients import librdkafka
from tests.rigs.daemons import Daemon
from tests.rigs.office import Office
from tests.rigs.place import Place
from tests.rigs.plain import ends, wait_until

OUTBOX = (
    'CREATE TABLE exchange_questions (id INTEGER PRIMARY KEY, question_id TEXT, "to" TEXT, type TEXT, item TEXT,'
    " party_id TEXT, party_name TEXT, period_from TEXT, period_until TEXT, as_of TEXT, parameters TEXT,"
    " authorisation TEXT, asked_at TEXT, due_on TEXT, updated_at TEXT)"
)


class Exchange:
    """Two departments with a database each, a contract that lets them ask and answer, and their connectors."""

    def __init__(self, folder: Path, cluster: Cluster, name: str) -> None:
        self.folder, self.cluster, self.home = folder, cluster, folder / "home"
        self.asker, self.asked = f"{name}a", f"{name}b"
        self._apply()
        cursor = {"time": "updated_at", "id": "id"}
        self._connector(
            self.asker,
            sources=[{"subject": f"{self.asker}.question", "table": "exchange_questions", "cursor": cursor}],
            sinks=[{"subject": f"{self.asked}.answer"}],
        )
        question = {"question": f"{self.asker}.question"}
        self._connector(
            self.asked,
            sources=[{"subject": f"{self.asked}.answer", "table": "exchange_answers", "cursor": cursor}],
            sinks=[{"subject": f"{self.asker}.question"}],
            answers=[WAGES | question, STUDY | question],
        )
        self.run(self.asker, OUTBOX)
        self.run(self.asked, "CREATE TABLE resident (resident_id TEXT, name TEXT)")
        self.run(self.asked, "CREATE TABLE income (resident_id TEXT, month TEXT, day TEXT, amount NUMERIC)")
        self.run(self.asked, "INSERT INTO resident VALUES (?, ?)", NUMBER, NAME)
        self.run(self.asked, "INSERT INTO income VALUES (?, '2025-01', '2025-01-28', 10000.1)", NUMBER)

    def _apply(self) -> None:
        title = {"zh": "测试", "en": "Test"}
        codes = {self.asker: "11440100MBX01FA1XW", self.asked: "11440100MBX02FA1XL"}
        names = {"question": (self.asker, self.asked), "answer": (self.asked, self.asker)}
        subjects, grants = [], []
        for name, (owner, reader) in names.items():
            (self.folder / f"{name}.avsc").write_text(self.command("case", "schema", name))
            subjects.append(
                {
                    "name": name,
                    "owner": owner,
                    "title": title,
                    "schema": f"{name}.avsc",
                    "entity": {"field": "party_id", "kind": "person"},
                    "key": ["party_id", "question_id"],
                    "share": "open",
                    "topic": {"partitions": 2},
                }
            )
            grants.append(
                {
                    "id": f"g-{owner}-{name}",
                    "subject": f"{owner}.{name}",
                    "reader": reader,
                    "purpose": {"code": "test", "basis": "Test law, article 1", "text": "testing"},
                    "fields": "all",
                    "where": {"to": {"eq": reader}},
                    "from": "2020-01-01",
                    "until": "2099-12-31",
                }
            )
        departments = [{"id": id_, "title": title, "credit_code": code} for id_, code in codes.items()]
        contract = {"version": 1, "departments": departments, "subjects": subjects, "grants": grants}
        (self.folder / "topics.yaml").write_text(json.dumps(contract, ensure_ascii=False))
        now = datetime.now(UTC)
        loaded = load_contract(self.folder / "topics.yaml", now.date())
        apply(self.cluster, make_plan(loaded, read_actual(self.cluster), avro.load(SCHEMA_FILE), now))

    def _connector(self, department: str, **config: Any) -> None:
        folder = self.folder / "connectors" / department
        folder.mkdir(parents=True)
        config |= {"department": department, "database": f"sqlite:///{self.folder}/{department}.db"}
        (folder / "connector.yaml").write_text(json.dumps(config, ensure_ascii=False))

    def run(self, department: str, sql: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.folder / f"{department}.db", timeout=30)) as connection, connection:
            return list(connection.execute(sql, values))

    def ask(self, question_id: str, item: str, name: str = NAME) -> None:
        now = datetime.now(UTC).isoformat(" ", "milliseconds")
        row = [None, question_id, self.asked, "household", item, NUMBER, name, "2025-01-01", "2025-12-31", None]
        row += ['{"limit":"20160.00"}', "A-1", now, "2026-03-08", now]
        self.run(self.asker, f"INSERT INTO exchange_questions VALUES ({', '.join('?' * len(row))})", *row)

    def answers(self) -> dict[str, tuple[Any, ...]]:
        """What has come back into the asker's table."""
        table = f"{self.asked}_answer"
        if not self.run(self.asker, "SELECT 1 FROM sqlite_master WHERE name = ?", table):
            return {}
        rows = self.run(
            self.asker, f"SELECT question_id, status, content, answered_by, data_as_of, reason FROM {table}"
        )
        return {row[0]: row[1:] for row in rows}

    def until_idle(self, department: str) -> None:
        Place(self.folder, self.cluster).exchange("connector", "run", department, "--until-idle")

    @contextmanager
    def connector(self, department: str) -> Iterator[None]:
        """`exchange connector run`, until the block ends."""
        daemon = Daemon(Place(self.folder, self.cluster), department, ["connector", "run", department])
        daemon.start()
        try:
            yield
            daemon.stop()
        finally:
            daemon.end()

    def command(self, *words: str) -> str:
        settings = {**Place(self.folder, self.cluster).environment, "EXCHANGE_OPERATOR": "li"}
        return CliRunner().invoke(exchange, words, env=settings, catch_exceptions=False).output


@pytest.fixture
def city(own_cluster: Cluster, tmp_path: Path, unique: str) -> Iterator[Exchange]:
    yield Exchange(tmp_path, own_cluster, unique)
    clear(own_cluster, unique)


def test_a_question_comes_back_as_an_answer_and_a_misfit_name_waits_for_a_person(
    city: Exchange, own_cluster: Cluster, unique: str
) -> None:
    assert city.command("connector", "check", city.asked).splitlines()[-1].startswith("0 errors")
    city.ask("c1/wages/1/1", "wages")
    city.ask("c2/wages/1/1", "wages", name="李安那")
    with Office(own_cluster, unique).router(), city.connector(city.asker), city.connector(city.asked):
        wait_until(lambda: "c1/wages/1/1" in city.answers(), "the answer", 60)
        content = '{"total":"10000.10","months":1,"over_limit":false,"bracket":"low"}'
        assert city.answers() == {"c1/wages/1/1": ("found", content, "query", "2025-01-28", None)}

        wait_until(lambda: "c2/wages/1/1" in city.command("case", "queue", city.asked), "the queue", 60)
        said = city.command("case", "answer", city.asked, "c2/wages/1/1", "--refused", "another person")
        assert said == "Answered; the connector publishes it.\n"
        wait_until(lambda: "c2/wages/1/1" in city.answers(), "the person's answer", 60)
        assert city.answers()["c2/wages/1/1"] == ("refused", "{}", "person", None, "another person")

        city.ask("c1/wages/1/2", "wages")
        wait_until(lambda: "c1/wages/1/2" in city.answers(), "the second round", 60)


def test_a_connector_that_runs_until_idle_has_answered_and_published_what_it_took_in(
    city: Exchange, own_cluster: Cluster, unique: str
) -> None:
    """Its source and its answerer were idle when the sink began to take the questions in."""
    asked = {f"c{number}/wages/1/1" for number in range(30)}
    for question_id in asked:
        city.ask(question_id, "wages")
    kafka = librdkafka(own_cluster)
    question, answer = (
        inbox_topic(city.asked, f"{city.asker}.question"),
        inbox_topic(city.asker, f"{city.asked}.answer"),
    )
    with Office(own_cluster, unique).router():
        city.until_idle(city.asker)
        wait_until(lambda: sum(ends(kafka, question).values()) >= len(asked), "the questions", 60)
        city.until_idle(city.asked)
        wait_until(lambda: sum(ends(kafka, answer).values()) >= len(asked), "the answers", 60)
        city.until_idle(city.asker)
    assert city.answers().keys() == asked
