"""Avro types as frozen nodes, made once per schema; code that walks types matches on what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypedDict

Complex = Literal["decimal", "enum", "fixed", "array", "map", "record", "union"]
Primitive = Literal["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
Timestamp = Literal["timestamp-millis", "timestamp-micros", "local-timestamp-millis", "local-timestamp-micros"]
Logical = Literal["date", "time-millis", "time-micros", "uuid"] | Timestamp

_BASES: Mapping[Logical, Primitive] = {
    "date": "int",
    "time-millis": "int",
    "time-micros": "long",
    "timestamp-millis": "long",
    "timestamp-micros": "long",
    "local-timestamp-millis": "long",
    "local-timestamp-micros": "long",
    "uuid": "string",
}

_Function = Callable[[Any], Any]
PerScalar = TypedDict(
    "PerScalar",
    {
        "null": _Function,
        "boolean": _Function,
        "int": _Function,
        "long": _Function,
        "float": _Function,
        "double": _Function,
        "bytes": _Function,
        "string": _Function,
        "date": _Function,
        "time-millis": _Function,
        "time-micros": _Function,
        "timestamp-millis": _Function,
        "timestamp-micros": _Function,
        "local-timestamp-millis": _Function,
        "local-timestamp-micros": _Function,
        "uuid": _Function,
    },
)
"""What to do with a value of each primitive and logical type; a table that omits one is a type error."""


@dataclass(frozen=True)
class Type:
    """A type: `means` is what its values mean, `kind` the Avro type of their bytes.

    `parts`: the branches of a union, or the one type of the items of an array or map. `name`: of a named type.
    `size`: of a fixed. `ignored`: a logicalType that Avro ignores, because it is unknown or does not fit the type.
    """

    means: Primitive | Logical | Complex
    kind: str
    name: str = ""
    parts: tuple[Type, ...] = ()
    fields: tuple[Field, ...] = ()
    symbols: tuple[str, ...] = ()
    size: int = 0
    precision: int = 0
    scale: int = 0
    ignored: str | None = None

    @property
    def branches(self) -> tuple[Type, ...]:
        """The branches of a union; any other type is its own only branch."""
        return self.parts if self.means == "union" else (self,)


@dataclass(frozen=True)
class Field:
    """A record's field; `definition` is its JSON, including its default and aliases if it has them."""

    name: str
    type: Type
    definition: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def nullable(self) -> bool:
        """Whether the field can be null."""
        return any(branch.means == "null" for branch in self.type.branches)

    @cached_property
    def solid(self) -> Type:
        """The field's type without null; a union of several other types stays as it is."""
        solid = [branch for branch in self.type.branches if branch.means != "null"]
        return self.type if len(solid) > 1 else (solid or self.type.branches)[0]


def typed(node: Any, named: dict[str, Type]) -> Type:
    """The node of a definition that has every name in full; `named` holds the named types defined before it.

    Adds the types that it defines to `named`, so that each is one node wherever it is used.
    """
    if isinstance(node, list):
        return Type("union", "union", parts=tuple(typed(branch, named) for branch in node))
    if isinstance(node, str):
        if node in named:
            return named[node]
        node = {"type": node}
    kind, logical = node["type"], node.get("logicalType")
    details: dict[str, Any] = {"means": kind, "ignored": logical}
    match kind:
        case "record":
            fields = tuple(Field(f["name"], typed(f["type"], named), f) for f in node["fields"])
            details |= {"name": node["name"], "fields": fields}
        case "array" | "map":
            details["parts"] = (typed(node["items" if kind == "array" else "values"], named),)
        case "enum":
            details |= {"name": node["name"], "symbols": tuple(node["symbols"])}
        case "fixed":
            details |= {"name": node["name"], "size": node["size"]}
    if _BASES.get(logical) == kind:
        details |= {"means": logical, "ignored": None}
    elif logical == "decimal" and kind in ("bytes", "fixed"):
        scale = node.get("scale", 0)
        details |= {"means": "decimal", "ignored": None, "precision": node["precision"], "scale": scale}
    made = Type(kind=kind, **details)
    if made.name:
        named[made.name] = made
    return made
