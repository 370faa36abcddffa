"""The case type as frozen models: what a department asks of whom, by when, and what its finding depends on.

# connectors/civil-affairs/cases/household.yaml: the file's name is the type, its folder's the asking department
title: {zh: 低保家庭经济状况核对, en: Household economic status}
basis: Interim Measures for Social Assistance 2014, art. 58
within: 18                        # working days for the whole
decided_by: street-office         # who decides; the exchange never does
authorised: true                  # without the persons' authorisation nothing is asked
contest_within: 5                 # optional: working days after the newest finding or decision
sums: [spared]                    # optional: values of findings that `exchange case statistics` adds up
items:
  - name: wages
    asks: tax                     # a department
    about: {period: 12 months}    # or {day: query}: as of the day of the question
    within: 5                     # working days to answer
    remind: 3                     # working days after which the department is reminded
    outside: false                # true: a unit outside of the city, the whole's clock stops while it is awaited
    optional: false               # true: once it is late, an incomplete finding may be made without the answer
    parameters: [wage_limit]      # whose values of the day go with the question
    answer:
      total: {shape: value, scale: 2, unit: CNY}
      months: {shape: count}
      over_limit: {shape: predicate}
      bracket: {shape: range, values: [none, low, high]}
parameters:                       # of one name and region, exactly one is in force on each day
  - {name: wage_limit, region: "4401", from: 2018-01-01, until: null, value: "950.00", unit: CNY/month, basis: …}
rules:                            # what makes the finding; exactly one is in force on each day
  - {from: 2018-01-01, until: null, python: household.py:finding_2018, parameters: [wage_limit], basis: …}

Days are inclusive. Numbers of parameters are text in quotes, so that every decimal of theirs is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from exchange.cases.shapes import AnswerShape, Word
from exchange.contract.base import Model
from exchange.contract.model import Name, Title
from exchange.errors import ConfigError

MAX_DIGITS = 38

Region = Annotated[str, Field(pattern=r"^[0-9]{2,12}$", description="Code of the region (GB/T 2260).")]
WorkingDays = Annotated[int, Field(ge=1, le=1000, strict=True)]


def _decimal(value: Any) -> Decimal:
    """The number in this text; YAML's own numbers are refused, because they lose decimals."""
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) or len(value) > MAX_DIGITS:
        raise ValueError('this is not a decimal number in quotes, such as "950.00"')
    return Decimal(value)


class NothingInForceError(ConfigError):
    """A case type has no rule, or no value of a parameter, for this day and region."""

    code = "case-nothing-in-force"
    remedy = "add what holds on this day to the case type's file, with its legal basis"


class SeveralInForceError(ConfigError):
    """A case type has more than one rule, or more than one value of a parameter, for this day and region."""

    code = "case-several-in-force"
    remedy = "let each end on the day before the next begins; `exchange validate` shows the lines"


class Times(NamedTuple):
    """The days that a question is about, as the question's record has them: a period, or one day."""

    period_from: date | None
    period_until: date | None
    as_of: date | None


