"""Masks: how a grant gives less of a field than its value, and the type of what it then gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field as Setting

from exchange.contract.conditions import NUMBERS, kind_of
from exchange.contract.model import Model
from exchange.schema.avro import Field

REDACTED = "***"

# What a kind of mask applies to; null applies to every field.
_KINDS: Mapping[str, frozenset[str]] = {
    "redact": frozenset(("string",)),
    "partial": frozenset(("string",)),
    "pseudonym": frozenset(("string",)),
    "year": frozenset(("date",)),
    "month": frozenset(("date",)),
    "range": NUMBERS,
}


class Mask(Model):
    """One field's mask. A null stays null, except that `redact` hides this too.

    null: nothing. redact: `***`. partial: the first and last characters, every other one as `*`; all as
    `*` where the text is not longer than what would be kept. year, month: of a date, `2024` as a number
    and `2024-03` as text. range: the bucket of a number, as `<0`, `0..1000`, `>=1000` (lower bound
    included). pseudonym: 32 hexadecimal digits, the same for one value in all that one reader gets.
    """

    kind: Literal["null", "redact", "partial", "year", "month", "range", "pseudonym"]
    first: int = Setting(default=0, ge=0, description="Characters that partial keeps at the start.")
    last: int = Setting(default=0, ge=0, description="Characters that partial keeps at the end.")
    bounds: tuple[int | float, ...] = Setting(default=(), description="Bounds of range's buckets, ascending.")

    def labels(self) -> tuple[str, ...]:
        """The names of range's buckets, from the lowest.

        >>> Mask(kind="range", bounds=(0, 1000, 2500.5)).labels()
        ('<0', '0..1000', '1000..2500.5', '>=2500.5')
        """
        inner = (f"{low}..{high}" for low, high in zip(self.bounds, self.bounds[1:], strict=False))
        return (f"<{self.bounds[0]}", *inner, f">={self.bounds[-1]}")


def faults(mask: Mask, field: Field) -> Iterator[tuple[str, str]]:
    """Why the field cannot have this mask, as (message, remedy)."""
    allowed = _KINDS.get(mask.kind)
    if allowed is not None and kind_of(field) not in allowed:
        yield f"mask {mask.kind} does not apply to field {field.name} ({kind_of(field)})", "use another, such as `null`"
    if mask.kind != "partial" and (mask.first or mask.last):
        yield f"mask {mask.kind} has no `first` or `last`", "remove them, or use `partial`"
    if mask.kind != "range" and mask.bounds:
        yield f"mask {mask.kind} has no `bounds`", "remove them, or use `range`"
    if mask.kind == "range" and (not mask.bounds or list(mask.bounds) != sorted(set(mask.bounds))):
        yield "the bounds of mask range do not ascend", "give at least one, in ascending order"


def masked_type(mask: Mask, field: Field) -> Any:
    """The Avro type of the field as masked; nullable (null first) where the field is, or only null is given."""
    if mask.kind == "null":
        return field.type if field.nullable else ["null", field.type]
    solid = "int" if mask.kind == "year" else "string"
    return ["null", solid] if field.nullable and mask.kind != "redact" else solid
