"""Working days in China: weekends, public holidays, and the weekend days worked to make up for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import count
from pathlib import Path

import chinese_calendar
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exchange.document.problem import dotted, in_words
from exchange.document.yaml import read
from exchange.errors import ConfigError
from exchange.printable import printable

_LIBRARY = {day.year for day in chinese_calendar.holidays}


class HolidaysError(ConfigError):
    """The file of public holidays cannot be used."""

    code = "holidays"
    remedy = "correct the file that EXCHANGE_HOLIDAYS names"


class Year(BaseModel):
    """What the State Council announced for a year: days off besides weekends, and weekend days that are worked.

    A day may be in the December before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    year: int
    off: tuple[date, ...] = Field(min_length=1)
    worked: tuple[date, ...] = ()

    def mistakes(self) -> list[str]:
        """What is impossible in it, in words."""
        foreign = [day for day in (*self.off, *self.worked) if day.year != self.year and not _december(day, self.year)]
        return [
            *(f"{day} is not of {self.year}" for day in foreign),
            *(f"{day} is off and worked" for day in self.worked if day in self.off),
            *(f"{day} is not a weekend day, so it is worked anyway" for day in self.worked if day.weekday() < 5),
        ]


@dataclass(frozen=True)
class Due:
    """The last day of a period; `provisional`: public holidays may still move it, only weekends are counted so far."""

    day: date
    provisional: bool


class Calendar:
    """Which days are worked: as an administrator says in `years`, else as the library says, else by weekends."""

    def __init__(self, years: Iterable[Year] = ()) -> None:
        years = tuple(years)
        self._off = {day for year in years for day in year.off}
        self._worked = {day for year in years for day in year.worked}
        self._said = {year.year for year in years}

    @property
    def known_until(self) -> date:
        """The last day before the first year whose public holidays are unknown."""
        return date(next(year for year in count(max(_LIBRARY)) if not self._knows(year + 1)), 12, 31)

    def due(self, since: date, working_days: int) -> Due:
        """The last day of a period of `working_days`, not counting the day on which it begins (`since`).

        >>> Calendar().due(date(2026, 2, 13), 2).day  # the Friday before Spring Festival; Saturday the 14th is worked
        datetime.date(2026, 2, 24)
        >>> Calendar().due(date(2026, 11, 20), 2)
        Due(day=datetime.date(2026, 11, 24), provisional=False)
        """
        day, known = since, True
        while working_days:
            day += timedelta(days=1)
            known = known and self._knows(day.year)
            working_days -= self._is_worked(day)
        return Due(day, not known)

    def _knows(self, year: int) -> bool:
        return year in self._said or year in _LIBRARY

    def _is_worked(self, day: date) -> bool:
        if day in self._worked or day in self._off:
            return day in self._worked
        if day.year in _LIBRARY and day.year not in self._said:
            return _is_worked_by_library(day)
        return day.weekday() < 5


@cache
def _is_worked_by_library(day: date) -> bool:
    """Asked once for each day, because the library looks at all of its days each time."""
    return bool(chinese_calendar.is_workday(day))


def read_calendar(path: Path | None) -> Calendar:
    """The calendar with the years in that YAML file, a list of `Year`; raises HolidaysError if it is not one."""
    if path is None:
        return Calendar()
    try:
        document = read(path.read_bytes())
    except OSError as error:
        raise HolidaysError(f"{path} cannot be read: {error.strerror}", remedy="see EXCHANGE_HOLIDAYS") from error
    if document.problems:
        raise HolidaysError(f"{path}: {document.problems[0]}", remedy=_REMEDY)
    if not isinstance(document.value, list):
        raise HolidaysError(f"{path} is not a list of years", remedy=_REMEDY)
    years = []
    for at, value in enumerate(document.value):
        place = f"{path}, line {document.line((at,))}"
        try:
            year = Year.model_validate(value)
        except ValidationError as error:
            fault = error.errors()[0]
            where, (message, _) = printable(dotted(fault["loc"]), ""), in_words(fault, fault["loc"])
            raise HolidaysError(f"{place}: {where}: {message}", remedy=_REMEDY) from error
        if mistakes := year.mistakes():
            raise HolidaysError(f"{place}: {mistakes[0]}", remedy="compare it with the State Council's notice")
        years.append(year)
    return Calendar(years)


def _december(day: date, year: int) -> bool:
    return (day.year, day.month) == (year - 1, 12)


_REMEDY = "write `- {year: 2027, off: [2027-01-01, …], worked: [2027-02-20, …]}`"
