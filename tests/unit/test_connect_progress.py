"""Progress says what a person who waits wants to know."""

from __future__ import annotations

from exchange.connect.progress import Progress


def test_rows_rate_and_what_is_left() -> None:
    now = 100.0
    progress = Progress(lambda: now)
    assert str(progress) == "0 rows"
    for _ in range(40):
        now += 0.5
        progress.note(500, 0, 40_000)
    assert str(progress) == "20,000 rows, 1,000 a second, 40,000 left for 40 s"
    progress.note(0, 2, 0)
    assert str(progress) == "20,000 rows, 1,000 a second, 2 rejected"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = 0.5
    progress = Progress(lambda: now)
    for rows, seconds in ((100_000, 1.0), (0, 60.0)):
        for _ in range(100):
            now += seconds / 100
            progress.note(rows // 100, 0, None)
    assert (progress.rate, progress.left_s) == (0.0, None)


def test_nothing_is_said_of_what_is_not_known() -> None:
    progress = Progress(lambda: 7.0)
    progress.note(3, 0, None)
    assert str(progress) == "3 rows"
