"""Requests and their history in SQL: one writer at a time, and no change without its event."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from exchange import chain, sql
from exchange.contract.model import Grant
from exchange.contract.period import moment_of, ms_of
from exchange.errors import TransientError
from exchange.grants import tables
from exchange.grants.history import Event, HistoryError
from exchange.grants.life import OPEN, Actor, NoRequestError, Request
from exchange.settings import Settings


class GrantStoreUnavailableError(TransientError):
    """The grants' database does not answer, or is busy for too long."""

    code = "grant-store-unavailable"
    remedy = "see that the grants' database runs, then run it again"


def grants_url(settings: Settings) -> str:
    """The database that the settings name, or else SQLite in the home folder, readable only by its owner."""
    return sql.url_of(settings.grants_url, settings.home / "grants.db")


class GrantStore:
    """The grants' database, SQLite or PostgreSQL, by URL; creates the tables that are missing."""

    def __init__(self, url: str) -> None:
        self.engine = sql.engine_of(url, "EXCHANGE_GRANTS_URL", "synchronous = FULL")
        with _translated():
            self.engine.connect().close()
            self._make()

    def close(self) -> None:
        """Disconnect."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[RequestWriter]:
        """One transaction, which begins when all earlier ones have ended; an exception undoes all of it."""
        with _translated(), self.engine.begin() as connection:
            # Updating this row waits for its turn, on both databases: what is read from here on is up to date.
            connection.execute(update(tables.head).values(id=1))
            yield RequestWriter(connection)

    def requests(
        self, *, states: Collection[str] = (), reader: str = "", subject: str = "", grant_id: str = ""
    ) -> list[Request]:
        """The requests that match everything given, by number."""
        t = tables.requests
        query = select(t).order_by(t.c.number)
        if states:
            query = query.where(t.c.state.in_(states))
        for column, wanted in ((t.c.reader, reader), (t.c.subject, subject), (t.c.grant_id, grant_id)):
            if wanted:
                query = query.where(column == wanted)
        with _translated(), self.engine.connect() as connection:
            return [_request(row) for row in connection.execute(query)]

    def request(self, number: int) -> Request:
        """The request with that number; raises NoRequestError if there is none."""
        with _translated(), self.engine.connect() as connection:
            return _load(connection, number)

    def events(self, grant_id: str) -> list[Event]:
        """All that was done to the grant and to requests for it, in order."""
        t = tables.events
        with _translated(), self.engine.connect() as connection:
            rows = connection.execute(select(t).where(t.c.grant_id == grant_id).order_by(t.c.seq))
            return [_event(row) for row in rows]

    def note_revoked(self, grant: Grant, actor: Actor, now: datetime, reason: str) -> None:
        """Record in the history that the grant was revoked."""
        with self.writing() as writer:
            body = grant.model_dump_json(by_alias=True)
            writer.record(Event(now, actor, "revoke", grant.id, reason=reason, body=body))

    def verify(self) -> tuple[int, bytes]:
        """The number of events and the last one's digest; raises HistoryError if one was tampered with."""
        with _translated(), self.engine.begin() as connection:
            connection.execute(update(tables.head).values(id=1))  # no writer meanwhile
            [(seq, ended)] = connection.execute(select(tables.head.c.seq, tables.head.c.digest))
            rows = connection.execute(select(tables.events).order_by(tables.events.c.seq))
            found = ((row.seq, _event(row).told, bytes(row.digest)) for row in rows)
            return chain.verify(found, (seq, bytes(ended)), HistoryError), bytes(ended)

    def _make(self) -> None:
        """Create the tables. If another process creates one at the same moment, the next attempt finds it."""
        for _ in range(len(tables.metadata.tables) + 1):  # each table, and the head's row
            with suppress(DBAPIError):
                self._create()
                return
        self._create()

    def _create(self) -> None:
        tables.metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            if connection.scalar(select(func.count()).select_from(tables.head)) == 0:
                connection.execute(insert(tables.head).values(id=1, seq=0, digest=chain.START))


