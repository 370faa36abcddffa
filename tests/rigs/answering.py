"""A tax office that answers questions about wages from its database, and a sink's table that the tests fill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from exchange.cases.answering.answer_store import AnswerStore
from exchange.cases.answering.answer_tables import answers, question_table, queue
from exchange.cases.answering.answerer import Answerer, Treated
from exchange.cases.answering.items import Asker, askers
from exchange.connect import load
from exchange.connect.database import Paths

NOW = datetime(2026, 3, 1, 4, 0, 0, 123_456, tzinfo=UTC)
NUMBER, NAME = "440106199001010011", "李 安娜"
WAGES: dict[str, Any] = {
    "question": "civil-affairs.question",
    "type": "household",
    "item": "wages",
    "query": (
        "SELECT SUM(amount) AS total, COUNT(DISTINCT month) AS months, ROUND(SUM(amount), 2) > :limit AS over_limit,"
        " CASE WHEN ROUND(SUM(amount), 2) > :limit THEN 'high' WHEN SUM(amount) >= 0 THEN 'low' END AS bracket"
        " -- a remark\nFROM income WHERE resident_id = :party_id AND day BETWEEN :period_from AND :period_until"
    ),
    "person": "SELECT name FROM resident WHERE resident_id = :party_id",
    "as_of": "SELECT MAX(day) FROM income",
    "parameters": ["limit"],
    "answer": {
        "total": {"shape": "value", "scale": 2, "unit": "CNY"},
        "months": {"shape": "count"},
        "over_limit": {"shape": "predicate"},
        "bracket": {"shape": "range", "values": ["low", "high"]},
    },
}
STUDY: dict[str, Any] = {
    "question": "civil-affairs.question",
    "type": "household",
    "item": "study",
    "by": "person",
    "answer": {"enrolled": {"shape": "predicate"}, "years": {"shape": "count"}},
}
SINK = {"subject": "civil-affairs.question"}
OUTBOX = {"subject": "tax.answer", "table": "exchange_answers", "cursor": {"time": "updated_at", "id": "id"}}


class TaxOffice:
    """Its database, of either kind, with wages of one resident; and what it answers."""

    def __init__(self, url: str, folder: Path, *items: dict[str, Any], timeout_s: float = 30) -> None:
        self.folder, self.url = folder, url
        self.write(*(items or (WAGES, STUDY)), timeout_s=timeout_s)
        self.engine = sa.create_engine(url)
        metadata = sa.MetaData()
        self.income = sa.Table(
            "income",
            metadata,
            sa.Column("resident_id", sa.Text),
            sa.Column("month", sa.Text),
            sa.Column("day", sa.Date),
            sa.Column("amount", sa.Numeric(12, 2)),
        )
        self.resident = sa.Table("resident", metadata, sa.Column("resident_id", sa.Text), sa.Column("name", sa.Text))
        self.asked = question_table("civil_affairs_question")
        metadata.create_all(self.engine)
        self.asked.metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(self.resident.insert().values(resident_id=NUMBER, name=NAME))
            for month in (1, 2, 3):
                wage = {"month": f"2025-{month:02d}", "day": date(2025, month, 28), "amount": 10_000 + month / 10}
                connection.execute(self.income.insert().values(resident_id=NUMBER, **wage))

    def write(self, *items: dict[str, Any], timeout_s: float = 30, **changes: Any) -> None:
        """Write its connector.yaml."""
        (self.folder / "tax").mkdir(exist_ok=True)
        config = {
            "department": "tax",
            "database": {"url": self.url, "timeout_s": timeout_s},
            "sources": [OUTBOX],
            "sinks": [SINK],
            "answers": list(items),
        } | changes
        (self.folder / "tax" / "connector.yaml").write_text(json.dumps(config, ensure_ascii=False))

    @property
    def connector(self) -> load.Connector:
        return load.load(self.folder, "tax")

    @property
    def asker(self) -> Asker:
        [found] = askers(self.connector)
        return found

    def store(self) -> AnswerStore:
        made = AnswerStore(self.connector, Paths(self.folder / "tax", self.folder))
        made.make()
        return made

    def ask(self, question_id: str = "c1/wages/1/1", **changes: Any) -> str:
        """A question arrives."""
        row = {
            "question_id": question_id,
            "to": "tax",
            "type": "household",
            "item": "wages",
            "party_id": NUMBER,
            "party_name": NAME,
            "period_from": date(2025, 1, 1),
            "period_until": date(2025, 12, 31),
            "parameters": '{"limit":"20160.00"}',
            "authorisation": "A-1",
            "due_on": date(2026, 3, 8),
        } | changes
        with self.engine.begin() as connection:
            connection.execute(self.asked.insert().values(row))
        return question_id

    def withdraw(self, question_id: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(self.asked.delete().where(self.asked.c.question_id == question_id))

    def look(self, store: AnswerStore | None = None) -> list[Treated]:
        """One pass."""
        made = store or self.store()
        try:
            return list(Answerer(made, "tax", self.asker, lambda: NOW).answer_all())
        finally:
            if store is None:
                made.close()

    def answered(self) -> dict[str, Mapping[str, Any]]:
        with self.engine.connect() as connection:
            rows = list(connection.execute(sa.select(answers).order_by(answers.c.id)).mappings())
        assert len({row["question_id"] for row in rows}) == len(rows)
        return {row["question_id"]: row for row in rows}

    def queued(self) -> dict[str, Mapping[str, Any]]:
        with self.engine.connect() as connection:
            return {row["question_id"]: row for row in connection.execute(sa.select(queue)).mappings()}

    def close(self) -> None:
        self.engine.dispose()
