"""What persons do with a case: open it, decide, object, have its finding amended, close it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TypedDict

from exchange.cases.asked import AskedType
from exchange.cases.case import Case
from exchange.cases.events import (
    CaseAmended,
    CaseClosed,
    CaseDecided,
    CaseEvent,
    CaseFinding,
    CaseFound,
    CaseObjected,
    CaseOpened,
    Party,
    Who,
)
from exchange.cases.finding import make
from exchange.cases.rules import keep
from exchange.cases.states import EventKind, states_after
from exchange.cases.store import Also, CaseStore
from exchange.contract.period import city_day, moment_of, ms_of
from exchange.errors import ConfigError
from exchange.printable import is_hidden

TEXT_LENGTH = 2000


class CaseTypeUnknownError(ConfigError):
    """The department has no case type with this name."""

    code = "case-type-unknown"
    remedy = "name a file of the department's folder `cases`, without .yaml"


class CaseActorError(ConfigError):
    """Someone else has to do this."""

    code = "case-actor"
    remedy = "let a person do it who has the role that the case type names"


class OtherFindingError(ConfigError):
    """The case has a newer finding than the one that somebody wants to decide on."""

    code = "case-other-finding"
    remedy = "read the newest finding, see `exchange case show`, and decide on that"


class CaseTextError(ConfigError):
    """A reason, name or number is missing, too long, or has characters that cannot be shown."""

    code = "case-text"
    remedy = "give it, in one line of words"


class UnauthorisedPartyError(ConfigError):
    """A person has not authorised that others are asked about them."""

    code = "case-unauthorised"
    remedy = "have each person sign, or the guardian of a minor, and give the number of what they signed"


class CaseActs:
    """The persons' side of a department's cases. Each act takes the case as the person saw it.

    All raise CaseStateError if the act is not possible now, and CaseMovedError if the case is not any more as it was
    seen.
    """

    def __init__(self, store: CaseStore, types: Mapping[str, AskedType]) -> None:
        self._store = store
        self._types = types

    def open(
        self, case_no: str, type_name: str, region: str, day: date, parties: Sequence[Party], who: Who, now: datetime
    ) -> Case:
        """A new case, about which the engine asks at its next pass; `day` is the one whose rules and values count.

        Raises CaseExistsError, CaseTypeUnknownError, UnauthorisedPartyError, and what the type raises if the day has no
        rule or lacks a value.
        """
        if not re.fullmatch(r"[\w.-]{1,64}", case_no):
            raise CaseTextError("the case's number is not 1 to 64 letters, digits, dots and hyphens")
        type_ = type_of(self._types, type_name)
        if not parties:
            raise CaseTextError(f"case {case_no} names nobody", remedy="name each person")
        if [party.number for party in parties] != list(range(1, len(parties) + 1)):
            raise CaseTextError(f"the parties of case {case_no} are not numbered 1, 2, 3 …", remedy="number them so")
        if len({party.party_id.casefold() for party in parties}) < len(parties):
            raise CaseTextError(f"case {case_no} names a party twice", remedy="name each person once")
        if not re.fullmatch(r"[0-9]{2,12}", region, re.ASCII):
            raise CaseTextError(f"the region of case {case_no} is no code", remedy="give it as digits, such as 4401")
        if day > city_day(now):
            raise CaseTextError(f"the day of case {case_no} is still to come", remedy="give it that of the application")
        for party in parties:
            whose = f"of party {party.number} of case {case_no}"
            if any(each.isspace() for each in _words(party.party_id, f"the number {whose}")):
                raise CaseTextError(f"the number {whose} has white space", remedy="leave it out")
            _words(party.name, f"the name {whose}")
            if party.authorisation:
                _words(party.authorisation, f"the authorisation {whose}")
            if type_.authorised and not party.authorisation.strip():
                raise UnauthorisedPartyError(f"party {party.number} of case {case_no} has given no authorisation")
        type_.parameters_on(day, region)
        type_.rule_on(day)
        opened = CaseOpened(
            time=_ms(now),
            who=_person(who),
            case_no=case_no,
            type=type_name,
            region=region,
            day=day,
            parties=tuple(parties),
        )
        return self._store.append(None, opened)

    def decide(
        self, case: Case, who: Who, outcome: str, reasons: Sequence[str], now: datetime, finding: int | None = None
    ) -> Case:
        """The case with this person's decision on its finding; CaseActorError if their role is not the type's.

        `finding` is the number of the one that they read; absent: the case's own. Raises OtherFindingError if there is
        a newer one.
        """
        states_after(case.case_no, case.state, EventKind.DECIDED)
        if finding not in (None, case.finding_event):
            raise OtherFindingError(f"the newest finding of case {case.case_no} is number {case.finding_event}")
        role = type_of(self._types, case.type).decided_by
        if who.role != role:
            raise CaseActorError(f"case {case.case_no} is for the role {role} to decide, not for {who.role}")
        decided = CaseDecided(
            time=_ms(now),
            who=_person(who),
            finding=case.finding_event,
            outcome=_words(outcome, "the outcome"),
            reasons=tuple(_words(reason, "a reason") for reason in reasons or [""]),
        )
        return self._store.append(case, decided)

    def object(self, case: Case, who: Who, items: Sequence[str], reason: str, now: datetime) -> Case:
        """The case with an objection: these items, and only these, are asked again at the engine's next pass."""
        contested = tuple(dict.fromkeys(items))
        if not contested:
            raise CaseTextError("no item is contested", remedy="name those whose answers are wrong")
        event = CaseObjected(time=_ms(now), who=_person(who), items=contested, reason=_words(reason, "the reason"))
        return self._store.append(case, event)

    def amend(self, case: Case, who: Who, reason: str, now: datetime) -> Case:
        """The case with its finding made anew, or made at last, of all answers that are there now.

        An answer that is still awaited has to be late. The finding is incomplete then, and names it: a person decides
        what becomes of it.
        """
        kind = CaseAmended if case.finding else CaseFound
        states_after(case.case_no, case.state, EventKind.AMENDED if case.finding else EventKind.FOUND)
        made_now, keep = made(case, type_of(self._types, case.type))
        event = kind(time=_ms(now), who=_person(who), reason=_words(reason, "the reason"), **made_now)
        return self._store.append(case, event, keep)

    def close(self, case: Case, who: Who, reason: str, now: datetime) -> Case:
        """The case, closed; before a decision if the applicant withdraws it."""
        closed: CaseEvent = CaseClosed(time=_ms(now), who=_person(who), reason=_words(reason, "the reason"))
        return self._store.append(case, closed)


