"""What a field's values may be rounded to: a loss that the contract declares, so that readers and auditors see it."""

from __future__ import annotations

from typing import Any

from exchange.contract.model import Rounding
from exchange.schema.avro import Field

UNITS = ("micros", "millis", "seconds")
"""Of times, from the finest; a date knows `days` only."""


def finest(field: Field) -> Rounding | None:
    """The most exact that the field's type can hold; None where there is nothing to round."""
    if field.logical == "decimal":
        return int(_definition(field).get("scale", 0))
    if field.logical == "date":
        return "days"
    for unit in ("micros", "millis"):
        if field.logical and field.logical.endswith(f"-{unit}"):
            return unit
    return 0 if field.base in ("int", "long") and field.logical is None else None


def fault(field: Field, rounding: Rounding) -> str:
    """Why the field's values cannot be rounded so; empty where they can."""
    best = finest(field)
    if best is None:
        return f"{field.name} is {field.logical or field.base}: there is nothing to round"
    if isinstance(best, int):
        fits = isinstance(rounding, int) and rounding <= best
        return "" if fits else f"{field.name} is rounded to a number of decimals, {best} at most"
    allowed = ("days",) if best == "days" else UNITS[UNITS.index(best) :]
    return "" if rounding in allowed else f"{field.name} is rounded to {' or '.join(allowed)}"


def in_words(rounding: Rounding) -> str:
    """What is lost, for people.

    >>> in_words(2), in_words("millis")
    ('rounded to 2 decimals', 'cut to millis')
    """
    return f"rounded to {rounding} decimals" if isinstance(rounding, int) else f"cut to {rounding}"


def _definition(field: Field) -> dict[str, Any]:
    branches = field.type if isinstance(field.type, list) else [field.type]
    return next((branch for branch in branches if isinstance(branch, dict)), {})
