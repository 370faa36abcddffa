"""Lives of applicants for a car quota, drawn at random: most conditions hold, each fails now and then."""

from __future__ import annotations

import random
from datetime import date, timedelta

from tests.rigs.quota_lives import ELSEWHERE, HERE, Life

DAY = timedelta(days=1)
ASKED = [
    date(2013, 11, 9),
    date(2016, 2, 29),
    date(2018, 6, 30),
    date(2018, 7, 1),
    date(2020, 2, 29),
    date(2026, 11, 9),
]


def life(rng: random.Random, day: date | None = None) -> tuple[Life, date]:
    """A life, and the day on which the departments are asked about it: that one, or one of those that matter."""
    asked_on = day or rng.choice(ASKED)

    def seldom() -> bool:
        return rng.random() < 0.1

    return Life(
        hukou=rng.random() < 0.3,
        soldier=seldom(),
        permit=rng.random() < 0.6,
        talent=seldom(),
        outsider=seldom(),
        here_last_year=rng.randint(7, 12),
        here_year_before=rng.randint(7, 12),
        identity_until=asked_on + rng.choice([-1, 0, 1, 1000, 1000]) * DAY,
        licence_until=asked_on + rng.choice([-1, 0, 1, 1000, 1000]) * DAY,
        cars=tuple(rng.choice(["in use", "cancelled", "scrapped", "stolen"]) for _ in range(rng.choice([0, 0, 1, 2]))),
        quotas_held=seldom(),
        replacement=seldom(),
        lottery_unused=seldom(),
        insured_months=_months(rng, asked_on),
        insured_times=_times(rng, asked_on),
    ), asked_on


def _months(rng: random.Random, asked_on: date) -> tuple[tuple[str, date], ...]:
    """Around 24 of the 36 months, some too early, too late, elsewhere or twice."""
    this = asked_on.year * 12 + asked_on.month - 1
    back = rng.sample(range(-1, 40), rng.randint(22, 32))
    back += [rng.choice(back)]
    return tuple(
        (ELSEWHERE if rng.random() < 0.05 else HERE, date((this - n) // 12, (this - n) % 12 + 1, 1)) for n in back
    )


def _times(rng: random.Random, asked_on: date) -> tuple[tuple[str, date, date], ...]:
    """Around two years back from that day, in pieces that touch, overlap, or leave a day between them."""
    end, first, found = asked_on + rng.choice([-1, 0, 0, 5]) * DAY, None, []
    goal = asked_on.replace(year=asked_on.year - 2, day=min(asked_on.day, 28)) + rng.randint(-2, 3) * DAY
    while first is None or first > goal:
        first = max(goal, end - rng.randint(100, 500) * DAY)
        found.append((ELSEWHERE if rng.random() < 0.05 else HERE, first, end))
        end = first + rng.choice([-2, -1, -1, -1, -1, 0, 10]) * DAY
    return tuple(found)
