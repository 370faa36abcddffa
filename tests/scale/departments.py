"""The departments that are asked: a database each, the real answering code, and persons for what it leaves to them.

What the connectors, the router and Kafka do between the departments is a plain copy of rows here.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from exchange.cases import tables
from exchange.cases.answering import person_queue
from exchange.cases.answering.answer_store import AnswerStore
from exchange.cases.answering.answer_tables import answers, question_table
from exchange.cases.answering.answerer import Answerer
from exchange.cases.answering.item_queries import ItemQueries
from exchange.cases.answering.items import askers
from exchange.cases.store import CaseStore
from exchange.connect.database import Paths
from exchange.connect.load import load
from exchange.demo.city.own_tables import HOME, KNOWN, OWN_TABLES
from exchange.workdays import Calendar
from tests.rigs.case_world import sink
from tests.rigs.own_tables import CONNECTORS
from tests.scale.households import Household

ALL_KNOWN = {"police", "tax", "social-security", "health", "planning"}
"""Departments that know every resident; the others know those about whom they have rows."""
SLOW = {"banking", "securities"}
LATE = 0.002
"""The share of questions that are answered after their last day."""
REMARK = "for this department only"
_KEY = ("party_id", "question_id")
PROGRESS = sa.Table(
    tables.PROGRESS,
    sa.MetaData(),
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", sa.BigInteger),
)
"""Where sinks say how far they have come."""

Rows = Mapping[str, Sequence[tuple[Any, ...]]]
"""Table → its rows."""
Known = Mapping[str, Mapping[str, str]]
"""Department → number → name."""


def fill(home: Path, departments: Iterable[str], rows: Rows, known: Known, day: date) -> None:
    """Make the departments' databases, with these rows by table, and the names of those whom each knows by number."""
    for department in departments:
        engine = sa.create_engine(f"sqlite:///{home / 'city' / department}.db")
        with engine.begin() as connection:
            for name, table in OWN_TABLES[department].items():
                table.create(connection)
                its = known.get(department, {})
                there = rows.get(name, ()) if name != KNOWN else [(*each, day, REMARK) for each in its.items()]
                if there:
                    columns = [column.name for column in table.columns]
                    connection.execute(sa.insert(table), [dict(zip(columns, row, strict=True)) for row in there])
        engine.dispose()


def of_households(households: Iterable[Household]) -> tuple[Rows, Known]:
    """All rows about these households, and who is known to which department."""
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    known: dict[str, dict[str, str]] = defaultdict(dict)
    for each in households:
        names = dict(zip(each.ids, each.names, strict=True))
        for table, added in each.rows.items():
            rows[table] += added
            parties = (row[2 if table == "certificate" else 0] for row in added)
            known[HOME[table]] |= {party: names[party] for party in parties}
        for department in ALL_KNOWN:
            known[department] |= names
        for (department, person), name in each.known_as.items():
            known[department][each.ids[person - 1]] = name
    return rows, known


