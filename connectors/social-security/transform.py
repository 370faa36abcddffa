"""How contribution rows become records: the shares of each branch into one list."""

from collections.abc import Mapping
from typing import Any


def contribution(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Gather the flat columns of pension and medical insurance under `insurances`."""
    branches = ("pension", "medical")
    insurances = [
        {"kind": branch, "employee": row[f"{branch}_employee"], "employer": row[f"{branch}_employer"]}
        for branch in branches
    ]
    return {**row, "insurances": insurances}
