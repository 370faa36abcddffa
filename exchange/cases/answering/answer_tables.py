"""The answering department's tables: the outbox of answers, the queue for people, and a sink's table of questions."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import sqlalchemy as sa

from exchange.cases.events import Status
from exchange.cases.moment import UtcMoment

ANSWERS = "exchange_answers"
CAUSES = {"by-person": "people answer this item", "name": "the number has another name here"}


def _words(name: str, words: tuple[str, ...]) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{name} IN ({', '.join(repr(word) for word in words)})")


metadata = sa.MetaData()

# What the source of `<dept>.answer` publishes. A question has at most one row: `question_id` is what makes it so.
answers = sa.Table(
    ANSWERS,
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("question_id", sa.Text, nullable=False, unique=True),
    sa.Column("to", sa.Text, nullable=False),
    sa.Column("party_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False, comment="The item's named values, as JSON; {} unless found."),
    sa.Column("reason", sa.Text),
    sa.Column("data_as_of", sa.Date),
    sa.Column("queried_at", UtcMoment, nullable=False),
    sa.Column("answered_by", sa.Text, nullable=False),
    sa.Column("updated_at", UtcMoment, nullable=False),
    _words("status", get_args(Status)),
    _words("answered_by", ("query", "person")),
)
sa.Index("exchange_answers_cursor", answers.c.updated_at, answers.c.id)

# Questions for people; `person` and `answered_at` are filled with the answer, in its transaction.
queue = sa.Table(
    "exchange_answer_queue",
    metadata,
    sa.Column("question_id", sa.Text, primary_key=True),
    sa.Column("asker", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("queued_at", UtcMoment, nullable=False),
    sa.Column("person", sa.Text),
    sa.Column("answered_at", UtcMoment),
    _words("cause", tuple(CAUSES)),
)


@cache
def question_table(name: str) -> sa.Table[Any]:
    """The table that a sink fills with questions, as far as it is read here.

    The same object for the same name: SQLAlchemy compiles a statement anew for each new table.
    """
    schema, _, bare = name.rpartition(".")
    types: dict[str, sa.types.TypeEngine[Any]] = {
        **dict.fromkeys(("question_id", "to", "type", "item", "party_id", "party_name"), sa.Text()),
        **dict.fromkeys(("parameters", "authorisation"), sa.Text()),
        **dict.fromkeys(("period_from", "period_until", "as_of", "due_on"), sa.Date()),
    }
    return sa.Table(bare, sa.MetaData(schema=schema or None), *(sa.Column(n, of) for n, of in types.items()))
