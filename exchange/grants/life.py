"""What can happen to a request for a grant, who may do it, and by when; pure.

    requested ─review─▶ reviewed ─agree─▶ agreed ─approve─▶ approved
                            └──refuse──▶ rejected ◀──reject── (at any moment before)
                                        withdrawn ◀─withdraw─ (the same)

The data authority reviews and decides, the provider agrees or refuses, and the reader may withdraw what is not
decided. A request for a closed subject is rejected when it is made. The provider is asked if its subject is
conditional, and if the authority itself wants to read; otherwise the authority approves what it has received or
reviewed. Nobody decides on their own request, and nobody acts for both the provider and the authority.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal, get_args

from exchange.contract.model import Grant
from exchange.contract.period import city_day
from exchange.errors import ConfigError
from exchange.workdays import Calendar, Due

State = Literal["requested", "reviewed", "agreed", "approved", "rejected", "withdrawn"]
Act = Literal["review", "agree", "refuse", "approve", "reject"]
Share = Literal["open", "conditional", "closed"]

OPEN: tuple[State, ...] = ("requested", "reviewed", "agreed")
STATES: tuple[State, ...] = get_args(State)
REVIEW_DAYS, ANSWER_DAYS, ALL_DAYS = 2, 5, 7
TEXT_LENGTH = 2000


class NoRequestError(ConfigError):
    """There is no request with this number."""

    code = "request-unknown"
    remedy = "see `exchange grant list`"


class WrongStateError(ConfigError):
    """The request is not at the point at which this can be done."""

    code = "grant-state"
    remedy = "see `exchange grant show` for whose turn it is"


class WrongActorError(ConfigError):
    """Someone else has to do this."""

    code = "grant-actor"
    remedy = "let a colleague of the department whose turn it is do it"


class TextError(ConfigError):
    """A reason, purpose or name is missing, or has characters that cannot be shown."""

    code = "grant-text"
    remedy = "give it, in one line of words"


class PastPeriodError(ConfigError):
    """The requested period would be over before it began."""

    code = "grant-period"
    remedy = "ask for days to come"


@dataclass(frozen=True)
class Actor:
    """Who acts: a person, on behalf of a department."""

    person: str
    department: str

    def __post_init__(self) -> None:
        plain(self.person, "the person who acts", length=64)


@dataclass(frozen=True)
class Request:
    """A department's request for `grant`; if it `renews`, the grant exists and this is its new form.

    `conditional`: the provider has to agree. `reviewed_by` and `answered_by` are persons.
    """

    number: int
    grant: Grant
    conditional: bool
    requester: Actor
    submitted: datetime
    renews: bool = False
    state: State = "requested"
    reviewed: datetime | None = None
    reviewed_by: str = ""
    answered_by: str = ""

    @property
    def provider(self) -> str:
        """The department that owns the subject."""
        return self.grant.subject.partition(".")[0]


@dataclass(frozen=True)
class Clock:
    """For whom the request waits, until when, and until when for everything; `overdue`: one of the two has passed."""

    waits_for: str
    due: Due
    due_in_all: Due
    overdue: bool

    @property
    def first(self) -> Due:
        """The earlier of the two days."""
        return min(self.due, self.due_in_all, key=lambda due: due.day)


@dataclass(frozen=True)
class Rules:
    """What the rules depend on besides the request: who the data authority is, and how the subject is shared now."""

    authority: str
    share: Share


def needs_answer(grant: Grant, rules: Rules) -> bool:
    """Whether the provider has to agree. The authority cannot approve its own requests alone."""
    return rules.share == "conditional" or grant.reader == rules.authority


def submit(number: int, grant: Grant, actor: Actor, now: datetime, rules: Rules, *, renews: bool = False) -> Request:
    """A new request; rejected at once if the subject is closed.

    Raises WrongActorError if the actor is not of the reader, TextError if purpose or basis is empty, and
    PastPeriodError.
    """
    _must_be(actor, grant.reader, "ask for a grant of its own")
    plain(grant.purpose.basis, "the legal basis")
    plain(grant.purpose.text, "the purpose")
    if grant.until < city_day(now):
        raise PastPeriodError(f"the period ends on {grant.until}, which is over")
    state: State = "rejected" if rules.share == "closed" else "requested"
    return Request(number, grant, needs_answer(grant, rules), actor, now, renews, state)


def step(request: Request, act: Act, actor: Actor, now: datetime, rules: Rules, reason: str = "") -> Request:
    """The request after that act.

    Raises WrongStateError if the act is not possible now, WrongActorError if someone else has to do it, and TextError
    if a refusal gives no reason.
    """
    asked = request.conditional or needs_answer(request.grant, rules)
    _must_be_open(request)
    if act in ("agree", "refuse"):
        _must_be(actor, request.provider, f"answer for {request.grant.subject}")
    else:
        _must_be(actor, rules.authority, f"{act} requests", setting="EXCHANGE_AUTHORITY")
    _must_not_be(actor, request, act)
    if act in ("refuse", "reject"):
        plain(reason, "the reason", remedy="give it with --reason: the requester has a right to it")
    elif reason:
        plain(reason, "the note")
    _must_be_time(request, act, asked)
    after: dict[Act, State] = {
        "review": "reviewed",
        "agree": "agreed",
        "refuse": "rejected",
        "approve": "approved",
        "reject": "rejected",
    }
    done = replace(request, state=after[act], conditional=asked)
    if act == "review":
        done = replace(done, reviewed=now, reviewed_by=actor.person)
    return replace(done, answered_by=actor.person) if act == "agree" else done


def withdraw(request: Request, actor: Actor, reason: str = "") -> Request:
    """The request, withdrawn by its reader; raises WrongStateError if it is decided, WrongActorError, TextError."""
    _must_be_open(request)
    _must_be(actor, request.requester.department, "withdraw its own request")
    if reason:
        plain(reason, "the reason")
    return replace(request, state="withdrawn")


def must_have_part(actor: Actor, authority: str, grant: Grant) -> None:
    """Raise WrongActorError unless the actor is of the data authority, the subject's owner or the reader."""
    parties = (authority, grant.subject.partition(".")[0], grant.reader)
    if actor.department not in parties:
        remedy = "let one of them do it (--department), or see what EXCHANGE_AUTHORITY says"
        raise WrongActorError(f"grant {grant.id} is for {', '.join(dict.fromkeys(parties))} to revoke", remedy=remedy)


