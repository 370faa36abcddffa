"""Answers that have arrived in the sinks' tables: each is taken once, or told apart from those that can be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from heapq import merge
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from exchange.cases import tables
from exchange.cases.case import Case
from exchange.cases.events import CaseAnswer, json_object
from exchange.cases.states import CaseState
from exchange.cases.store import CaseStore

_BATCH = 1000
_INSERTS: Mapping[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Fate(StrEnum):
    """What became of an answer that arrived."""

    TAKEN = "taken"
    REPEATED = "repeated"
    CONTRADICTED = "contradicted"
    NEVER_ASKED = "never-asked"
    OTHER_DEPARTMENT = "other-department"
    OTHER_PARTY = "other-party"
    UNREADABLE = "unreadable"
    CASE_CLOSED = "case-closed"


class Arrival:
    """A row of a sink's table that the engine has not seen as it is now."""

    def __init__(self, department: str, row: Any) -> None:
        self.department = department
        self.question_id: str = row.question_id
        self.place = (row.question_id, row.party_id)
        self.addressee: str | None = row.to
        self.row = row

    @property
    def case_no(self) -> str:
        """The case of which a question with this number would be: the part before item, party and round."""
        return self.question_id.rsplit("/", 3)[0]

    @cached_property
    def answer(self) -> CaseAnswer | None:
        """What the row says; None if it is not what an answer is."""
        row = self.row
        if not isinstance(row.content, str) or json_object(row.content) is None:
            return None
        try:
            return CaseAnswer(
                question_id=self.question_id,
                department=self.department,
                status=row.status,
                content=row.content,
                reason=row.reason,
                data_as_of=row.data_as_of,
                queried_at=_in_utc(row.queried_at),
                answered_by=row.answered_by,
            )
        except ValidationError:
            return None

    def fate(self, case: Case | None, department: str) -> Fate:
        """What has to become of it, in the case as it is now, at that asking department."""
        asked = case.questions.get(self.question_id) if case else None
        if case is None or asked is None:
            return Fate.NEVER_ASKED
        if asked.to != self.department or self.addressee != department:
            return Fate.OTHER_DEPARTMENT
        if not any((each.number, each.party_id) == (asked.party, self.row.party_id) for each in case.parties):
            return Fate.OTHER_PARTY
        answer = self.answer
        if answer is None:
            return Fate.UNREADABLE
        if case.state == CaseState.CLOSED:
            return Fate.CASE_CLOSED
        first = case.answers.get(self.question_id)
        if first is None:
            return Fate.TAKEN
        told = any(
            each.question_id == self.question_id and not each.contradicts(answer) for each in case.contradictions
        )
        return Fate.CONTRADICTED if first.contradicts(answer) and not told else Fate.REPEATED


def note(connection: Connection, fates: Sequence[tuple[Arrival, Fate]]) -> None:
    """Write down what became of these, so that none is looked at again as it is now; what is written down stays."""
    t, insert = tables.arrivals, _INSERTS[connection.dialect.name](tables.arrivals)
    seen = {name: insert.excluded[name] for name in ("status", "content", "fate")}
    rows = [
        {
            "department": each.department,
            "question_id": each.question_id,
            "party_id": each.row.party_id,
            "status": each.row.status,
            "content": each.row.content,
            "fate": fate,
        }
        for each, fate in fates
    ]
    changed = or_(*(t.c[name].is_distinct_from(seen[name]) for name in ("status", "content")))
    connection.execute(insert.on_conflict_do_update(index_elements=t.primary_key, set_=seen, where=changed), rows)


def arrived(store: CaseStore, department: str, table: str | None) -> Iterator[Arrival]:
    """The answers of that department that are new or were changed, in order, from its sink's table.

    None if there is no sink, or if it has made no table yet.
    """
    if table is None or not store.has(table):
        return
    a, t = tables.answers_in(table), tables.arrivals
    seen = (t.c.department == department) & (t.c.question_id == a.c.question_id) & (t.c.party_id == a.c.party_id)
    changed = or_(
        t.c.question_id.is_(None),
        t.c.status.is_distinct_from(a.c.status),
        t.c.content.is_distinct_from(a.c.content),
    )
    query = select(a).select_from(a.outerjoin(t, seen)).where(changed).order_by(a.c.question_id, a.c.party_id)
    place = ("", "")
    while True:
        after = tuple_(a.c.question_id, a.c.party_id) > tuple_(*place)
        with store.transaction() as connection:
            rows = connection.execute(query.where(after).limit(_BATCH)).all()
        for row in rows:
            place = (row.question_id, row.party_id)
            yield Arrival(department, row)
        if len(rows) < _BATCH:
            return


def progress(store: CaseStore, answers: Mapping[str, str | None]) -> dict[str, object]:
    """How far the sinks of answers have come, by department; a department whose sink does not say so is left out.

    `answers` names their tables. As long as this is the same, a sink's table is, too: the sink notes it beside its
    rows, in their transaction.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    for schema in {table.rpartition(".")[0] for table in answers.values() if table}:
        if not store.has(f"{schema}.{tables.PROGRESS}".removeprefix(".")):
            continue
        t = tables.progress_in(schema)
        query = select(t).where(t.c.topic.endswith(".answer")).order_by(t.c.topic, t.c.partition)
        with store.transaction() as connection:
            for row in connection.execute(query):
                found.setdefault(row.topic.split(".")[-2], []).append(tuple(row))
    return {**found}


def by_case(streams: Iterable[Iterator[Arrival]]) -> Iterator[tuple[str, list[Arrival]]]:
    """The arrivals of several departments, each in order, by the case that they are for.

    Where the database has another order than Python, a case may come more than once.
    """
    for case_no, found in groupby(merge(*streams, key=lambda each: each.question_id), key=lambda each: each.case_no):
        yield case_no, list(found)


def _in_utc(moment: Any) -> Any:
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) and moment.tzinfo is None else moment
