"""Headway says what a person who waits wants to know."""

from __future__ import annotations

from exchange.connect.headway import Headway


def test_rows_rate_and_what_is_left() -> None:
    now = 100.0
    headway = Headway(lambda: now)
    assert str(headway) == "0 rows"
    for _ in range(40):
        now += 0.5
        headway.note(500, 0, 40_000)
    assert str(headway) == "20,000 rows, 1,000 a second, 40,000 left for 40 s"
    headway.note(0, 2, 0)
    assert str(headway) == "20,000 rows, 1,000 a second, 2 rejected"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = 0.5
    headway = Headway(lambda: now)
    for rows, seconds in ((100_000, 1.0), (0, 60.0)):
        for _ in range(100):
            now += seconds / 100
            headway.note(rows // 100, 0, None)
    assert (headway.rate, headway.left_s) == (0.0, None)


def test_nothing_is_said_of_what_is_not_known() -> None:
    headway = Headway(lambda: 7.0)
    headway.note(3, 0, None)
    assert str(headway) == "3 rows"