def clock(request: Request, authority: str, today: date, calendar: Calendar) -> Clock | None:
    """The state of the request's time limits on that day, in the city's working days; None if the request is decided.

    The day of submission, or of the step before, does not count.
    """
    if request.state not in OPEN:
        return None
    submitted = city_day(request.submitted)
    in_all = calendar.due(submitted, ALL_DAYS)
    if request.state == "requested":
        waits_for, due = authority, calendar.due(submitted, REVIEW_DAYS)
    elif request.state == "reviewed" and request.conditional:
        assert request.reviewed is not None
        waits_for, due = request.provider, calendar.due(city_day(request.reviewed), ANSWER_DAYS)
    else:
        waits_for, due = authority, in_all
    return Clock(waits_for, due, in_all, overdue=min(due.day, in_all.day) < today)


def plain(text: str, what: str, *, length: int = TEXT_LENGTH, remedy: str = "") -> str:
    """The text, if it is not empty and can be shown on one line; raises TextError otherwise."""
    if not text.strip():
        raise TextError(f"{what} is missing", remedy=remedy or "say it in a sentence")
    if len(text) > length:
        raise TextError(f"{what} is longer than {length} characters", remedy="shorten it, and name the document")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for character in text):
        remedy = "write it on one line, without control characters"
        raise TextError(f"{what} holds characters that cannot be shown", remedy=remedy)
    return text


def _must_be_open(request: Request) -> None:
    if request.state not in OPEN:
        raise WrongStateError(
            f"request {request.number} is {request.state}: nothing more can be decided",
            remedy="file a new request, or `exchange grant renew` or `revoke` the grant",
        )


def _must_be(actor: Actor, department: str, doing: str, setting: str = "EXCHANGE_DEPARTMENT") -> None:
    if actor.department != department:
        acts = f"{actor.person} acts for {actor.department}" if actor.department else f"{actor.person} names none"
        remedy = f"let someone of {department} do it (--department), or see what {setting} says"
        raise WrongActorError(f"only {department} may {doing}; {acts}", remedy=remedy)


def _must_not_be(actor: Actor, request: Request, act: Act) -> None:
    if actor.person == request.requester.person:
        message = f"request {request.number} is {actor.person}'s own: nobody decides on what they asked for"
        raise WrongActorError(message, remedy="let a colleague do it")
    other = request.reviewed_by if act in ("agree", "refuse") else request.answered_by
    if actor.person == other:
        message = f"{actor.person} has acted on request {request.number} for the other side, provider or authority"
        raise WrongActorError(message, remedy="let a colleague do it")


def _must_be_time(request: Request, act: Act, asked: bool) -> None:
    number, state = request.number, request.state
    if act == "review" and state != "requested":
        raise WrongStateError(f"request {number} is already {state}", remedy="approve or reject it when it is complete")
    if act in ("agree", "refuse"):
        if not asked:
            message = f"{request.grant.subject} is open: the authority decides alone"
            raise WrongStateError(message, remedy="tell the authority what speaks against it")
        if state != "reviewed":
            why = "not yet reviewed" if state == "requested" else "already answered"
            raise WrongStateError(f"request {number} is {why}")
    if act == "approve" and asked and state != "agreed":
        message = f"request {number} needs the answer of {request.provider} before it can be approved"
        remedy = (
            "review it first" if state == "requested" else f"wait for `exchange grant answer` of {request.provider}"
        )
        raise WrongStateError(message, remedy=remedy)
