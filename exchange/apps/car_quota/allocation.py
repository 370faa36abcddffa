"""How many quotas a month has, by kind and applicants: new ones, and those that the month before left over; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from exchange.apps.car_quota.quota_rules import AllocationPlan
from exchange.errors import RecordError


class AllocationError(RecordError):
    """What was used or left over does not fit the allocation."""

    code = "car-quota-allocation"
    remedy = "compare the numbers with the month's notice"


class Allotted(NamedTuple):
    """The quotas of one kind for one sort of applicants."""

    kind: str
    applicants: str
    new: int
    rolled_over: int

    @property
    def total(self) -> int:
        """All that can be used in the month."""
        return self.new + self.rolled_over


@dataclass(frozen=True)
class MonthAllocation:
    """The quotas of a month, and the plan that they follow."""

    month: date
    plan: AllocationPlan
    parts: tuple[Allotted, ...]

    @property
    def total(self) -> int:
        """All quotas of the month."""
        return sum(part.total for part in self.parts)

    def part(self, kind: str, applicants: str) -> Allotted:
        """The quotas of that kind for those applicants; AllocationError if there is no such part."""
        for part in self.parts:
            if (part.kind, part.applicants) == (kind, applicants):
                return part
        raise AllocationError(f"{self.month:%Y-%m} has no part for '{applicants}' of '{kind}'")

    def unused(self, used: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
        """What is left if so many are used, by kind and applicants; AllocationError if more are used than there are."""
        left = {(part.kind, part.applicants): part.total for part in self.parts}
        for (kind, applicants), count in used.items():
            total = self.part(kind, applicants).total
            if not 0 <= count <= total:
                raise AllocationError(f"{self.month:%Y-%m}: {count} of {total} for '{applicants}' of '{kind}' are used")
            left[kind, applicants] -= count
        return left


def allocate(plan: AllocationPlan, month: date, unused: Mapping[tuple[str, str], int]) -> MonthAllocation:
    """The quotas of the month; `unused` is what the month before left over, by kind and applicants.

    Each month has a twelfth of the year's number, each kind its parts of that, and the applicants theirs. What a kind
    left over stays with the same applicants, and goes to the kind that the plan names.
    """
    rolled_over = {(kind, applicants): 0 for kind in plan.kinds for applicants in plan.applicants}
    for (kind, applicants), count in unused.items():
        if (kind, applicants) not in rolled_over or count < 0:
            raise AllocationError(f"{month:%Y-%m}: {count} for '{applicants}' of '{kind}' cannot roll over")
        rolled_over[plan.kinds[kind].rest_to, applicants] += count
    monthly = divided(plan.yearly, [1] * 12)[month.month - 1]
    parts = []
    of_kinds = divided(monthly, [kind.parts for kind in plan.kinds.values()])
    for kind, of_kind in zip(plan.kinds, of_kinds, strict=True):
        of_applicants = divided(of_kind, list(plan.applicants.values()))
        for applicants, new in zip(plan.applicants, of_applicants, strict=True):
            parts.append(Allotted(kind, applicants, new, rolled_over[kind, applicants]))
    return MonthAllocation(month.replace(day=1), plan, tuple(parts))


def divided(total: int, parts: Sequence[int]) -> list[int]:
    """`total` in whole numbers by these parts, all of it: by largest remainders, of equal ones the first.

    >>> divided(10, [1, 1, 1])
    [4, 3, 3]
    """
    whole = sum(parts)
    numbers = [total * part // whole for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda i: -(total * parts[i] % whole))
    for i in by_remainder[: total - sum(numbers)]:
        numbers[i] += 1
    return numbers
