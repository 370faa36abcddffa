"""What a region set for its car quota: how many a year has, and which day of the month ends what; with legal basis.

allocations:
  - region: "4401"
    from: 2013-07-01
    until: null
    basis: …
    yearly: 120000
    kinds:                     # parts of each month's number
      energy-saving: {parts: 1, rest_to: lottery}   # what nobody used goes there in the next month
      lottery: {parts: 5, rest_to: lottery}
      auction: {parts: 4, rest_to: auction}
    applicants: {units: 12, persons: 88}            # parts of each kind's number
months:
  - region: "4401"
    from: 2012-07-01
    until: null
    basis: …
    apply_until: 8             # day of the month (inclusive); all departments are asked on the day after
    review_within: 8           # working days that each department has
    withdraw_before: 20        # day of the month (exclusive)
    result_on: 23
    recheck_within: 5          # working days after the result
    draw_on: 26                # the list is sealed on the day before
    code_months: 3             # how long a code is valid
unused:                        # what a month left over
  - {region: "4401", month: 2013-10-01, kind: auction, applicants: units, count: 94, basis: …}

Days are inclusive. A month has what is in force on its first day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError, model_validator

from exchange.cases.case_type import Dated, Region, WorkingDays
from exchange.contract.base import Model
from exchange.contract.model import Name
from exchange.document.faults import faults
from exchange.document.problem import listed
from exchange.document.yaml import read
from exchange.errors import ConfigError

DayOfMonth = Annotated[int, Field(ge=2, le=28, strict=True)]
Count = Annotated[int, Field(ge=0, strict=True)]
Parts = Annotated[int, Field(ge=1, strict=True)]


class QuotaRulesError(ConfigError):
    """The file of a car quota's rules has mistakes, or not exactly one rule is in force."""

    code = "car-quota-rules"
    remedy = "correct the file: for each month and region, exactly one rule is in force"


class QuotaKind(Model):
    """A way in which quotas are given out; `parts`: its part of the month's number."""

    parts: Parts
    rest_to: Name = Field(description="The kind that has in the next month what is not used.")


class AllocationPlan(Dated):
    """How many quotas a year has, and how they are divided."""

    region: Region
    yearly: Count
    kinds: Mapping[Name, QuotaKind] = Field(min_length=1)
    applicants: Mapping[Name, Parts] = Field(min_length=1, description="Their parts of each kind's number.")

    @model_validator(mode="after")
    def _rests_stay(self) -> AllocationPlan:
        for name, kind in self.kinds.items():
            if kind.rest_to not in self.kinds:
                raise ValueError(f"what is left of '{name}' goes to '{kind.rest_to}', which is no kind of this plan")
        return self


class MonthRules(Dated):
    """Which day of a month ends what."""

    region: Region
    apply_until: DayOfMonth
    review_within: WorkingDays
    withdraw_before: DayOfMonth
    result_on: DayOfMonth
    recheck_within: WorkingDays
    draw_on: DayOfMonth
    code_months: Annotated[int, Field(ge=1, le=120, strict=True)]

    @model_validator(mode="after")
    def _in_order(self) -> MonthRules:
        if not self.apply_until < self.withdraw_before <= self.result_on < self.draw_on:
            raise ValueError("the days are not in their order: apply_until, withdraw_before, result_on, draw_on")
        return self


class Unused(Model):
    """What a month left over of one kind, for one sort of applicants."""

    region: Region
    month: date
    kind: Name
    applicants: Name
    count: Count
    basis: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_month(self) -> Unused:
        if self.month.day != 1:
            raise ValueError("write a month as its first day")
        return self


T = TypeVar("T", AllocationPlan, MonthRules)


class QuotaRules(Model):
    """All that a file says."""

    allocations: tuple[AllocationPlan, ...] = ()
    months: tuple[MonthRules, ...] = ()
    unused: tuple[Unused, ...] = ()

    def plan(self, month: date, region: str) -> AllocationPlan:
        """The plan of the month; QuotaRulesError if there is none, or more than one."""
        return _only(self.allocations, month, region, "allocation")

    def days(self, month: date, region: str) -> MonthRules:
        """The days of the month; QuotaRulesError if there are none, or more than one."""
        return _only(self.months, month, region, "month")

    def unused_of(self, month: date, region: str) -> dict[tuple[str, str], int]:
        """What that month left over, by kind and applicants."""
        there: dict[tuple[str, str], int] = {}
        for each in self.unused:
            if (each.month, each.region) == (month.replace(day=1), region):
                if (each.kind, each.applicants) in there:
                    raise QuotaRulesError(f"{month:%Y-%m}: what {each.kind} for {each.applicants} left is given twice")
                there[each.kind, each.applicants] = each.count
        return there


def _only(there: Iterable[T], month: date, region: str, what: str) -> T:
    found = [each for each in there if each.region == region and each.holds_on(month.replace(day=1))]
    if len(found) != 1:
        number = "more than one" if found else "no"
        raise QuotaRulesError(f"{number} rule of the kind '{what}' is in force in {month:%Y-%m} in region {region}")
    return found[0]


def read_quota_rules(path: Path) -> QuotaRules:
    """What that YAML file says; QuotaRulesError with every mistake of form, by line."""
    try:
        document = read(path.read_bytes())
    except OSError as error:
        raise QuotaRulesError(f"{path} cannot be read: {error.strerror}", remedy="see who may read it") from error
    problems = list(document.problems)
    try:
        if not problems:
            return QuotaRules.model_validate(document.value)
    except ValidationError as error:
        problems += faults(document, error)
    raise QuotaRulesError(listed(str(path), sorted(problems)))