class About(Model):
    """The time that an item's question is about."""

    period: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2} months?$")] | None = Field(
        default=None, description="Whole months before the one in which it is asked, such as `12 months`."
    )
    day: Literal["query"] | None = Field(default=None, description="The day on which it is asked.")

    @model_validator(mode="after")
    def _one(self) -> About:
        if (self.period is None) == (self.day is None):
            raise ValueError("give one of `period: 12 months` and `day: query`")
        return self

    def times(self, day: date) -> Times:
        """The days that a question of that day is about.

        >>> About(period="2 months").times(date(2026, 1, 31))[:2]
        (datetime.date(2025, 11, 1), datetime.date(2025, 12, 31))
        """
        if self.period is None:
            return Times(None, None, day)
        month = day.year * 12 + day.month - 1 - int(self.period.split()[0])
        return Times(date(month // 12, month % 12 + 1, 1), day.replace(day=1) - timedelta(days=1), None)


class Item(Model):
    """One thing that is asked of one department about each person."""

    name: Name
    asks: Name = Field(description="The department that is asked.")
    about: About
    within: WorkingDays = Field(description="Working days to answer.")
    remind: WorkingDays | None = Field(default=None, description="Working days after which it is reminded.")
    outside: bool = Field(
        default=False, description="A unit outside of the city: the whole's clock stops while it is awaited."
    )
    optional: bool = Field(
        default=False, description="Once the answer is late, a finding may be made without it, which is incomplete."
    )
    parameters: tuple[Word, ...] = Field(default=(), description="Parameters whose values go with the question.")
    answer: Mapping[Word, AnswerShape] = Field(min_length=1, description="The values of an answer, and their shapes.")

    @model_validator(mode="after")
    def _reminds_in_time(self) -> Item:
        if self.remind is not None and self.remind > self.within:
            raise ValueError("`remind` comes after `within`: the answer would be late before anybody is reminded")
        return self


class Dated(Model):
    """What holds from one day to another, and on what legal basis."""

    from_: date = Field(alias="from", description="First day (inclusive).")
    until: date | None = Field(default=None, description="Last day (inclusive); null: no end is known.")
    basis: str = Field(min_length=1, description="Law, regulation or notice, with its article or number.")

    def holds_on(self, day: date) -> bool:
        """Whether it is in force on that day."""
        return self.from_ <= day and (self.until is None or day <= self.until)

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Dated:
        if self.until is not None and self.until < self.from_:
            raise ValueError(f"it ends before it begins on {self.from_}")
        return self


class Parameter(Dated):
    """A number that a region sets for a time, such as a standard or a limit."""

    name: Word
    region: Region
    value: Annotated[Decimal, BeforeValidator(_decimal)] = Field(description="A decimal number, in quotes.")
    unit: str | None = Field(default=None, min_length=1)


class FindingRule(Dated):
    """The function that makes findings for a time."""

    python: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*\.py:[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="file.py:function, in the folder of the case type's file."
    )
    parameters: tuple[Word, ...] | None = Field(
        default=None, description="Parameters whose values the function takes; absent: all of the case type's."
    )


T = TypeVar("T", bound=Dated)


@dataclass(frozen=True)
class CaseTerms:
    """What a case depends on that is of one day and region: the rule, and the values of parameters by name."""

    rule: FindingRule
    parameters: Mapping[str, Parameter]


class CaseType(Model):
    """A kind of case: what is asked, by when, and what makes the finding."""

    department: Name = Field(description="The department that asks.")
    type: Name
    title: Title
    basis: str = Field(min_length=1)
    within: WorkingDays = Field(description="Working days for the whole.")
    decided_by: Name = Field(description="Who decides; the exchange never does.")
    authorised: bool = Field(description="Whether nothing is asked without the persons' authorisation.")
    items: tuple[Item, ...] = Field(min_length=1)
    parameters: tuple[Parameter, ...] = ()
    rules: tuple[FindingRule, ...] = Field(min_length=1)
    contest_within: WorkingDays | None = Field(
        default=None, description="Working days after the finding or decision in which it can be contested."
    )
    sums: tuple[Word, ...] = Field(default=(), description="Values of findings that statistics add up.")

    def in_force(self, day: date, region: str) -> CaseTerms:
        """The rule of that day, and the region's value of every parameter that the rule or an item names.

        Raises NothingInForceError or SeveralInForceError; a value of another day or region is never taken instead.
        """
        rule = self.rule_on(day)
        of_rule = {each.name for each in self.parameters} if rule.parameters is None else set(rule.parameters)
        names = of_rule.union(*(item.parameters for item in self.items))
        return CaseTerms(rule, {name: self._parameter(name, day, region) for name in sorted(names)})

    def rule_on(self, day: date) -> FindingRule:
        """The rule of that day; raises NothingInForceError or SeveralInForceError."""
        return self._only(self.rules, day, "rule")

    def _parameter(self, name: str, day: date, region: str) -> Parameter:
        there = [each for each in self.parameters if (each.name, each.region) == (name, region)]
        return self._only(there, day, f"value of '{name}' in region {region}")

    def _only(self, there: Iterable[T], day: date, what: str) -> T:
        found = [each for each in there if each.holds_on(day)]
        if not found:
            raise NothingInForceError(f"case type {self.type} of {self.department} has no {what} on {day}")
        if len(found) > 1:
            raise SeveralInForceError(f"case type {self.type} of {self.department} has more than one {what} on {day}")
        return found[0]