class Department:
    """One department that is asked, with its outbox, and the sink's table of its answers at the one who asks."""

    def __init__(self, department: str, home: Path, calendar: Calendar, asker: str) -> None:
        self.name, self._calendar = department, calendar
        connector = load(CONNECTORS, department)
        self._store = AnswerStore(connector, Paths(connector.folder, home))
        self._store.make()
        self._askers = [each for each in askers(connector) if each.department == asker]
        [self._asker] = self._askers
        self._asked = _keyed(question_table(self._asker.table))
        self._asked.create(self._store.engine)
        self._columns = [column.name for column in self._asked.columns]
        self._held: dict[date, list[dict[str, Any]]] = defaultdict(list)
        self._sent = 0
        self._now = datetime.min
        self._answerer = Answerer(self._store, department, self._asker, lambda: self._now)
        self.by_person: Counter[str] = Counter()
        self.answered = 0

    def close(self) -> None:
        self._store.close()

    def take(self, row: Mapping[str, Any], today: date) -> None:
        """A question comes in, and is looked at on the day on which this department does."""
        day = today
        for _ in range(_wait(self.name, row["question_id"])):
            day = self._calendar.due(day, 1).day
        self._held[day].append({name: row[name] for name in self._columns})

    def work(self, now: datetime, today: date) -> int:
        """Answer what it looks at today, by its queries; return how many questions wait for a person."""
        self._now = now
        if not (rows := self._held.pop(today, None)):
            return 0
        with self._store.engine.begin() as connection:
            connection.execute(sa.insert(self._asked), rows)
        treated = Counter(one.outcome for one in self._answerer.answer_all() if not _raised(one.error))
        self.answered += treated["answered"]
        return treated["queued"]

    def people(self, now: datetime) -> None:
        """A person looks at each question that waits for one: whether it is who was meant, by what the file has."""
        for waiting in person_queue.queued(self._store, self._askers):
            question = waiting.question
            status = ("not_identified", "refused", *["found"] * 6)[zlib.crc32(question.question_id.encode()) % 8]
            given = {}
            if status == "found":
                item = self._asker.items[question.type, question.item]
                content = ItemQueries(self._store, item).content(question)
                status = status if content else "nothing_found"
                given = {name: _typed(value) for name, value in json.loads(content or "{}").items()}
            reason = "The files are with the archive." if status == "refused" else ""
            person_queue.answer(
                self._store, self._askers, question.question_id, status, "zhao", now, given=given, reason=reason
            )
            self.by_person[status] += 1

    def correct(self, table: str, row: tuple[Any, ...]) -> None:
        """Replace what the department has about a party."""
        own = OWN_TABLES[self.name][table]
        with self._store.engine.begin() as connection:
            connection.execute(sa.delete(own).where(own.c.party_id == row[0]))
            connection.execute(sa.insert(own).values(row))

    def send(self, store: CaseStore) -> int:
        """Copy the new answers of the outbox into the sink's table of the one who asks; return how many."""
        with self._store.engine.connect() as connection:
            new = connection.execute(sa.select(answers).where(answers.c.id > self._sent).order_by(answers.c.id)).all()
        if not new:
            return 0
        self._sent = new[-1].id
        table = sink(self.name)
        names = [column.name for column in table.columns]
        with store.transaction() as connection:
            connection.execute(sa.insert(table), [{name: getattr(row, name) for name in names} for row in new])
            further = sa.update(PROGRESS).where(PROGRESS.c.topic == _topic(self.name))
            connection.execute(further.values(next_offset=self._sent))
        return len(new)

    def unanswerable(self) -> dict[str, str]:
        """The questions that were answered without a fact, and how."""
        facts = ("found", "nothing_found")
        with self._store.engine.connect() as connection:
            found = connection.execute(sa.select(answers).where(answers.c.status.not_in(facts)))
            return {row.question_id: row.status for row in found}


class Questions:
    """The outbox of the one who asks, read by the place of the last row."""

    def __init__(self, store: CaseStore) -> None:
        self._store, self._last, self.sent = store, 0, 0

    def new(self) -> list[Mapping[str, Any]]:
        t = tables.questions
        with self._store.transaction() as connection:
            rows = connection.execute(sa.select(t).where(t.c.id > self._last).order_by(t.c.id)).mappings().all()
        self._last = rows[-1]["id"] if rows else self._last
        self.sent += len(rows)
        return list(rows)


def make_sinks(store: CaseStore, departments: Iterable[str]) -> dict[str, str]:
    """Make the tables of answers, as the sinks do; return their names."""
    made = {department: _keyed(sink(department)) for department in departments}
    for table in (*made.values(), PROGRESS):
        table.create(store.engine)
    with store.transaction() as connection:
        rows = [{"topic": _topic(department), "partition": 0, "next_offset": 0} for department in made]
        connection.execute(sa.insert(PROGRESS), rows)
    return {department: table.name for department, table in made.items()}


def _topic(department: str) -> str:
    return f"inbox.asker.{department}.answer"


def _keyed(table: sa.Table) -> sa.Table:
    """The table with the key that a sink gives it."""
    columns = (sa.Column(column.name, column.type) for column in table.columns)
    return sa.Table(table.name, sa.MetaData(), *columns, sa.PrimaryKeyConstraint(*_KEY))


def _wait(department: str, question_id: str) -> int:
    """After how many working days this question is looked at: always the same."""
    drawn = zlib.crc32(question_id.encode()) / 2**32
    if department in SLOW:
        return 9 + int(drawn / LATE * 4) if drawn < LATE else 2 + int(drawn * 5)
    if drawn < LATE:
        return 6 + int(drawn / LATE * 4)
    return 1 if drawn < 0.1 else 0


def _raised(error: Exception | None) -> bool:
    if error is not None:
        raise error
    return False


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
