"""To what a field's values may be rounded. The contract declares this loss, so that readers and auditors see it."""

from __future__ import annotations

from exchange.contract.model import Rounding
from exchange.schema.types import Field

UNITS = ("micros", "millis", "seconds")
"""Units of time, finest first; a date can only be rounded to `days`."""


def finest(field: Field) -> Rounding | None:
    """The finest rounding that the field's type allows; None if there is nothing to round."""
    match field.solid.means:
        case "decimal":
            return field.solid.scale
        case "int" | "long":
            return 0
        case "date":
            return "days"
        case "time-millis" | "timestamp-millis" | "local-timestamp-millis":
            return "millis"
        case "time-micros" | "timestamp-micros" | "local-timestamp-micros":
            return "micros"
        case "null" | "boolean" | "float" | "double" | "bytes" | "string" | "uuid":
            return None
        case "enum" | "fixed" | "array" | "map" | "record" | "union":
            return None


def fault(field: Field, rounding: Rounding) -> str:
    """Why the field's values cannot be rounded in this way; empty if they can."""
    best = finest(field)
    if best is None:
        return f"{field.name} is {field.solid.means}: there is nothing to round"
    if isinstance(best, int):
        fits = isinstance(rounding, int) and rounding <= best
        return "" if fits else f"{field.name} is rounded to a number of decimals, {best} at most"
    allowed = ("days",) if best == "days" else UNITS[UNITS.index(best) :]
    return "" if rounding in allowed else f"{field.name} is rounded to {' or '.join(allowed)}"


def in_words(rounding: Rounding) -> str:
    """The loss in words, for people.

    >>> in_words(2), in_words("millis")
    ('rounded to 2 decimals', 'cut to millis')
    """
    return f"rounded to {rounding} decimals" if isinstance(rounding, int) else f"cut to {rounding}"
