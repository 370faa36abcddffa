"""Cases and their history in the asking department's database: no change without its event, and no event twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from exchange import chain, sql
from exchange.cases import tables
from exchange.cases.case import Case, NextStep, fold, step
from exchange.cases.case_row import CaseRow, columns, read_row
from exchange.cases.events import CaseEvent, read_event
from exchange.cases.states import CaseState, CaseStateError
from exchange.contract.period import ms_of
from exchange.errors import ConfigError, CorruptionError, TransientError


class CaseStoreUnavailableError(TransientError):
    """The department's database does not answer, or is busy for too long."""

    code = "case-store-unavailable"
    remedy = "see that the department's database runs and lets you in; nothing was changed"


class CaseMovedError(TransientError):
    """Something else happened to the case since it was read; nothing was written."""

    code = "case-moved"
    remedy = "look at the case as it is now, and do it again if it is still right"


class CaseUnknownError(ConfigError):
    """There is no case with this number."""

    code = "case-unknown"
    remedy = "`exchange case list DEPARTMENT` says which cases there are"


class CaseExistsError(ConfigError):
    """There is a case with this number already."""

    code = "case-exists"
    remedy = "look at that case: it may be this one; else give a number that was never used"


class CaseHistoryError(CorruptionError):
    """The history of a case was changed after it was written."""

    code = "case-history"
    remedy = "find out who changed the department's database, and compare it with a backup"


Also = Callable[[Connection], None]


def _nothing(_: Connection) -> None:
    pass


class CaseStore:
    """The tables of cases in a department's database, SQLite or PostgreSQL, by URL; creates those that are missing."""

    def __init__(self, url: str, setting: str = "`database`") -> None:
        self.engine: Engine = sql.engine_of(url, setting, "synchronous = FULL")
        with translated():
            self.engine.connect().close()
            self._make()

    def close(self) -> None:
        """Disconnect."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction; an exception undoes all of it."""
        with translated(), self.engine.begin() as connection:
            yield connection

    def append(self, before: Case | None, event: CaseEvent, also: Also = _nothing) -> Case:
        """Write what happened to the case as it was read, and what belongs to it, in one transaction; return the case.

        Raises CaseStateError if that cannot happen to it, CaseMovedError if the case is not any more as it was read,
        and CaseExistsError if one is opened whose number is taken. Then nothing is written.
        """
        return self.append_all(before, [event], also)

    def append_all(self, before: Case | None, events: Sequence[CaseEvent], also: Also = _nothing) -> Case:
        """Write several events as one; see `append`."""
        after, rows = before, list[dict[str, Any]]()
        for event in events:
            after = step(after, event)
            told = {"time_ms": ms_of(event.time), "kind": event.kind, "body": event.model_dump_json()}
            rows.append({"case_no": after.case_no, "seq": after.last, **told})
        assert after is not None
        with self.transaction() as connection:
            _seal(connection, before, after, rows)
            connection.execute(insert(tables.events), rows)
            also(connection)
        return after

    def case_if_any(self, case_no: str) -> Case | None:
        """The case with that number; None if there is none. Raises CaseHistoryError if it cannot be read."""
        return _folded(case_no, self.history(case_no))

    def case(self, case_no: str) -> Case:
        """The case with that number; raises CaseUnknownError, or CaseHistoryError if it cannot be read."""
        case = self.case_if_any(case_no)
        if case is None:
            raise CaseUnknownError(f"there is no case {case_no}")
        return case

    def history(self, case_no: str) -> list[CaseEvent]:
        """All that happened to the case, in order; nothing if there is no such case."""
        t = tables.events
        with self.transaction() as connection:
            rows = connection.execute(select(t.c.body).where(t.c.case_no == case_no).order_by(t.c.seq))
            return [_event(case_no, row.body) for row in rows]

    def in_states(self, *states: CaseState) -> list[str]:
        """The numbers of the cases in one of these states, in order."""
        return self._numbers(tables.cases.c.state.in_(states))

    def rows(self, *states: CaseState) -> Iterator[CaseRow]:
        """What the store keeps of the cases in one of these states, in order, without their histories."""
        t = tables.cases
        query = select(t).where(t.c.state.in_(states)).order_by(t.c.case_no).execution_options(yield_per=1000)
        with self.transaction() as connection:
            for row in connection.execute(query).mappings():
                yield read_row(row)

    def to_do(self, next_step: NextStep) -> list[str]:
        """The numbers of the cases for which the engine has to do this at once."""
        return self._numbers(tables.cases.c.next_step == next_step)

    def expired(self, today: date) -> list[str]:
        """The numbers of the cases in which a department has to be reminded, or is late."""
        return self._numbers(tables.cases.c.next_day < today)

    def to_carry(self, year: int) -> list[str]:
        """The numbers of the cases that are open and of an earlier year."""
        return self._numbers((tables.cases.c.year < year) & (tables.cases.c.state != CaseState.CLOSED))

    def verify(self, case_no: str) -> int:
        """The number of the case's events; raises CaseHistoryError if they or its row are not what was written."""
        t, e = tables.cases, tables.events
        with self.transaction() as connection:
            connection.execute(update(t).where(t.c.case_no == case_no).values(case_no=case_no))  # no writer meanwhile
            row = connection.execute(select(t).where(t.c.case_no == case_no)).mappings().first()
            rows = connection.execute(select(e).where(e.c.case_no == case_no).order_by(e.c.seq)).mappings().all()
        if row is None:
            if rows:
                raise CaseHistoryError(f"case {case_no} has a history, but is not there")
            raise CaseUnknownError(f"there is no case {case_no}")
        links = ((each["seq"], _told(case_no, each), bytes(each["digest"])) for each in rows)
        count = chain.verify(links, (row["last_event"], bytes(row["digest"])), CaseHistoryError)
        case = _folded(case_no, [_event(case_no, each["body"]) for each in rows])
        if case is None or {**columns(case), "digest": row["digest"]} != dict(row):
            raise CaseHistoryError(f"case {case_no} is not as its history says")
        return count

    def verify_all(self) -> int:
        """The number of all events of all cases; raises CaseHistoryError at the first fault."""
        with self.transaction() as connection:
            numbers = connection.scalars(select(tables.cases.c.case_no).union(select(tables.events.c.case_no))).all()
        return sum(self.verify(case_no) for case_no in sorted(numbers))

    def has(self, table: str) -> bool:
        """Whether the database has that table, which can have its schema before it."""
        schema, _, bare = table.rpartition(".")
        with translated():
            return inspect(self.engine).has_table(bare, schema or None)

    def _numbers(self, wanted: ColumnElement[bool]) -> list[str]:
        with self.transaction() as connection:
            query = select(tables.cases.c.case_no).where(wanted).order_by(tables.cases.c.case_no)
            return list(connection.scalars(query))

    def _make(self) -> None:
        """Create the tables. If another process creates one at the same moment, the next attempt finds it."""
        for _ in tables.metadata.tables:
            with suppress(DBAPIError):
                tables.metadata.create_all(self.engine)
                return
        tables.metadata.create_all(self.engine)


