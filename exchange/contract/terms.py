"""The terms of a grant: conditions on the records that it gives, and masks of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, FiniteFloat, Tag, model_serializer
from typing_extensions import TypeAliasType

from exchange.contract.base import Model

# YAML reads an unquoted day as a date, JSON has none: in a condition both are the ISO text.
_iso = BeforeValidator(lambda value: value.isoformat() if isinstance(value, date) else value)
Scalar = Annotated[str | int | float | bool | None, _iso]
Bound = Annotated[int | float | str | None, _iso]


class Condition(Model):
    """What one field must be; several operators of one condition must all hold. Days are ISO text."""

    eq: Scalar = None
    ne: Scalar = None
    in_: tuple[Scalar, ...] | None = Field(default=None, alias="in", min_length=1)
    prefix: str | None = None
    ge: Bound = None
    gt: Bound = None
    le: Bound = None
    lt: Bound = None
    is_null: bool | None = None

    @model_serializer
    def operators(self) -> dict[str, Any]:
        """The operators that were written, by name, in a fixed order; also the condition's JSON.

        An operator that was not written must stay absent there: `eq: null` asks for null.
        """
        written = [(name, field.alias or name) for name, field in type(self).model_fields.items()]
        return {alias: getattr(self, name) for name, alias in written if name in self.model_fields_set}


def _part(value: Any) -> str:
    """Which part of a `where` this is: a list under `all` or `any`, what is under `not`, or a condition."""
    if isinstance(value, list | tuple):
        return "[list]"
    nested = isinstance(value, Mapping) and any(
        name in GROUPS or isinstance(part, Mapping | Condition) for name, part in value.items()
    )
    return "[where]" if nested else "[condition]"


GROUPS = ("all", "any", "not")
"""Words of a `where` that are not fields: `all` and `any` have a list of wheres, `not` has one."""

Part = Annotated[
    Annotated[Condition, Tag("[condition]")]
    | Annotated[tuple["Where", ...], Tag("[list]")]
    | Annotated["Where", Tag("[where]")],
    Discriminator(_part),
]
Where = TypeAliasType("Where", Mapping[str, Part])
"""All of it must hold: conditions by field, and groups by their word."""

MaskKind = Literal["null", "redact", "partial", "year", "month", "range", "pseudonym"]


class Mask(Model):
    """One field's mask. A null stays null, except that `redact` hides this too.

    null: nothing. redact: `***`. partial: the first and last characters, every other one as `*`; all as
    `*` if the text is not longer than what would be kept. year, month: of a date, `2024` as a number
    and `2024-03` as text. range: the bucket of a number, as `<0`, `0..1000`, `>=1000` (lower bound
    included). pseudonym: 32 hexadecimal digits, the same for one value in all that one reader gets.
    """

    # YAML reads a plain `null` as no value.
    kind: Annotated[
        MaskKind, BeforeValidator(lambda v: "null" if v is None else v, json_schema_input_type=MaskKind | None)
    ]
    first: int = Field(default=0, ge=0, description="Characters that partial keeps at the start.")
    last: int = Field(default=0, ge=0, description="Characters that partial keeps at the end.")
    bounds: tuple[int | FiniteFloat, ...] = Field(default=(), description="Bounds of range's buckets, ascending.")

    def labels(self) -> tuple[str, ...]:
        """The names of range's buckets, from the lowest.

        >>> Mask(kind="range", bounds=(0, 1000, 2500.5)).labels()
        ('<0', '0..1000', '1000..2500.5', '>=2500.5')
        """
        inner = (f"{low}..{high}" for low, high in zip(self.bounds, self.bounds[1:], strict=False))
        return (f"<{self.bounds[0]}", *inner, f">={self.bounds[-1]}")


GrantedMask = Annotated[
    Mask,
    BeforeValidator(
        lambda value: value if isinstance(value, Mapping | Mask) else {"kind": value},
        json_schema_input_type=Mask | MaskKind | None,
    ),
]
"""As people write it: a mask that needs nothing else is its kind alone."""
