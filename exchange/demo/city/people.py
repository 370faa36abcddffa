"""The residents of the city: households, ages, work and wages, drawn once for all registers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.demo.city.ids import DISTRICTS, OUTSIDE, resident_ids

TODAY = np.datetime64("2025-06-30")
"""The city's present: everything was written on or before this day."""

RELATIONS = ("head", "spouse", "child", "child", "parent", "other")
PLACES = DISTRICTS + OUTSIDE
_HEAD, _SPOUSE, _CHILD, _PARENT = 0, 1, 2, 4


@dataclass(frozen=True)
class People:
    """One row per resident; `place` indexes `PLACES`, `household` counts from 0, `wage` is CNY per year (0: none)."""

    ids: list[str]
    birth: np.ndarray
    age: np.ndarray
    male: np.ndarray
    household: np.ndarray
    role: np.ndarray
    place: np.ndarray
    wage: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def adults(self) -> np.ndarray:
        """Indexes of residents of full age."""
        return np.flatnonzero(self.age >= 18)

    @property
    def workers(self) -> np.ndarray:
        """Indexes of residents with a wage."""
        return np.flatnonzero(self.wage > 0)

    @property
    def retired(self) -> np.ndarray:
        """Indexes of residents of pension age without a wage."""
        return np.flatnonzero((self.age >= 60) & (self.wage == 0))


def settle(count: int, rng: np.random.Generator) -> People:
    """Draw `count` residents, in households whose ages, places and wages are consistent."""
    sizes = rng.choice(np.arange(1, 7), size=count, p=[0.22, 0.27, 0.27, 0.14, 0.08, 0.02])
    household = np.repeat(np.arange(count), sizes)[:count]
    first = np.r_[0, np.cumsum(sizes)[:-1]]
    role = np.arange(count) - first[household]

    head_age = np.clip(rng.normal(46, 14, count), 22, 88)[household]
    gap = rng.integers(22, 36, count)
    age = head_age.copy()
    age = np.where(role == _SPOUSE, np.clip(head_age + rng.normal(0, 3, count), 20, 90), age)
    age = np.where((role >= _CHILD) & (role < _PARENT), np.maximum(head_age - gap, 0.1), age)
    age = np.where(role == _PARENT, np.minimum(head_age + gap, 99), age)
    head_male = rng.random(count) < 0.7
    male = np.where(role == _HEAD, head_male[household], rng.random(count) < 0.5)
    male = np.where(role == _SPOUSE, ~head_male[household], male)
    birth = TODAY - (age * 365.25).astype(int) - rng.integers(0, 300, count)
    age = (TODAY - birth).astype(int) // 365

    weights = np.r_[np.full(len(DISTRICTS), 0.95 / len(DISTRICTS)), np.full(len(OUTSIDE), 0.05 / len(OUTSIDE))]
    place = rng.choice(len(PLACES), size=count, p=weights)[household]

    # Wages within one household resemble each other: each has a shared part and a part of its own.
    works = (age >= 20) & (age < 62) & (rng.random(count) < 0.8)
    shared = rng.normal(0, 0.45, count)[household]
    wage = np.exp(11.3 + shared + rng.normal(0, 0.35, count)).round(2)
    return People(
        ids=resident_ids(birth, male, rng),
        birth=birth,
        age=age,
        male=male,
        household=household,
        role=role,
        place=place,
        wage=np.where(works, wage, 0.0),
    )
