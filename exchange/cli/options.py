"""What several commands share: `--output` and JSON, `--yes` and its question, moments and the day."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click
from pydantic_core import to_jsonable_python

from exchange.cli.say import counted, say
from exchange.contract.period import CITY_TIME, city_day, moment_of, ms_of
from exchange.errors import ConfigError
from exchange.gap import Gap, GapError

output_option = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def show_json(value: Any) -> None:
    """Print the value as JSON, including dataclasses, days and paths in it."""
    click.echo(json.dumps(to_jsonable_python(value), ensure_ascii=False, indent=2))


def show_gaps(gaps: Collection[Gap], output: str) -> None:
    """Print the gaps; end with their exit status if there is one."""
    if output == "json":
        show_json(gaps)
    else:
        for gap in gaps:
            say(str(gap))
        click.echo(counted(len(gaps), "gap"))
    if gaps:
        sys.exit(GapError.exit_status)


def confirm(question: str, *, yes: bool, look: str) -> None:
    """Return if the person agrees, or agreed beforehand (`yes`); raises ConfigError if nobody can be asked.

    `look` names what shows the effect in advance.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody is here to ask", remedy=f"look at {look}, then run this with --yes")
    click.confirm(question, abort=True, err=True)


def today() -> date:
    """Today, in the city."""
    return city_day(datetime.now(UTC))


class Moment(click.ParamType[int]):
    """`2026-01-31`, `2026-01-31T08:00` or `2026-01-31T08:00:00+08:00`, as ms since 1970.

    A day means its beginning, or with `end` the moment after it, so that the day is included. Without a zone, the
    city's is meant.
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
            self.fail("is not a time; write 2026-01-31 or 2026-01-31T08:00 (Asia/Shanghai unless a zone is given)")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=CITY_TIME)
        return ms_of(moment)


def _is_day(text: str) -> bool:
    with suppress(ValueError):
        return bool(date.fromisoformat(text))
    return False


def say_time(moment: datetime | int) -> str:
    """A moment, or ms since 1970, in the city's time, to the second."""
    if isinstance(moment, int):
        moment = moment_of(moment)
    return moment.astimezone(CITY_TIME).isoformat(timespec="seconds")
