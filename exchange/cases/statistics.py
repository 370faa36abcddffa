"""How many cases and persons there were, of what ran: counted from the rows that the store keeps; pure.

Of a year, and of each case type, carried over + accepted = completed + closed undecided + open. A case is accepted on
the day of its application, and completed when it is first decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from exchange.cases.case_row import CaseRow
from exchange.errors import ConfigError

CARRIED, ACCEPTED, COMPLETED, UNDECIDED, OPEN = "carried over", "accepted", "completed", "closed undecided", "open"
FOUND, DECIDED = "found", "decided"
_ORDER = (CARRIED, ACCEPTED, COMPLETED, FOUND, DECIDED, UNDECIDED, OPEN)


class CaseSumError(ConfigError):
    """A value of a finding that is to be added up is no number."""

    code = "case-sum"
    remedy = "correct the rule, and amend the case; or leave the value out of the case type's `sums`"


class What(NamedTuple):
    """What is counted: cases of a type; `name` is the outcome of those that were found or decided so."""

    type: str
    what: str
    name: str = ""


@dataclass
class Counted:
    """How many, and the sums of the values of their findings that the case type names."""

    cases: int = 0
    persons: int = 0
    sums: dict[str, Decimal] = field(default_factory=dict)


def count(rows: Iterable[CaseRow], year: int | None, sums: Mapping[str, Sequence[str]]) -> Mapping[What, Counted]:
    """The counts of that year, or of all years; `sums` names, by case type, the values to be added up.

    What was found and decided is that of the completed cases, by their newest finding and decision.
    """
    counted: dict[What, Counted] = {}
    for row in rows:
        for what in _counts_as(row, year):
            one = counted.setdefault(what, Counted())
            one.cases += 1
            one.persons += row.persons
            for name in sums.get(row.type, ()) if what.what in (COMPLETED, FOUND, DECIDED) else ():
                one.sums[name] = one.sums.get(name, Decimal(0)) + _number(row, name)
    return dict(sorted(counted.items(), key=lambda each: (each[0].type, _ORDER.index(each[0].what), each[0].name)))


def _counts_as(row: CaseRow, year: int | None) -> Iterator[What]:
    ended = min((day for day in (row.completed_on, row.closed_on) if day), default=None)
    if _is_in(row.day, year):
        yield What(row.type, ACCEPTED)
    elif year is not None and row.day.year < year and (ended is None or ended.year >= year):
        yield What(row.type, CARRIED)
    if _is_in(row.completed_on, year):
        yield What(row.type, COMPLETED)
        yield What(row.type, FOUND, row.outcome or "")
        yield What(row.type, DECIDED, row.decision or "")
    elif row.completed_on is None and _is_in(row.closed_on, year):
        yield What(row.type, UNDECIDED)
    if (year is None or row.day.year <= year) and (ended is None or (year is not None and ended.year > year)):
        yield What(row.type, OPEN)


def _is_in(day: date | None, year: int | None) -> bool:
    return day is not None and year in (None, day.year)


def _number(row: CaseRow, name: str) -> Decimal:
    """The value; 0 if the finding has none, as one that is incomplete."""
    try:
        number = Decimal(row.numbers.get(name, "0"))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise CaseSumError(f"'{name}' of the finding of case {row.case_no} is no number")
    return number
