"""Draws for tests: lists of entrants, and the second program that computes winners from a list and a seed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from exchange.apps.car_quota.lottery import DrawList, Entrant, draw_list
from tests.rigs.programs import program

SECOND_PROGRAM = Path(__file__).parents[2] / "docs" / "winners.mjs"


def listed(entrants: Iterable[Entrant | tuple[str, int]], quotas: int = 1) -> DrawList:
    """The list of these entrants for November 2013."""
    return draw_list(date(2013, 11, 1), "lottery", "persons", quotas, (Entrant(*entrant) for entrant in entrants))


def many(count: int, quotas: int, tiers: int = 3) -> DrawList:
    """A list of so many codes, whose tiers go from 1 to `tiers` in turn."""
    return listed(((f"{n:013}", n % tiers + 1) for n in range(count)), quotas)


def drawn_in_node(content: bytes, seed: str, folder: Path) -> bytes:
    """The result of the published list and the seed, as the second program writes it."""
    node = program("node")
    path = folder / "list.txt"
    path.write_bytes(content)
    return subprocess.run([node, SECOND_PROGRAM, path, seed], check=True, capture_output=True, timeout=60).stdout
