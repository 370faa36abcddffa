"""The questions and answers in the department's database: what is open, and answers that are written at most once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exchange.cases.answering.answer_tables import ANSWERS, answers, metadata, question_table, queue
from exchange.cases.answering.items import Asker
from exchange.cases.case_database import own_database
from exchange.connect import database
from exchange.connect.database import Paths, translated
from exchange.connect.dialects import known as dialects
from exchange.connect.load import Connector

PAGE = 500  # open questions that are read at once


@dataclass(frozen=True)
class ReceivedQuestion:
    """A question as it stands in the sink's table; `answered_to`: who has an answer with its id, if anybody has."""

    question_id: str
    to: str
    type: str
    item: str
    party_id: str
    party_name: str
    period_from: date | None
    period_until: date | None
    as_of: date | None
    parameters: str
    authorisation: str
    due_on: date | None
    answered_to: str | None = None


@dataclass(frozen=True)
class Reply:
    """What a question is answered; `content` is JSON, and `{}` unless `status` is `found`."""

    status: str
    content: str = "{}"
    reason: str | None = None
    data_as_of: date | None = None
    answered_by: str = "query"


@dataclass(frozen=True)
class QueuedQuestion:
    """A question that waits for a person: why, and since when."""

    question: ReceivedQuestion
    asker: str
    cause: str
    queued_at: datetime


class AnswerStore:
    """One connector's database, SQLite or PostgreSQL; `make` creates the tables that are missing."""

    def __init__(self, connector: Connector, paths: Paths, *, writes: bool = True) -> None:
        chosen = own_database(connector, paths)
        database.require_file(chosen, paths)
        self.engine: Engine = database.engine(chosen, paths, writes=writes)
        self.dialect = dialects.of(self.engine)
        self.timeout_s = chosen.timeout_s

    def make(self) -> None:
        """Create the tables that are missing."""
        with translated(f"make {ANSWERS}"), self.dialect.making(self.engine) as connection:
            metadata.create_all(connection)

    def close(self) -> None:
        """Disconnect."""
        self.engine.dispose()

    def open_questions(self, asker: Asker, department: str) -> Iterator[ReceivedQuestion]:
        """The asker's questions without an answer that are not in the queue either, by id.

        One with the id of an answer to somebody else is among them.
        """
        last: str | None = None
        while True:
            page = self._page(asker, department, last)
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].question_id

    def _page(self, asker: Asker, department: str, last: str | None) -> list[ReceivedQuestion]:
        asked = question_table(asker.table)
        is_open = sa.and_(
            sa.or_(answers.c.to.is_(None), answers.c.to != asker.department), queue.c.question_id.is_(None)
        )
        query = (
            sa.select(*asked.c, answers.c.to.label("answered_to"))
            .outerjoin_from(asked, answers, answers.c.question_id == asked.c.question_id)
            .outerjoin(queue, queue.c.question_id == asked.c.question_id)
            .where(asked.c.to == department, is_open)
        )
        if last is not None:
            query = query.where(asked.c.question_id > last)
        with translated(f"read {asker.table}"), self.engine.connect() as connection:
            if last is None and not sa.inspect(connection).has_table(asked.name, asked.schema):
                return []  # the sink has not made it yet
            rows = connection.execute(query.order_by(asked.c.question_id).limit(PAGE))
            return [_question(row) for row in rows]

    def answer(self, asker: Asker, question: ReceivedQuestion, reply: Reply, queried: datetime, now: datetime) -> bool:
        """Write the answer, unless another one came before it or the question is withdrawn; return whether it did."""
        with translated(f"write {ANSWERS}"), self.engine.begin() as connection:
            return self._answer(connection, asker, question, reply, queried, now)

    def enqueue(self, asker: Asker, question: ReceivedQuestion, cause: str, now: datetime) -> bool:
        """Put the question into the people's queue, as `answer` does."""
        row = {"question_id": question.question_id, "asker": asker.department, "cause": cause, "queued_at": now}
        with translated(f"write {queue.name}"), self.engine.begin() as connection:
            return self._insert(connection, asker, question, queue, row)

    def queued(self, asker: Asker, question_id: str | None = None) -> list[QueuedQuestion]:
        """The asker's questions that wait for a person, the oldest first; or only the one with that id."""
        asked = question_table(asker.table)
        query = (
            sa.select(*asked.c, queue.c.asker, queue.c.cause, queue.c.queued_at)
            .join_from(asked, queue, queue.c.question_id == asked.c.question_id)
            .where(queue.c.asker == asker.department, queue.c.answered_at.is_(None))
            .order_by(queue.c.queued_at, asked.c.question_id)
        )
        if question_id is not None:
            query = query.where(asked.c.question_id == question_id)
        with translated(f"read {queue.name}"), self.engine.connect() as connection:
            if not all(sa.inspect(connection).has_table(t.name, t.schema) for t in (asked, queue)):
                return []
            rows = connection.execute(query)
            return [QueuedQuestion(_question(row), row.asker, row.cause, row.queued_at) for row in rows]

    def answer_queued(self, asker: Asker, question: ReceivedQuestion, reply: Reply, person: str, now: datetime) -> bool:
        """Write a person's answer, and who gave it, as `answer` does."""
        done = sa.update(queue).where(queue.c.question_id == question.question_id)
        with translated(f"write {ANSWERS}"), self.engine.begin() as connection:
            if not self._answer(connection, asker, question, reply, now, now):
                return False
            connection.execute(done.values(person=person, answered_at=now))
            return True

    def _answer(
        self,
        connection: Connection,
        asker: Asker,
        question: ReceivedQuestion,
        reply: Reply,
        queried: datetime,
        now: datetime,
    ) -> bool:
        row = {
            "question_id": question.question_id,
            "to": asker.department,
            "party_id": question.party_id,
            "status": reply.status,
            "content": reply.content,
            "reason": reply.reason,
            "data_as_of": reply.data_as_of,
            "queried_at": queried,
            "answered_by": reply.answered_by,
            "updated_at": now,
        }
        return self._insert(connection, asker, question, answers, row)

    def _insert(
        self, connection: Connection, asker: Asker, question: ReceivedQuestion, table: sa.Table, row: dict[str, Any]
    ) -> bool:
        """Insert the row if the table has none for the question, and if the question is still there."""
        asked = question_table(asker.table)
        insert = self.dialect.insert(table).values(row).on_conflict_do_nothing()
        is_new = connection.scalar(insert.returning(table.c.question_id)) is not None
        # SQLite has let in no other writer since the insert; in PostgreSQL, the lock waits for one that withdraws it.
        is_there = sa.select(asked.c.question_id).where(
            asked.c.question_id == question.question_id, asked.c.party_id == question.party_id
        )
        if not is_new or connection.scalar(is_there.with_for_update(read=True)) is None:
            connection.rollback()
            return False
        return True


def _question(row: Any) -> ReceivedQuestion:
    return ReceivedQuestion(
        question_id=row.question_id,
        to=row.to,
        type=row.type,
        item=row.item,
        party_id=row.party_id,
        party_name=row.party_name,
        period_from=row.period_from,
        period_until=row.period_until,
        as_of=row.as_of,
        parameters=row.parameters or "",
        authorisation=row.authorisation or "",
        due_on=row.due_on,
        answered_to=getattr(row, "answered_to", None),
    )
