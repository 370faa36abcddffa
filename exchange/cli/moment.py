"""Moments on the command line: a day or a time, in the city's zone where none is said."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, timedelta

import click

from exchange.contract.period import CITY_TIME


class Moment(click.ParamType[int]):
    """`2026-01-31`, `2026-01-31T08:00` or `2026-01-31T08:00:00+08:00`, as ms since 1970.

    A day is its beginning, or with `end` the moment after it, so that it is included.
    """

    name = "time"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            moment = datetime.fromisoformat(text)
            if _is_day(text):
                moment += timedelta(days=self._end)
        except (ValueError, OverflowError):
            self.fail("is no time; write 2026-01-31 or 2026-01-31T08:00 (Asia/Shanghai where no zone is given)")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=CITY_TIME)
        return int(moment.timestamp() * 1000)


def _is_day(text: str) -> bool:
    with suppress(ValueError):
        return bool(date.fromisoformat(text))
    return False


def say_ms(time_ms: int) -> str:
    """A moment in the city's time, to the second."""
    return datetime.fromtimestamp(time_ms / 1000, CITY_TIME).isoformat(timespec="seconds")
