"""Rows that a source has read in the order of its cursor, before it is known which of them are new."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from sys import getsizeof
from typing import Any

import numpy as np

from exchange.connect.source import Bad, Deleted, Row
from exchange.connect.window import Moment, instant, row_hash

Key = tuple[Any, Any]
"""A row's (time, id)."""


class Fetched(ABC):
    """Rows in order, as many as fit into memory; `is_last`: no more rows follow."""

    is_last: bool

    @property
    @abstractmethod
    def sizes(self) -> np.ndarray:
        """int64[n]: the bytes of each row."""

    @abstractmethod
    def key(self, index: int) -> Key:
        """The key of a row."""

    @abstractmethod
    def hashes(self) -> np.ndarray:
        """uint64[n]: what `row_hash` gives for the keys."""

    @abstractmethod
    def rows(self, some: np.ndarray) -> Sequence[Row | Deleted | Bad]:
        """These rows (int64 indexes), as a page has them."""


class FetchedRows(Fetched):
    """Rows as tuples; `made` turns one into what a page has."""

    def __init__(self, made: Callable[[Sequence[Any]], Row | Deleted]) -> None:
        self.is_last = False
        self._sizes: list[int] = []
        self._made = made
        self._keys: list[Key] = []
        self._rows: list[Sequence[Any] | Bad] = []

    def add(self, key: Key, row: Sequence[Any] | Bad) -> int:
        """Append a row; return its size."""
        size = 0 if isinstance(row, Bad) else sum(map(_size, row))
        self._keys.append(key)
        self._rows.append(row)
        self._sizes.append(size)
        return size

    def extend(self, other: FetchedRows) -> None:
        """Append rows that follow these."""
        self._keys += other._keys
        self._rows += other._rows
        self._sizes += other._sizes
        self.is_last = other.is_last

    @property
    def values(self) -> Sequence[Any]:
        """The rows' values."""
        return self._rows

    @property
    def sizes(self) -> np.ndarray:
        return np.array(self._sizes, np.int64)

    def key(self, index: int) -> Key:
        return self._keys[index]

    def hashes(self) -> np.ndarray:
        return np.array([row_hash(*key) for key in self._keys], np.uint64)

    def rows(self, some: np.ndarray) -> list[Row | Deleted | Bad]:
        found = (self._rows[index] for index in some.tolist())
        return [row if isinstance(row, Bad) else self._made(row) for row in found]


class Moments(Sequence[Moment]):
    """The times of some rows."""

    def __init__(self, fetched: Fetched, some: np.ndarray) -> None:
        self._fetched, self._some = fetched, some

    def __len__(self) -> int:
        return len(self._some)

    def __getitem__(self, index: Any) -> Any:
        return self._fetched.key(int(self._some[index]))[0]


class Places(Sequence[str]):
    """The places of rows, for the reject file: table, time, and a hash in place of the id."""

    def __init__(self, name: str, moments: Sequence[Moment], hashes: np.ndarray) -> None:
        self._name, self._moments, self._hashes = name, moments, hashes

    def __len__(self) -> int:
        return len(self._moments)

    def __getitem__(self, index: Any) -> Any:
        moment = self._moments[index]
        # Only a value that is a time is free of personal data.
        shown = moment if instant(moment) is not None else "no time"
        return f"{self._name}, {shown}, #{int(self._hashes[index]):016x}"


def _size(value: Any) -> int:
    """Bytes in memory; an estimate for values that contain others."""
    return len(repr(value)) if isinstance(value, list | dict) else getsizeof(value)
