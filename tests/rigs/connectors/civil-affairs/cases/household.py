"""The rules of the example's findings; named by household.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal


def finding_2016(head: Decimal, parameters: Mapping[str, Decimal]) -> str:
    return "eligible" if head < parameters["standard"] else "excluded"


def finding_2020(head: Decimal, parameters: Mapping[str, Decimal]) -> str:
    if head >= parameters["standard"]:
        return "edge" if head <= parameters["standard"] * parameters["edge_factor"] else "excluded"
    return "eligible"
