"""Application codes: who has one takes part in draws. It ends after some months, unless a review is passed again."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from exchange.errors import RecordError


class ApplicationCodeError(RecordError):
    """A code cannot be given or renewed."""

    code = "car-quota-code"
    remedy = "one person has one code at a time; after its last day, a new one is given on a new application"


@dataclass(frozen=True)
class ApplicationCode:
    """A code of one holder (person or unit); both days are inclusive."""

    code: str
    holder: str
    from_: date
    until: date

    def valid_on(self, day: date) -> bool:
        """Whether it takes part on that day."""
        return self.from_ <= day <= self.until


def issue(there: Iterable[ApplicationCode], code: str, holder: str, passed_on: date, months: int) -> ApplicationCode:
    """A code for a holder who passed the review on that day; `there` are all codes that were ever given.

    Raises ApplicationCodeError if the holder has a valid one, or the code was given before.
    """
    for each in there:
        if each.code == code:
            raise ApplicationCodeError(f"code {code} was given before")
        if each.holder == holder and each.until >= passed_on:
            raise ApplicationCodeError(f"the holder has code {each.code} until {each.until}")
    return ApplicationCode(code, holder, passed_on, months_after(passed_on, months))


def renew(code: ApplicationCode, passed_on: date, months: int) -> ApplicationCode:
    """The code of a holder who passed the review again; ApplicationCodeError if it is not valid on that day."""
    if not code.valid_on(passed_on):
        raise ApplicationCodeError(
            f"code {code.code} is not valid on {passed_on}, but from {code.from_} to {code.until}"
        )
    return replace(code, until=max(code.until, months_after(passed_on, months)))


def months_after(day: date, months: int) -> date:
    """The last day of a time of so many months from that day: the same day of the month, or the month's last.

    Civil Code of China, art. 201 and 202.

    >>> months_after(date(2013, 11, 30), 3)
    datetime.date(2014, 2, 28)
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
