"""What is kept of a case: its events, each with its time, who did it, and all that it takes to make a finding again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from exchange.cases.shapes import AnswerShape
from exchange.cases.states import EventKind
from exchange.contract.base import Model

Status = Literal["found", "nothing_found", "not_authorised", "not_identified", "refused"]
FACTS: tuple[Status, ...] = ("found", "nothing_found")
INCOMPLETE = "incomplete"


class Who(Model):
    """A person and the role in which they act."""

    person: str
    role: str


ENGINE = Who(person="", role="engine")


class Party(Model):
    """A person whom the case is about; `authorisation` is the number of what they signed, empty if there is none."""

    number: int
    party_id: str
    name: str
    authorisation: str = ""


class CaseQuestion(Model):
    """One question as it was asked: what is in the record, and what its type said of it on that day.

    If it is `optional`, a finding may be made without the answer once that is late. `outside`: of a unit outside of the
    city, for which the whole case waits.
    """

    question_id: str
    to: str
    item: str
    party: int
    period_from: date | None = None
    period_until: date | None = None
    as_of: date | None = None
    parameters: dict[str, str]
    answer: dict[str, AnswerShape]
    authorisation: str
    remind_on: date | None
    due_on: date
    optional: bool
    outside: bool


class CaseAnswer(Model):
    """The answer of a department to one question, as it came; `content` is JSON text."""

    question_id: str
    department: str
    status: Status
    content: str
    reason: str | None
    data_as_of: date | None
    queried_at: AwareDatetime
    answered_by: Literal["query", "person"]

    def contradicts(self, other: CaseAnswer) -> bool:
        """Whether the two say different things, whenever they were said."""
        return (self.status, json_object(self.content)) != (other.status, json_object(other.content))


class RestsOn(Model):
    """An answer on which a reason rests."""

    question_id: str
    department: str
    data_as_of: date | None


class FindingReason(Model):
    """One reason of a finding, and the answers that it rests on."""

    text: str
    rests_on: tuple[RestsOn, ...] = Field(min_length=1)


class MissingAnswer(Model):
    """A question that has no answer to build on, and why."""

    question_id: str
    department: str
    why: Literal["late", "refused", "not_identified", "not_authorised", "unreadable"]


class CaseFinding(Model):
    """What the rules make of the answers: a signal for the person who decides. With an answer missing: `incomplete`."""

    outcome: str
    values: dict[str, str]
    reasons: tuple[FindingReason, ...]
    missing: tuple[MissingAnswer, ...]


class _Event(Model):
    time: AwareDatetime
    who: Who


class CaseOpened(_Event):
    """The case is opened; `day` is the one whose rules and parameters count."""

    kind: Literal[EventKind.OPENED] = EventKind.OPENED
    case_no: str
    type: str
    region: str
    day: date
    parties: tuple[Party, ...] = Field(min_length=1)


class CaseAsked(_Event):
    """A round of questions is asked."""

    kind: Literal[EventKind.ASKED] = EventKind.ASKED
    round: int
    questions: tuple[CaseQuestion, ...] = Field(min_length=1)


class CaseAnswered(_Event):
    """The first answer to a question came."""

    kind: Literal[EventKind.ANSWERED] = EventKind.ANSWERED
    answer: CaseAnswer


class CaseContradicted(_Event):
    """A department gave another answer to a question that it has answered; the first one stays, a person looks."""

    kind: Literal[EventKind.CONTRADICTED] = EventKind.CONTRADICTED
    answer: CaseAnswer


class CaseReminded(_Event):
    """The departments are reminded of these questions."""

    kind: Literal[EventKind.REMINDED] = EventKind.REMINDED
    questions: tuple[str, ...] = Field(min_length=1)


class CaseLate(_Event):
    """These questions were not answered on their last day."""

    kind: Literal[EventKind.LATE] = EventKind.LATE
    questions: tuple[str, ...] = Field(min_length=1)


class _Made(_Event):
    rule: str
    version: str
    parameters: dict[str, str]
    finding: CaseFinding
    reason: str = ""


class CaseFound(_Made):
    """The finding, the rule that made it, and the values of the case's day; `reason` if a person asked for it."""

    kind: Literal[EventKind.FOUND] = EventKind.FOUND


class CaseAmended(_Made):
    """The finding made anew, after an objection or a late answer; `reason` if a person asked for it."""

    kind: Literal[EventKind.AMENDED] = EventKind.AMENDED


class CaseDecided(_Event):
    """A person decided, on the finding that event number `finding` recorded."""

    kind: Literal[EventKind.DECIDED] = EventKind.DECIDED
    finding: int
    outcome: str
    reasons: tuple[str, ...] = Field(min_length=1)


class CaseObjected(_Event):
    """Someone contests what was answered to these items."""

    kind: Literal[EventKind.OBJECTED] = EventKind.OBJECTED
    items: tuple[str, ...] = Field(min_length=1)
    reason: str


class CaseCarried(_Event):
    """The case is not closed, and goes on in this year."""

    kind: Literal[EventKind.CARRIED] = EventKind.CARRIED
    year: int


class CaseClosed(_Event):
    """Nothing more happens to the case."""

    kind: Literal[EventKind.CLOSED] = EventKind.CLOSED
    reason: str


CaseEvent = Annotated[
    CaseOpened
    | CaseAsked
    | CaseAnswered
    | CaseContradicted
    | CaseReminded
    | CaseLate
    | CaseFound
    | CaseAmended
    | CaseDecided
    | CaseObjected
    | CaseCarried
    | CaseClosed,
    Field(discriminator="kind"),
]
_EVENT: TypeAdapter[CaseEvent] = TypeAdapter(CaseEvent)


def read_event(body: str) -> CaseEvent:
    """The event that was written as this JSON."""
    return _EVENT.validate_json(body)


def json_object(text: str) -> Mapping[str, object] | None:
    """The named values in this text; None if it is no JSON object, or one with a number that cannot be kept."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):  # an exponent too high, or nested too deep
        return None
    return value if isinstance(value, dict) else None


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
