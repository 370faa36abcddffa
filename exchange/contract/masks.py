"""Masks: which fields they apply to, and the type of the masked value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exchange.contract.conditions import NUMBERS, kind_of
from exchange.contract.terms import Mask
from exchange.schema.types import Field

REDACTED = "***"

# The kinds of field that each mask applies to; `null` applies to every field.
_KINDS: Mapping[str, frozenset[str]] = {
    "redact": frozenset(("string",)),
    "partial": frozenset(("string",)),
    "pseudonym": frozenset(("string",)),
    "year": frozenset(("date",)),
    "month": frozenset(("date",)),
    "range": NUMBERS,
}


def faults(mask: Mask, field: Field) -> Iterator[tuple[str, str]]:
    """Each reason why the field cannot have this mask, as (message, remedy)."""
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
    """The Avro type of the masked field; nullable (null first) if the field is, or if the mask gives only null."""
    if mask.kind == "null":
        said = field.definition["type"]
        return said if field.nullable else ["null", *(said if isinstance(said, list) else [said])]
    solid = "int" if mask.kind == "year" else "string"
    return ["null", solid] if field.nullable and mask.kind != "redact" else solid
