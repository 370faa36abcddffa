"""What a department answers: the block `answers` of its connector.yaml.

    answers:
      - question: civil-affairs.question   # whose questions: a sink of this connector
        type: household                    # the case type, and the item of it
        item: wages
        query: SELECT SUM(amount) AS total FROM income WHERE resident_id = :party_id AND amount > :limit AND …
        person: SELECT name FROM resident WHERE resident_id = :party_id   # number and name both have to fit
        unknown: nothing_found             # if `person` has no such number; absent: not_identified
        as_of: SELECT MAX(updated_at) FROM income                         # optional: how old the data are
        parameters: [limit]                # names of the question's own parameters that the queries use
        answer: {total: {shape: value, scale: 2}}
      - {question: civil-affairs.question, type: household, item: study, by: person, answer: {…}}

Queries know :party_id, :party_name, :period_from, :period_until, :as_of, and what `parameters` names: a parameter that
is written as a decimal number comes as a number, any other as text. The sink, the source of the answers and the queries
share the connector's own database, so that an answer is one transaction.

The block's model is here and not in `exchange/connect`, which leaves the block open: shapes, statuses and tables of
answers are the cases' own, connectors are no part of what they mean, and all that reads the block is in this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from exchange.cases.shapes import AnswerShape, Word
from exchange.connect.load import FILE, Connector, ConnectorConfigError, mistakes
from exchange.contract.base import Model
from exchange.contract.model import Name, SubjectId

FIXED = ("party_id", "party_name", "period_from", "period_until", "as_of")
"""The parameters that every question has."""
Sql = Annotated[str, Field(min_length=1)]


class AnsweredItem(Model):
    """One item of a case type that the department answers for one asker, by a query or by people."""

    question: SubjectId
    type: Name
    item: Name
    query: Sql | None = None
    person: Sql | None = None
    as_of: Sql | None = None
    unknown: Literal["not_identified", "nothing_found"] = "not_identified"
    by: Literal["person"] | None = None
    parameters: tuple[Word, ...] = ()
    answer: Mapping[Word, AnswerShape] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_way(self) -> AnsweredItem:
        if (self.query is None) == (self.by is None):
            raise ValueError("give exactly one of `query` and `by: person`")
        if self.query is not None and self.person is None:
            raise ValueError("`query` needs `person`, a query of the name that belongs to the number :party_id")
        if self.query is None and self.model_fields_set & {"person", "as_of", "unknown", "parameters"}:
            raise ValueError("`person`, `unknown`, `as_of` and `parameters` go with `query`")
        if taken := sorted(set(self.parameters) & set(FIXED)):
            raise ValueError(f"every question has {', '.join(taken)}: leave it out of `parameters`")
        return self

    @property
    def queries(self) -> dict[str, str]:
        """Its queries, by the keys under which the file has them."""
        found = {"query": self.query, "person": self.person, "as_of": self.as_of}
        return {key: query for key, query in found.items() if query is not None}

    def __str__(self) -> str:
        return f"{self.item} of {self.type}"


@dataclass(frozen=True)
class Asker:
    """A department that asks, the table into which a sink takes its questions, and what it is answered."""

    department: str
    subject: str
    table: str
    items: Mapping[tuple[str, str], AnsweredItem]


def answered_items(connector: Connector) -> tuple[AnsweredItem, ...]:
    """The block as models, in the order of the file; raises ConnectorConfigError with every mistake of form."""
    problems, found = [], []
    for i, entry in enumerate(connector.config.answers):
        try:
            found.append(AnsweredItem.model_validate(entry))
        except ValidationError as error:
            problems += mistakes(connector.document, error, ("answers", i))
    if problems:
        raise ConnectorConfigError(str(connector.folder / FILE), problems)
    return tuple(found)


def askers(connector: Connector) -> tuple[Asker, ...]:
    """Who is answered by this connector; one whose questions no sink takes in is left out."""
    tables = {sink.subject: sink.table_name for sink in connector.config.sinks}
    items = answered_items(connector)
    return tuple(
        Asker(
            subject.partition(".")[0],
            subject,
            tables[subject],
            {(one.type, one.item): one for one in items if one.question == subject},
        )
        for subject in dict.fromkeys(one.question for one in items)
        if subject in tables
    )
