"""What the engine has to know of a case type: what it asks, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from exchange.cases.events import CaseAnswer, MissingAnswer, Party


class Because(NamedTuple):
    """A reason that a rule gives, and the questions on whose answers it rests."""

    text: str
    rests_on: Sequence[str]


class Conclusion(NamedTuple):
    """What a rule makes of the facts; `values` are what it computed, as text."""

    outcome: str
    reasons: Sequence[Because]
    values: Mapping[str, str] = {}


class Fact(NamedTuple):
    """An answer to build on: `found` with its content, or `nothing_found`."""

    item: str
    party: int
    answer: CaseAnswer
    content: Mapping[str, object]


@dataclass(frozen=True)
class CaseFacts:
    """All that a rule may use, in the order of the type's items and of the parties."""

    day: date
    region: str
    parties: tuple[Party, ...]
    parameters: Mapping[str, str]
    facts: tuple[Fact, ...]
    missing: tuple[MissingAnswer, ...]


class FactRule(Protocol):
    """A pure function that makes findings; `version` changes with what it does."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def __call__(self, facts: CaseFacts) -> Conclusion: ...


class AskedTimes(Protocol):
    """The days that a question is about."""

    @property
    def period_from(self) -> date | None: ...

    @property
    def period_until(self) -> date | None: ...

    @property
    def as_of(self) -> date | None: ...


class AskedAbout(Protocol):
    """A period before a day, or that day."""

    def times(self, day: date) -> AskedTimes: ...


class AskedItem(Protocol):
    """What is asked of one department about each party; `within` and `remind` are working days."""

    @property
    def name(self) -> str: ...

    @property
    def asks(self) -> str: ...

    @property
    def about(self) -> AskedAbout: ...

    @property
    def within(self) -> int: ...

    @property
    def remind(self) -> int | None: ...

    @property
    def outside(self) -> bool: ...

    @property
    def optional(self) -> bool: ...

    @property
    def parameters(self) -> tuple[str, ...]: ...


class AskedType(Protocol):
    """A case type, as far as the engine needs it."""

    @property
    def type(self) -> str: ...

    @property
    def decided_by(self) -> str: ...

    @property
    def authorised(self) -> bool: ...

    @property
    def items(self) -> Sequence[AskedItem]: ...

    def parameters_on(self, day: date, region: str) -> Mapping[str, str]:
        """The values of that day and region; raises a ConfigError if one is missing."""

    def rule_on(self, day: date) -> FactRule:
        """The rule of that day; raises a ConfigError if there is none."""

    def rule_again(self, name: str, version: str) -> FactRule:
        """That rule as it was; raises a ConfigError if it is not there any more."""
