"""Households planted at random: mostly plain, each trap now and then."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

from tests.rigs.household import Planted, months

DAYS = [
    date(2016, 3, 31),
    date(2017, 12, 31),
    date(2018, 1, 1),
    date(2020, 1, 1),
    date(2024, 2, 29),
    date(2026, 11, 2),
]


def household(rng: random.Random) -> Planted:
    return Town(rng).planted


class Town:
    """Makes one household."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        day = rng.choice(DAYS)
        couple = rng.random() < 0.5
        self.planted = Planted(rng.randint(2 if couple else 1, 5), day)
        for person in range(1, self.planted.persons + 1):
            self.person(person, "married" if couple and person < 3 else rng.choice(["single", "divorced", "widowed"]))

    def now_and_then(self, chance: float = 0.02) -> bool:
        return self.rng.random() < chance

    def person(self, n: int, marriage: str) -> None:
        rng, day = self.rng, self.planted.day
        state = rng.choice(["dead", "moved_out"]) if self.now_and_then(0.05) else "alive"
        if not self.now_and_then(0.01):
            self.row("civil_status", n, state, "married" if self.now_and_then(0.01) else marriage)
        earns = rng.choice([0, 0, rng.randint(1, 2000_00), rng.randint(1000_00, 5000_00)])
        for month in months(day, 5):
            if earns and not self.now_and_then(0.1):
                self.row("wage", n, month, earns + rng.randint(0, 300))
            if n % 4 == 3:
                self.pension(n, month, rng.randint(1, 900_00))
            for table in ("treatment", "school_fee"):
                if self.now_and_then(0.1):
                    self.row(table, n, month, rng.randint(1, 3000_00))
            if (earns and self.now_and_then(0.7)) or self.now_and_then(0.01):
                self.row("insured_base", n, month, rng.choice([5500_00, 9000_00]), 5500_00)
            if self.now_and_then(0.01):
                self.row("fund_payment", n, month)
        self.row("yearly_return", n, day.year - 1, rng.randint(0, 90000_00))
        if self.now_and_then(0.2):
            self.row("employment", n, rng.choice([*months(day, 1, before=5), *months(day, 1, before=6)]))
        for unit in ("U1", "U2", f"V{n}"):
            if self.now_and_then(0.12):
                share, size = rng.choice([(1, 1), (1, 2), (1, 3), (2, 3)]), 6 * rng.randint(1, 25)
                use = "home" if unit != "U2" else rng.choice(["home", "shop"])
                for certificate in range(rng.choice([1, 1, 2])):
                    self.row("certificate", f"C{certificate}", unit, n, *share, size, use)
        self.now_and_thens(n)

    def pension(self, n: int, month: str, fen: int) -> None:
        """A pension, which may be one for service."""
        self.row("pension_month", n, month, fen)
        if self.rng.random() < 0.5:
            self.row("service_pension", n, month, fen)

    def now_and_thens(self, n: int) -> None:
        rows = {
            "owned_car": (self.rng.randint(0, 1), self.rng.choice(["registered", "registered", "cancelled"])),
            "card_holder": (self.rng.choice(["valid", "cancelled"]),),
            "deposit": (self.rng.choice([20160_00, 20160_01, 25920_00, 25920_01]),),
            "security": (self.rng.choice([22800_00, 22800_01]),),
            "shareholder": ("X",),
            "death_certificate": (),
            "prisoner": (),
            "judgment": (self.rng.choice(["divorce", "debt"]),),
            "conscript": (),
            "clergy": (self.rng.randint(0, 2),),
            "student": (self.rng.randint(0, 1),),
        }
        for table, row in rows.items():
            if self.now_and_then(0.12 if table in ("student", "card_holder") else 0.02):
                self.row(table, n, *row)

    def row(self, table: str, *row: Any) -> None:
        self.planted = self.planted.also(table, row)
