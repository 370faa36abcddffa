"""What a planted case is: its parties, what departments know of them, and what has to be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

REGION = "4401"
Row = tuple[Any, ...]
Rows = Mapping[str, Sequence[Row]]
"""Table of `own_tables` → rows, each with the number of the party (1, 2, 3 …) as its `party_id`."""


@dataclass(frozen=True)
class PlantedCase:
    """An application whose finding is known before: `story` says why in a few words.

    `outcome` is that of the finding, with `values` that it must have; None if there is none, because an answer is
    missing or nobody may be asked. `corrected` are rows by which a department replaces those of the same table and
    party after an objection to the item `contested`. `known_as` gives other names, by department and party.
    """

    case_no: str
    story: str
    day: date
    names: tuple[str, ...]
    outcome: str | None
    values: Mapping[str, str] = field(default_factory=dict)
    type: str = "household"
    rows: Rows = field(default_factory=dict)
    known_as: Mapping[tuple[str, int], str] = field(default_factory=dict)
    contested: str = ""
    corrected: Rows = field(default_factory=dict)
    is_unit: bool = False
    authorised: bool = True

    def also(self, table: str, *rows: Row) -> PlantedCase:
        """The same, with more rows in that table."""
        return replace(self, rows={**self.rows, table: (*self.rows.get(table, ()), *rows)})

    def monthly(self, table: str, party: int, *values: Any) -> PlantedCase:
        """The same, with such a row for each of the three months before the case's."""
        return self.also(table, *((party, month, *values) for month in months_before(self.day, 3)))


def months_before(day: date, count: int, skip: int = 0) -> list[date]:
    """The first days of `count` months before that of the day, the latest `skip` left out, oldest first."""
    number = day.year * 12 + day.month - 1
    return [date((number - back) // 12, (number - back) % 12 + 1, 1) for back in range(count + skip, skip, -1)]
