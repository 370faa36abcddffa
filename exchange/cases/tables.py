"""The tables of cases, in the asking department's database, and what the engine reads of its sinks' tables.

Times in the history are milliseconds since 1970 (UTC). `exchange_questions` is read by the department's connector,
which publishes each row as a record: its columns are the record's fields.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    TableClause,
    Text,
    column,
    table,
)

from exchange.cases.moment import UtcMoment
from exchange.cases.states import CaseState, EventKind

metadata = MetaData()

# One row for each case: what the fold of its events says, and the last event's number and digest.
cases = Table(
    "exchange_cases",
    metadata,
    Column("case_no", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("year", Integer, nullable=False, comment="The one in which it was opened, or into which it was carried."),
    Column("opened_on", Date, nullable=False),
    Column("persons", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("awaited", Integer, nullable=False, comment="Answers to come."),
    Column("departments", Text, nullable=False, comment="Whose answers are to come, as JSON."),
    Column("late", Integer, nullable=False, comment="Of the answers to come, those that are late."),
    Column("stops", Text, nullable=False, comment="Times in which the clock stands still, as JSON."),
    Column("outcome", Text, comment="That of the newest finding."),
    Column("numbers", Text, nullable=False, comment="The values of the newest finding, as JSON."),
    Column("decision", Text, comment="The outcome of the newest decision."),
    Column("completed_on", Date, comment="The day of the first decision."),
    Column("closed_on", Date),
    Column("next_step", Text, comment="What the engine has to do at once."),
    Column("next_day", Date, comment="After this day a department has to be reminded, or is late."),
    Column("last_event", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    CheckConstraint(f"state IN ({', '.join(repr(state.value) for state in CaseState)})"),
)
Index("exchange_cases_in", cases.c.state, cases.c.case_no)
Index("exchange_cases_step", cases.c.next_step, cases.c.case_no)
Index("exchange_cases_day", cases.c.next_day)

events = Table(
    "exchange_case_events",
    metadata,
    Column("case_no", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False, comment="The event as JSON."),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the digest before and of this event."),
    CheckConstraint(f"kind IN ({', '.join(repr(kind.value) for kind in EventKind)})"),
)

questions = Table(
    "exchange_questions",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("updated_at", UtcMoment, nullable=False),
    Column("question_id", Text, nullable=False, unique=True),
    Column("to", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("party_id", Text, nullable=False),
    Column("party_name", Text, nullable=False),
    Column("period_from", Date),
    Column("period_until", Date),
    Column("as_of", Date),
    Column("parameters", Text, nullable=False),
    Column("authorisation", Text, nullable=False),
    Column("asked_at", UtcMoment, nullable=False),
    Column("due_on", Date, nullable=False),
)
Index("exchange_questions_cursor", questions.c.updated_at, questions.c.id)
Index("exchange_questions_to", questions.c.to)

# The text of each Python file whose rule made a finding, so that the finding can be made again.
rules = Table(
    "exchange_case_rules",
    metadata,
    Column("version", Text, primary_key=True, comment="SHA-256 of the text."),
    Column("source", Text, nullable=False),
)

# One row for each answer in a sink's table: as the engine last saw it, and what became of it.
arrivals = Table(
    "exchange_case_arrivals",
    metadata,
    Column("department", Text, primary_key=True),
    Column("question_id", Text, primary_key=True),
    Column("party_id", Text, primary_key=True),
    Column("status", Text),
    Column("content", Text),
    Column("fate", Text, nullable=False),
)


def answers_in(name: str) -> TableClause:
    """The table of that name, which a sink fills with answers; it can have its schema before it."""
    schema, _, bare = name.rpartition(".")
    return table(
        bare,
        column("question_id", Text),
        column("to", Text),
        column("party_id", Text),
        column("status", Text),
        column("content", Text),
        column("reason", Text),
        column("data_as_of", Date),
        column("queried_at", DateTime(timezone=True)),
        column("answered_by", Text),
        schema=schema or None,
    )


PROGRESS = "exchange_offsets"


def progress_in(schema: str) -> TableClause:
    """The table in which the sinks of that schema say how far they have come."""
    columns = column("topic", Text), column("partition", Integer), column("next_offset", BigInteger)
    return table(PROGRESS, *columns, schema=schema or None)
