"""Applicants of a month: a sample with lives for the engine, and entrants of a draw at any size."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np

from exchange.apps.car_quota.lottery import Entrant
from exchange.demo.city.ids import credit_codes, resident_ids
from exchange.demo.city.own_tables import HOME
from tests.rigs import quota_town
from tests.rigs.quota_lives import rows_of

MOST_TIER = 4


@dataclass
class Sample:
    """Applicants with what the departments have about them; `parties`: case → type, number and name."""

    parties: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))
    known: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, type_: str, party: str, name: str, rows: dict[str, list[tuple[Any, ...]]], known: set[str]) -> None:
        self.parties[f"Q{len(self.parties) + 1:06}"] = (type_, party, name)
        for table, each in rows.items():
            self.rows[table] += [(party, *(_dated(value) for value in row[1:])) for row in each]
        for department in known | {HOME[table] for table, each in rows.items() if each}:
            self.known[department][party] = name


def sample(persons: int, units: int, asked_on: date, seed: int) -> Sample:
    """So many of each; the conditions hold or fail at random."""
    rng, generator = random.Random(seed), np.random.default_rng(seed)
    made = Sample()
    births = np.datetime64("1950-01-01") + generator.integers(0, 365 * 40, persons)
    for party in resident_ids(births, generator.integers(0, 2, persons), generator):
        life, _ = quota_town.life(rng, asked_on)
        made.add("quota", party, "王一", rows_of(life, asked_on), {"police"})
    month = (asked_on.replace(day=1) - timedelta(days=1)).replace(day=1)
    for party in credit_codes(units, first=31**6 - 1 - units):
        rows: dict[str, list[tuple[Any, ...]]] = {
            "organisation": [(party, rng.choice(["valid", "valid", "cancelled"]), int(rng.random() < 0.1))],
            "tax_paid": [(party, month, rng.randint(0, 30_000_00))],
            "large_investment": [(party, month)] * (rng.random() < 0.05),
        }
        made.add("quota-unit", party, "某公司", rows, set())
    return made


def entrants(count: int, seed: int) -> Iterator[Entrant]:
    """So many codes, in no order; most are new, the others have waited: they have a higher tier."""
    generator = np.random.default_rng(seed)
    codes = generator.permutation(count)
    tiers = np.minimum(generator.geometric(0.6, count), MOST_TIER)
    for code, tier in zip(codes.tolist(), tiers.tolist(), strict=True):
        yield Entrant(f"{code:013}", tier)


def _dated(value: Any) -> Any:
    """SQLAlchemy takes days, the rigs write them as text."""
    is_day = isinstance(value, str) and len(value) == 10 and value[4] == "-"
    return date.fromisoformat(value) if is_day else value
