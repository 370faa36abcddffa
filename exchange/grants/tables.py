"""The grants' SQL tables. Times are milliseconds since 1970 (UTC), days are ISO text in the city's zone."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, MetaData, Table, Text

from exchange.grants.life import STATES

metadata = MetaData()

requests = Table(
    "grant_requests",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("grant_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("body", Text, nullable=False, comment="The grant that is asked for, as JSON."),
    Column("conditional", Boolean, nullable=False, comment="Whether the provider has to agree."),
    Column("renews", Boolean, nullable=False, comment="Whether the grant is there already."),
    Column("person", Text, nullable=False, comment="Who asks, for the department that follows."),
    Column("department", Text, nullable=False),
    Column("submitted_ms", BigInteger, nullable=False),
    Column("reviewed_ms", BigInteger),
    Column("reviewed_by", Text, nullable=False),
    Column("answered_by", Text, nullable=False),
    CheckConstraint(f"state IN ({', '.join(repr(state) for state in STATES)})"),
)
Index("grant_requests_of", requests.c.reader, requests.c.subject)

events = Table(
    "grant_events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("department", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("grant_id", Text, nullable=False),
    Column("request", Integer, comment="Null for what is done to a grant that nobody requested here."),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False, comment="What was asked for, or what was taken away, as JSON."),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the digest before and of this event."),
)
Index("grant_events_of", events.c.grant_id)

notices = Table(
    "grant_notices",
    metadata,
    Column("grant_id", Text, primary_key=True),
    Column("until_day", Text, primary_key=True),
    Column("days", Integer, primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
)

# One row, which every writer updates first, so that writers take turns.
head = Table(
    "grant_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
