"""The companies of the city: who leads and works for them, and how well they behave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.demo.city.ids import credit_codes
from exchange.demo.city.people import TODAY, People


@dataclass(frozen=True)
class Companies:
    """One row per company; `employer` gives the company of each worker (indexes of `People.workers`)."""

    codes: list[str]
    leader: np.ndarray
    founded: np.ndarray
    headcount: np.ndarray
    wages: np.ndarray
    active: np.ndarray
    penalties: np.ndarray
    pollutions: np.ndarray
    arrears: np.ndarray
    employer: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


def found(people: People, count: int, rng: np.random.Generator) -> Companies:
    """Draw `count` companies led and staffed by residents; a few large ones employ most."""
    workers = people.workers
    size = rng.pareto(1.2, count) + 0.3
    employer = rng.choice(count, size=len(workers), p=size / size.sum())
    careless = rng.beta(0.6, 5, count)
    return Companies(
        codes=credit_codes(count),
        leader=rng.choice(people.adults, size=count),
        founded=TODAY - rng.integers(200, 9000, count),
        headcount=np.bincount(employer, minlength=count),
        wages=np.bincount(employer, weights=people.wage[workers], minlength=count),
        active=rng.random(count) >= 0.06,
        penalties=rng.poisson(careless * 1.6),
        pollutions=rng.poisson(careless * 0.9),
        arrears=rng.random(count) < careless,
        employer=employer,
    )
