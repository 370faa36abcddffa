"""Draws the households of a year: how many, how large, and what is planted about each; what is found is not drawn.

Everything is a function of the seed. Each kind below is a trap or its counter-example of the law's text.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from exchange.demo.city.ids import resident_ids

STANDARD = 840_00
"""Fen a month, of the year that is run."""
FAMILY, GIVEN = "王李张刘陈杨黄赵", ("伟", "芳", "敏", "静", "丽", "强", "磊", "军", "洋", "勇")
OTHER_NAMES = {"张": "張", "刘": "劉", "陈": "陳", "杨": "楊", "黄": "黃", "赵": "趙", "王": "汪", "李": "季"}
"""Another way to write the name, which only a person can tell from somebody else's."""


class Group(NamedTuple):
    """So many cases with so many persons, of which `planted` says what kind they are."""

    cases: int
    persons: int
    ineligible: bool
    carried: bool


@dataclass
class Household:
    """A household that applies, and what the departments' tables have about it."""

    case_no: str
    day: date
    kind: str
    ids: list[str]
    names: list[str]
    claimed_fen: int
    """The aid a month that they would get by their own word."""
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    known_as: dict[tuple[str, int], str] = field(default_factory=dict)
    corrected: tuple[str, tuple[Any, ...]] | None = None
    """A row that is right, and replaces the wrong one of its table once they object."""
    objects: str | None = None
    """The item that they contest."""

    def row(self, table: str, person: int, *values: Any) -> None:
        """A row about that person, who is numbered from 1."""
        self.rows.setdefault(table, []).append((self.ids[person - 1], *values))

    def months(self, count: int) -> Iterator[date]:
        """So many months before that of the application."""
        this = self.day.year * 12 + self.day.month - 1
        return (date(n // 12, n % 12 + 1, 1) for n in range(this - count, this))

    def monthly(self, table: str, person: int, fen: int, months: int = 12) -> None:
        for month in self.months(months):
            self.row(table, person, month, fen)

    def dwelling(self, certificate: str, share: int = 1, shares: int = 1, area: int = 60, use: str = "home") -> None:
        """A certificate for the first person; its first letter and number name the dwelling."""
        place = (f"{self.case_no}-{certificate}", f"{self.case_no}-{certificate[:2]}")
        self.rows.setdefault("certificate", []).append((*place, self.ids[0], share, shares, area, use))


Plant = Callable[[Household, random.Random, int], None]


def _sold_car(home: Household, rng: random.Random, size: int) -> None:
    home.row("owned_car", 1, 0, "cancelled")


def _wrong_car(home: Household, rng: random.Random, size: int) -> None:
    """The car is sold, and the register does not say so until they object."""
    home.row("owned_car", 1, 0, "registered")
    home.corrected = ("owned_car", (home.ids[0], 0, "cancelled"))
    home.objects = "cars"


def _adapted(home: Household, rng: random.Random, size: int) -> None:
    home.row("owned_car", 1, 1, "registered")
    home.row("card_holder", 1, "valid")


def _twice(home: Household, rng: random.Random, size: int) -> None:
    home.dwelling("U1a")
    home.dwelling("U1b")


def _third(home: Household, rng: random.Random, size: int) -> None:
    home.dwelling("U1")
    home.dwelling("U2", 1, 3, 90)


def _jobless(home: Household, rng: random.Random, size: int) -> None:
    del home.rows["wage"]
    home.row("yearly_return", 1, home.day.year - 1, 28_800_00)


def _floor(home: Household, rng: random.Random, size: int) -> None:
    for month in home.months(12):
        home.row("insured_base", 1, month, 5500_00, 5500_00)


def _new_job(home: Household, rng: random.Random, size: int) -> None:
    home.rows["wage"] = []
    home.monthly("wage", 1, 3 * STANDARD, 3)
    home.row("employment", 1, next(home.months(3)))


def _veteran(home: Household, rng: random.Random, size: int) -> None:
    home.monthly("pension_month", 1, 900_00)
    home.monthly("service_pension", 1, 900_00)


def _dead(home: Household, rng: random.Random, size: int) -> None:
    """The grandfather does not count; without him it is still too little."""
    home.rows["wage"] = []
    home.monthly("wage", 1, rng.randint(1, (size - 1) * STANDARD - 1))
    _dies(home, size)


def _student(home: Household, rng: random.Random, size: int) -> None:
    home.rows["civil_status"][-1] = (home.ids[-1], "moved_out", "single")
    home.row("student", size, 1)
    home.monthly("school_fee", size, 500_00)


def _income(home: Household, rng: random.Random, size: int) -> None:
    home.rows["wage"] = []
    home.monthly("wage", 1, size * STANDARD + rng.choice([0, 1, rng.randint(2, 3000_00)]))


def _car(home: Household, rng: random.Random, size: int) -> None:
    home.row("owned_car", rng.randint(1, size), 0, "registered")


def _adapted_alone(home: Household, rng: random.Random, size: int) -> None:
    home.row("owned_car", 1, 1, "registered")
    home.row("card_holder", 1, "cancelled")


def _two_homes(home: Household, rng: random.Random, size: int) -> None:
    home.dwelling("U1", area=30 * size)
    home.dwelling("U2", area=rng.randint(0, 50))


def _shop(home: Household, rng: random.Random, size: int) -> None:
    home.dwelling("U1")
    home.dwelling("U2", area=12, use="shop")


def _rich(home: Household, rng: random.Random, size: int) -> None:
    for person in range(1, size + 1):
        home.row(rng.choice(["deposit", "security"]), person, 24 * STANDARD + rng.randint(1, 10**7))


def _dead_with_pension(home: Household, rng: random.Random, size: int) -> None:
    """With the grandfather it is below the standard, without him it is not."""
    home.rows["wage"] = []
    home.monthly("wage", 1, (size - 1) * STANDARD)
    _dies(home, size)
    home.monthly("pension_month", size, 100_00)


def _dies(home: Household, size: int) -> None:
    home.rows["civil_status"][size - 1] = (home.ids[size - 1], "dead", "widowed")


def _divorce(home: Household, rng: random.Random, size: int) -> None:
    home.row("judgment", 1, "divorce")


def _moved_out(home: Household, rng: random.Random, size: int) -> None:
    home.rows["civil_status"][-1] = (home.ids[-1], "moved_out", "single")


def _company(home: Household, rng: random.Random, size: int) -> None:
    home.row("shareholder", rng.randint(1, size), "X")


def _one_rich(home: Household, rng: random.Random, size: int) -> None:
    home.row("deposit", 1, 24 * STANDARD + 1)


def _certified(home: Household, rng: random.Random, size: int) -> None:
    home.row("death_certificate", size)


def _unpaid(home: Household, rng: random.Random, size: int) -> None:
    del home.rows["wage"]
    home.row("fund_payment", 1, next(home.months(2)))


def _plain(home: Household, rng: random.Random, size: int) -> None:
    pass


class Kind(NamedTuple):
    """What is planted, how often among its like, and the fewest persons that it takes."""

    plant: Plant
    weight: int
    least: int = 1


ELIGIBLE = {
    "plain": Kind(_plain, 50),
    "sold car": Kind(_sold_car, 4),
    "wrong car": Kind(_wrong_car, 1),
    "adapted car": Kind(_adapted, 4),
    "two certificates": Kind(_twice, 4),
    "a third of a flat": Kind(_third, 4),
    "jobless": Kind(_jobless, 8),
    "base at the floor": Kind(_floor, 8),
    "new job": Kind(_new_job, 4),
    "veteran": Kind(_veteran, 3),
    "dead": Kind(_dead, 2, 3),
    "student": Kind(_student, 4, 3),
    "divorce": Kind(_divorce, 1, 2),
    "moved out": Kind(_moved_out, 1, 3),
    "company": Kind(_company, 1),
    "one has deposits": Kind(_one_rich, 1, 2),
    "death certified": Kind(_certified, 1, 3),
    "work without wages": Kind(_unpaid, 1),
}
"""Those who are not planted as ineligible; from `divorce` on, a person has to look."""
INELIGIBLE = {
    "income": Kind(_income, 40),
    "car": Kind(_car, 16),
    "adapted car without card": Kind(_adapted_alone, 4),
    "two homes": Kind(_two_homes, 12),
    "flat and shop": Kind(_shop, 6),
    "deposits": Kind(_rich, 12),
    "dead with pension": Kind(_dead_with_pension, 10, 3),
}


def drawn(groups: Sequence[Group], days: dict[bool, list[date]], seed: int, claim_fen: int) -> Iterator[Household]:
    """The households of these groups; `days`: those of cases that are carried over (True) or not, in any order.

    `claim_fen`: the mean of what they claim a month.
    """
    rng, generator = random.Random(seed), np.random.default_rng(seed)
    total = sum(group.persons for group in groups)
    births = np.datetime64("1935-01-01") + generator.integers(0, 365 * 60, total)
    ids = iter(resident_ids(births, generator.integers(0, 2, total), generator))
    plan = [(group, size) for group in groups for size in _sizes(group, rng)]
    rng.shuffle(plan)
    counts = {True: 0, False: 0}
    of_group = {carried: sum(group.cases for group in groups if group.carried is carried) for carried in counts}
    for number, (group, size) in enumerate(plan, 1):
        at = counts[group.carried]
        counts[group.carried] += 1
        day = days[group.carried][at * len(days[group.carried]) // of_group[group.carried]]
        names = [rng.choice(FAMILY) + rng.choice(GIVEN) for _ in range(size)]
        kinds = {name: kind for name, kind in _kinds(group).items() if kind.least <= size}
        [kind] = rng.choices(list(kinds), [each.weight for each in kinds.values()])
        claimed = rng.randint(claim_fen // 2, 3 * claim_fen // 2)
        home = Household(f"H{number:06}", day, kind, [next(ids) for _ in names], names, claimed)
        _plant(home, kinds[kind].plant, rng, size)
        yield home


def _kinds(group: Group) -> dict[str, Kind]:
    return INELIGIBLE if group.ineligible else ELIGIBLE


def _sizes(group: Group, rng: random.Random) -> list[int]:
    """Sizes from 1 to 5 that add up to the persons of the group."""
    assert group.cases <= group.persons <= 5 * group.cases, group
    mean = group.persons / max(group.cases, 1)
    weights = [max(0.05, 2.6 - abs(size - mean)) for size in range(1, 6)]
    sizes = rng.choices(range(1, 6), weights, k=group.cases)
    while excess := sum(sizes) - group.persons:
        at = rng.randrange(len(sizes))
        sizes[at] = min(5, max(1, sizes[at] - (1 if excess > 0 else -1)))
    return sizes


def _plant(home: Household, plant: Plant, rng: random.Random, size: int) -> None:
    for person in range(1, size + 1):
        marriage = "married" if size > 1 and person <= 2 else "single"
        home.row("civil_status", person, "alive", marriage)
        if rng.random() < 0.2:
            home.monthly("treatment", person, rng.randint(1, 300_00), 3)
        if rng.random() < 0.5:
            home.row("deposit", person, rng.randint(1, 5000_00))
    home.monthly("wage", 1, rng.randint(1, size * STANDARD - 1))
    plant(home, rng, size)
    if home.objects is None and home.kind in INELIGIBLE and rng.random() < 0.03:
        home.objects = "homes" if home.kind == "two homes" else "wages"
    if rng.random() < 0.004:
        person = rng.randint(1, size)
        name = home.names[person - 1]
        home.known_as[rng.choice(["tax", "police", "planning"]), person] = OTHER_NAMES[name[0]] + name[1:]