class Made(TypedDict):
    """A finding, and what made it."""

    rule: str
    version: str
    parameters: dict[str, str]
    finding: CaseFinding


def made(case: Case, type_: AskedType) -> tuple[Made, Also]:
    """The case's finding now, by the rule and the values of the case's day; and what keeps the rule's text with it."""
    rule, parameters = type_.rule_on(case.day), dict(type_.parameters_on(case.day, case.region))
    finding = make(case, rule, parameters)
    return Made(rule=rule.name, version=rule.version, parameters=parameters, finding=finding), keep(rule)


def type_of(types: Mapping[str, AskedType], name: str) -> AskedType:
    """The case type with that name; raises CaseTypeUnknownError."""
    if name not in types:
        only = f", only {', '.join(sorted(types))}" if types else ""
        raise CaseTypeUnknownError(f"there is no case type {name}{only}")
    return types[name]


def _ms(now: datetime) -> datetime:
    return moment_of(ms_of(now))


def _person(who: Who) -> Who:
    return Who(person=_words(who.person, "the person who acts"), role=_words(who.role, "the role of who acts"))


def _words(text: str, what: str) -> str:
    if not text.strip():
        raise CaseTextError(f"{what} is missing")
    if len(text) > TEXT_LENGTH:
        raise CaseTextError(f"{what} is longer than {TEXT_LENGTH} characters", remedy="shorten it")
    if any(is_hidden(character) for character in text):
        raise CaseTextError(f"{what} holds characters that cannot be shown", remedy="write it on one line")
    return text
