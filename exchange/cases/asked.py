"""What the engine has to know of a case type: what it asks, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from exchange.cases.case_type import Item
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
    """A pure function that makes findings; `version` is another one for other text of its file (`source`)."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def source(self) -> str: ...

    def __call__(self, facts: CaseFacts) -> Conclusion: ...


class AskedType(Protocol):
    """A case type, as far as the engine needs it."""

    @property
    def decided_by(self) -> str: ...

    @property
    def authorised(self) -> bool: ...

    @property
    def items(self) -> Sequence[Item]: ...

    def parameters_on(self, day: date, region: str) -> Mapping[str, str]:
        """The values of that day and region; raises a ConfigError if one is missing."""

    def rule_on(self, day: date) -> FactRule:
        """The rule of that day; raises a ConfigError if there is none."""
