"""The numbers of a year: each case is counted where it was, and the parts make the whole."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from exchange.cases.case import step
from exchange.cases.case_row import CaseRow, row_of
from exchange.cases.events import CaseOpened
from exchange.cases.statistics import CaseSumError, What, count
from tests.rigs.case_world import CLERK, NOW, PARTIES

OPENED = CaseOpened(time=NOW, who=CLERK, case_no="C1", type="household", region="4401", day=NOW.date(), parties=PARTIES)
SUMS = {"household": ("spared",)}


def row(accepted: str, completed: str | None = None, closed: str | None = None, **changes: Any) -> CaseRow:
    """A case of two persons that was accepted, completed and closed on these days."""
    day = {"day": date.fromisoformat(accepted)}
    ended = {
        "completed_on": completed and date.fromisoformat(completed),
        "closed_on": closed and date.fromisoformat(closed),
    }
    made = {"outcome": "eligible", "decision": "granted", "numbers": {"spared": "0.00"}} if completed else {}
    return CaseRow(**vars(row_of(step(None, OPENED))) | day | ended | made | changes)


REFUSED: dict[str, Any] = {"persons": 3, "outcome": "ineligible", "decision": "refused"}
ROWS = [
    row("2025-12-30", "2025-12-31"),
    row("2025-12-30", "2026-01-02", "2026-02-01", numbers={"spared": "100.25"}, **REFUSED),
    row("2025-12-30", closed="2026-01-03"),
    row("2026-01-05", "2026-03-01", numbers={"spared": "0.75"}, **REFUSED),
    row("2026-01-05", "2026-03-01", outcome="incomplete", numbers={}),
    row("2026-06-01", "2027-01-01"),
    row("2026-06-01"),
]


def counted(year: int | None) -> dict[str, tuple[int, int]]:
    found = count(ROWS, year, SUMS)
    return {f"{what.what} {what.name}".strip(): (one.cases, one.persons) for what, one in found.items()}


def test_a_year_has_what_came_over_from_the_year_before() -> None:
    assert counted(2026) == {
        "carried over": (2, 5),
        "accepted": (4, 9),
        "completed": (3, 8),
        "found incomplete": (1, 2),
        "found ineligible": (2, 6),
        "decided granted": (1, 2),
        "decided refused": (2, 6),
        "closed undecided": (1, 2),
        "open": (2, 4),
    }


@pytest.mark.parametrize("year", [None, 2024, 2025, 2026, 2027, 2028])
def test_the_parts_of_each_year_make_the_whole(year: int | None) -> None:
    of = {
        **dict.fromkeys(("carried over", "accepted", "completed", "closed undecided", "open"), (0, 0)),
        **counted(year),
    }
    for at in (0, 1):
        came = of["carried over"][at] + of["accepted"][at]
        assert came == of["completed"][at] + of["closed undecided"][at] + of["open"][at]
        for part in ("found", "decided"):
            assert sum(number[at] for name, number in of.items() if name.startswith(f"{part} ")) == of["completed"][at]


def test_the_open_cases_of_a_year_are_carried_over_into_the_next() -> None:
    for year in (2025, 2026, 2027):
        assert counted(year)["open"] == counted(year + 1)["carried over"]


def test_the_values_that_the_type_names_are_added_up_exactly() -> None:
    found = count(ROWS, 2026, SUMS)
    assert str(found[What("household", "found", "ineligible")].sums["spared"]) == "101.00"
    assert str(found[What("household", "completed")].sums["spared"]) == "101.00"
    assert count(ROWS, 2026, {})[What("household", "completed")].sums == {}


@pytest.mark.parametrize("value", ["canary", "NaN", "Infinity", ""])
def test_a_sum_of_what_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(CaseSumError, match="'spared' of the finding of case C1 is no number") as caught:
        count([row("2026-01-01", "2026-01-02", numbers={"spared": value})], None, SUMS)
    assert "canary" not in str(caught.value)
