"""Whole numbers that anyone can compute again from a sealed list and a public seed; docs/quota-draw.md says how."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from exchange.errors import ConfigError

WORD = 2**32


class SeedError(ConfigError):
    """The seed of a draw is not six digits."""

    code = "car-quota-seed"
    remedy = "give the six digits as they were drawn, zeros at the beginning included"


def words(seal: str, seed: str) -> Iterator[int]:
    """32-bit numbers without end: SHA-256 of `<seal>:<seed>:<n>` for n = 0, 1, 2 …, eight big-endian numbers each.

    Raises SeedError if the seed is not six digits.
    """
    if not re.fullmatch(r"[0-9]{6}", seed):
        raise SeedError("the seed of the draw is not six digits")
    return _words(f"{seal}:{seed}:")


def _words(start: str) -> Iterator[int]:
    n = 0
    while True:
        block = hashlib.sha256(f"{start}{n}".encode("ascii")).digest()
        for at in range(0, 32, 4):
            yield int.from_bytes(block[at : at + 4], "big")
        n += 1


def below(limit: int, from_: Iterator[int]) -> int:
    """The next number from 0 to `limit` - 1, each as likely as the others (`limit` is at most 2³²).

    Words from the largest multiple of `limit` up to 2³² are passed over: they would favour small numbers.

    >>> below(10, iter([4294967290, 4294967289]))
    9
    """
    for word in from_:
        if word < WORD - WORD % limit:
            return word % limit
    raise AssertionError("words have no end")
