"""Times on the command line: days and times of the city, to be said again the same way."""

from __future__ import annotations

import click
import pytest

from exchange.cli.options import Moment, say_time


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2026-01-31", "2026-01-31T00:00:00+08:00", "2026-02-01T00:00:00+08:00"),
        ("20260131", "2026-01-31T00:00:00+08:00", "2026-02-01T00:00:00+08:00"),
        ("2026-01-31T08:30", "2026-01-31T08:30:00+08:00", "2026-01-31T08:30:00+08:00"),
        ("2026-01-31T00:30:00+00:00", "2026-01-31T08:30:00+08:00", "2026-01-31T08:30:00+08:00"),
    ],
)
def test_a_day_is_its_beginning_or_included(text: str, begin: str, end: str) -> None:
    assert say_time(Moment().convert(text, None, None)) == begin
    assert say_time(Moment(end=True).convert(text, None, None)) == end


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "9999-12-31x", "20260131T99"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        Moment(end=True).convert(text, None, None)