@contextmanager
def translated() -> Iterator[None]:
    """Raise SQLAlchemy's errors as the exchange's."""
    try:
        yield
    except DBAPIError as error:
        raise CaseStoreUnavailableError("the department's database does not answer") from error


def _seal(connection: Connection, before: Case | None, after: Case, rows: Sequence[dict[str, Any]]) -> None:
    """Bring the case's row up to date, and give each event's row its digest; who comes second is refused."""
    t = tables.cases
    if before is None:
        digest = _chained(chain.START, rows)
        try:
            connection.execute(insert(t).values({**columns(after), "digest": digest}))
        except IntegrityError as error:
            raise CaseExistsError(f"there is a case {after.case_no} already") from error
        return
    # Updating the row waits for its turn, on both databases, so the digest read next is the last one.
    mine = (t.c.case_no == after.case_no) & (t.c.last_event == before.last)
    if not connection.execute(update(t).where(mine).values(columns(after))).rowcount:
        raise CaseMovedError(f"case {after.case_no} has changed after event {before.last}")
    ended = connection.scalar(select(t.c.digest).where(t.c.case_no == after.case_no))
    assert ended is not None
    digest = _chained(bytes(ended), rows)
    connection.execute(update(t).where(t.c.case_no == after.case_no).values(digest=digest))


def _chained(digest: bytes, rows: Sequence[dict[str, Any]]) -> bytes:
    """Give each row its digest, from that of the one before; return the last one."""
    for row in rows:
        row["digest"] = digest = chain.digest(digest, row["seq"], _told(row["case_no"], row))
    return digest


def _event(case_no: str, body: str) -> CaseEvent:
    try:
        return read_event(body)
    except ValidationError:
        # Not from this error: it holds what is in the event.
        raise CaseHistoryError(f"an event of case {case_no} cannot be read") from None


def _folded(case_no: str, history: Iterable[CaseEvent]) -> Case | None:
    try:
        return fold(history)
    except CaseStateError as error:
        raise CaseHistoryError(f"the history of case {case_no} cannot have happened") from error


def _told(case_no: str, row: Any) -> tuple[object, ...]:
    return case_no, row["time_ms"], row["kind"], row["body"]
