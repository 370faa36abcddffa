"""The draw: a list that is sealed before the seed is known, and winners that anyone can compute again; pure.

A code of tier 3 is in the draw three times. docs/quota-draw.md describes both files and the algorithm.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

from exchange.apps.car_quota.lottery_seed import WORD, below, words
from exchange.errors import ConfigError, CorruptionError

_CODE = re.compile(r"[0-9A-Z]{1,32}")
_HEADER = re.compile(rb"quota-draw 1 ([0-9]{4}-[0-9]{2}) ([a-z][a-z-]*) ([a-z]+) ([0-9]+)")
_MAX_TIER = 1000


class DrawError(ConfigError):
    """The list of a draw cannot be made or read: codes, tiers or the number of quotas are not as they have to be."""

    code = "car-quota-draw"
    remedy = "each code once, in capital letters and digits, with a tier from 1 to 1000: see docs/quota-draw.md"


class DrawResultError(CorruptionError):
    """A published result does not follow from the sealed list and the seed."""

    code = "car-quota-draw-result"
    remedy = "do not publish or use it: find out who changed the list, the seed or the result, and draw again"


class Entrant(NamedTuple):
    """An applicant's code, and its tier: how many base numbers it has."""

    code: str
    tier: int = 1


@dataclass(frozen=True)
class DrawList:
    """Who takes part in the draw of a month, and for how many quotas; in ascending order of codes."""

    month: date
    kind: str
    applicants: str
    quotas: int
    entrants: tuple[Entrant, ...]

    @cached_property
    def content(self) -> bytes:
        """The file: a line that says what is drawn, then a line for each code; the same for the same draw."""
        header = f"quota-draw 1 {self.month:%Y-%m} {self.kind} {self.applicants} {self.quotas}"
        return "".join(f"{line}\n" for line in [header, *(f"{code} {tier}" for code, tier in self.entrants)]).encode()

    @cached_property
    def seal(self) -> str:
        """SHA-256 of the file, in hexadecimal: published on the eve of the draw, before the seed is known."""
        return hashlib.sha256(self.content).hexdigest()

    def base_numbers(self) -> list[str]:
        """The code that each base number belongs to; number 1 is the first.

        Codes ascending, then those of tier 2 and higher again, then those of tier 3 and higher, and so on.
        """
        numbers: list[str] = []
        for tier in range(1, max((entrant.tier for entrant in self.entrants), default=0) + 1):
            numbers += [entrant.code for entrant in self.entrants if entrant.tier >= tier]
        return numbers


class Winner(NamedTuple):
    """A code that won, and the base number that was drawn for it (from 1)."""

    base_number: int
    code: str


@dataclass(frozen=True)
class DrawResult:
    """The winners, in the order in which they were drawn."""

    seal: str
    seed: str
    winners: tuple[Winner, ...]

    @property
    def content(self) -> bytes:
        """The file: a line with seal and seed, then a line for each winner."""
        lines = [f"quota-draw-result 1 {self.seal} {self.seed}", *(f"{number} {code}" for number, code in self.winners)]
        return "".join(f"{line}\n" for line in lines).encode()


def draw_list(month: date, kind: str, applicants: str, quotas: int, entrants: Iterable[Entrant]) -> DrawList:
    """The list of these entrants, in whatever order they come; DrawError if it cannot be drawn from."""
    made = DrawList(month.replace(day=1), kind, applicants, quotas, tuple(sorted(entrants)))
    if not _HEADER.fullmatch(made.content.partition(b"\n")[0]):
        raise DrawError("what is drawn is not words in small letters and a number of quotas from 0")
    _check(made.entrants)
    return made


def read_draw_list(content: bytes) -> DrawList:
    """The list in a published file; DrawError unless every byte is as `DrawList.content` writes it."""
    lines = content.split(b"\n")
    header = _HEADER.fullmatch(lines[0])
    if header is None:
        raise DrawError("line 1 of the list is not `quota-draw 1 <year-month> <kind> <applicants> <quotas>`")
    entrants = []
    for at, line in enumerate(lines[1:-1], start=2):
        code, _, tier = line.decode("ascii", "replace").partition(" ")
        if not re.fullmatch(r"[1-9][0-9]{0,3}", tier):
            raise DrawError(f"line {at} of the list is not `<code> <tier>`")
        entrants.append(Entrant(code, int(tier)))
    month, kind, applicants, quotas = (group.decode() for group in header.groups())
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError as error:
        raise DrawError("line 1 of the list names no month") from error
    made = draw_list(first, kind, applicants, int(quotas), entrants)
    if made.content != content:
        raise DrawError("the list is not in ascending order of codes, one a line, each line ended")
    return made


def draw(list_: DrawList, seed: str) -> DrawResult:
    """Draw base numbers until every quota has a code, or no code is left; SeedError if the seed is not six digits.

    A base number is drawn once; if its code has won, it counts for nothing. So min(quotas, codes) codes win.
    """
    numbers = list_.base_numbers()
    order = list(range(len(numbers)))
    next_word = words(list_.seal, seed)
    won: dict[str, int] = {}
    wanted = min(list_.quotas, len(list_.entrants))
    for at in range(len(order)):
        if len(won) == wanted:
            break
        drawn = at + below(len(order) - at, next_word)
        order[at], order[drawn] = order[drawn], order[at]
        won.setdefault(numbers[order[at]], order[at] + 1)
    return DrawResult(list_.seal, seed, tuple(Winner(number, code) for code, number in won.items()))


def verify(list_content: bytes, seal: str, result_content: bytes) -> DrawResult:
    """Draw again from the published list, and compare every byte; the seal is that which was published on the eve.

    Raises DrawError if the file is no list, DrawResultError if the list is not the sealed one or the result another.
    """
    list_ = read_draw_list(list_content)
    if list_.seal != seal:
        raise DrawResultError("the list is not the one that was sealed")
    header = re.match(rb"quota-draw-result 1 [0-9a-f]{64} ([0-9]{6})\n", result_content)
    if header is None:
        raise DrawResultError("the result's first line does not have a seal and a seed")
    again = draw(list_, header[1].decode())
    if again.content != result_content:
        raise DrawResultError("the result is not what the sealed list and the seed give")
    return again


def _check(entrants: Sequence[Entrant]) -> None:
    """Refuse codes that other programs could sort, split or count in another way."""
    for at, (code, tier) in enumerate(entrants):
        if not _CODE.fullmatch(code):
            raise DrawError("a code is not 1 to 32 capital letters and digits")
        if not 1 <= tier <= _MAX_TIER:
            raise DrawError(f"code {code} has a tier that is not from 1 to {_MAX_TIER}")
        if at and entrants[at - 1].code == code:
            raise DrawError(f"code {code} is on the list twice")
    if sum(entrant.tier for entrant in entrants) > WORD:
        raise DrawError("the list has more than 2³² base numbers")
