"""Random columns: one value per row of a chunk, as plain lists that databases accept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exchange.demo.city.people import TODAY

STREETS = ("中山路", "北京路", "天河路", "江南大道", "东风路", "环市路", "体育西路", "昌岗路", "沙太路", "黄埔大道")


class Draw:
    """Random values for the rows `first` … `first + size - 1` of a register."""

    def __init__(self, rng: np.random.Generator, first: int, size: int) -> None:
        self.rng = rng
        self.first = first
        self.size = size
        self.row = np.arange(first, first + size)

    def pick(self, symbols: Sequence[str], weights: Sequence[float] | None = None) -> list[str]:
        """For each row, one of the symbols."""
        return at(symbols, self.rng.choice(len(symbols), size=self.size, p=weights))

    def chance(self, probability: float) -> np.ndarray:
        """For each row, True with that probability."""
        return self.rng.random(self.size) < probability

    def whole(self, low: int, high: int) -> np.ndarray:
        """Integers from low to high, both included."""
        return self.rng.integers(low, high + 1, self.size)

    def numbers(self, prefix: str, width: int = 9) -> list[str]:
        """Running numbers, distinct within the register."""
        return [f"{prefix}{n:0{width}d}" for n in self.row.tolist()]

    def codes(self, prefix: str, width: int) -> list[str]:
        """Random digits after a prefix."""
        return [f"{prefix}{n:0{width}d}" for n in self.rng.integers(0, 10**width, self.size).tolist()]

    def address(self) -> list[str]:
        """A street and a number."""
        streets = self.rng.integers(0, len(STREETS), self.size).tolist()
        numbers = self.whole(1, 680).tolist()
        return [f"{STREETS[s]}{n}号" for s, n in zip(streets, numbers, strict=True)]

    def past(self, days: int) -> np.ndarray:
        """Days (datetime64[D]) within the last `days`."""
        return TODAY - self.rng.integers(1, days, self.size)

    def unless(self, absent: np.ndarray, values: Sequence[Any]) -> list[Any]:
        """The values, with None for rows that are `absent`."""
        return [None if no else value for no, value in zip(absent.tolist(), values, strict=True)]


def at(values: Sequence[Any], indexes: np.ndarray) -> list[Any]:
    """`values[i]` for each index."""
    return list(map(values.__getitem__, indexes.tolist()))


def money(amounts: np.ndarray) -> list[float]:
    """Amounts with two decimals, as floats whose shortest form is exact."""
    return [float(amount) for amount in np.round(amounts, 2)]


def days(moments: np.ndarray) -> list[str]:
    """ISO dates."""
    return [str(day) for day in np.datetime_as_string(moments.astype("datetime64[D]"))]


def instants(moments: np.ndarray) -> list[str]:
    """Timestamps in the city's time as SQL writes them: `2025-01-31 08:00:00.000000`."""
    text = np.datetime_as_string(moments.astype("datetime64[us]"))
    text.view("U1").reshape(len(text), -1)[:, 10] = " "
    return [str(instant) for instant in text]