class RequestWriter:
    """What can be done within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def next_number(self) -> int:
        """The number of the next request."""
        return (self._connection.scalar(select(func.max(tables.requests.c.number))) or 0) + 1

    def request(self, number: int) -> Request:
        """The request as the last writer left it; raises NoRequestError if there is none."""
        return _load(self._connection, number)

    def open_request(self, reader: str, subject: str) -> Request | None:
        """A request for that subject by that reader that is not decided; None if there is none."""
        t = tables.requests
        query = select(t).where(t.c.reader == reader, t.c.subject == subject, t.c.state.in_(OPEN))
        row = self._connection.execute(query).first()
        return _request(row) if row else None

    def put(self, request: Request, done: Event) -> None:
        """Write the request as it is after this event, and the event."""
        t, values = tables.requests, _row(request)
        changed = self._connection.execute(update(t).where(t.c.number == request.number).values(values))
        if not changed.rowcount:
            self._connection.execute(insert(t).values(values))
        self.record(done)

    def record(self, done: Event) -> None:
        """Append the event to the history."""
        connection, t = self._connection, tables.head
        [(last, before)] = connection.execute(select(t.c.seq, t.c.digest))
        seq, sealed = last + 1, chain.digest(bytes(before), last + 1, done.told)
        connection.execute(
            insert(tables.events).values(
                seq=seq,
                time_ms=ms_of(done.time),
                person=done.actor.person,
                department=done.actor.department,
                act=done.act,
                grant_id=done.grant_id,
                request=done.request,
                reason=done.reason,
                body=done.body,
                digest=sealed,
            )
        )
        connection.execute(update(t).values(seq=seq, digest=sealed))

    def notice(self, grant_id: str, until: date, days: int, now: datetime) -> bool:
        """Note that this notice is given; return False if it was given before."""
        t = tables.notices
        key = {"grant_id": grant_id, "until_day": until.isoformat(), "days": days}
        given = select(func.count()).select_from(t).filter_by(**key)
        if self._connection.scalar(given):
            return False
        self._connection.execute(insert(t).values(**key, time_ms=ms_of(now)))
        return True


def _load(connection: Connection, number: int) -> Request:
    query = select(tables.requests).where(tables.requests.c.number == number)
    # For a number too large for the column, the database would raise an error instead of finding nothing.
    row = connection.execute(query).first() if number < _NUMBERS else None
    if row is None:
        raise NoRequestError(f"there is no request {number}")
    return _request(row)


def _request(row: Any) -> Request:
    return Request(
        number=row.number,
        grant=Grant.model_validate_json(row.body),
        conditional=row.conditional,
        requester=Actor(row.person, row.department),
        submitted=moment_of(row.submitted_ms),
        renews=row.renews,
        state=row.state,
        reviewed=None if row.reviewed_ms is None else moment_of(row.reviewed_ms),
        reviewed_by=row.reviewed_by,
        answered_by=row.answered_by,
    )


def _row(request: Request) -> dict[str, Any]:
    return {
        "number": request.number,
        "state": request.state,
        "grant_id": request.grant.id,
        "subject": request.grant.subject,
        "reader": request.grant.reader,
        "body": request.grant.model_dump_json(by_alias=True),
        "conditional": request.conditional,
        "renews": request.renews,
        "person": request.requester.person,
        "department": request.requester.department,
        "submitted_ms": ms_of(request.submitted),
        "reviewed_ms": None if request.reviewed is None else ms_of(request.reviewed),
        "reviewed_by": request.reviewed_by,
        "answered_by": request.answered_by,
    }


def _event(row: Any) -> Event:
    actor = Actor(row.person, row.department)
    return Event(moment_of(row.time_ms), actor, row.act, row.grant_id, row.request, row.reason, row.body)


_NUMBERS = 1 << 31


@contextmanager
def _translated() -> Iterator[None]:
    """Raise SQLAlchemy's errors as the exchange's."""
    try:
        yield
    except DBAPIError as error:
        remedy = "see that the database of EXCHANGE_GRANTS_URL is up and lets you in; nothing was changed"
        raise GrantStoreUnavailableError("the grants' database does not answer", remedy=remedy) from error
