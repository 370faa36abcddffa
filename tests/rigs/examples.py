"""Random Avro schemas, records that fit them, and grants' conditions on them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from exchange.contract.conditions import OPERATORS, kind_of
from exchange.contract.masks import faults
from exchange.contract.terms import Condition, Mask, Where
from exchange.schema.avro import Schema, parse
from exchange.schema.types import Field

INT = st.integers(-(1 << 31), (1 << 31) - 1) | st.sampled_from([0, 1, -1, 63, 64, -64, -65])
LONG = st.integers(-(1 << 63), (1 << 63) - 1) | INT
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "a", "ab", "4401", "é漢😀"]
)
BYTES = st.binary(max_size=12)
DAY = st.integers(-719_162, 2_932_896) | st.integers(19_000, 19_010)
MILLIS = st.integers(-62_135_596_800_000, 253_402_300_799_999) | st.integers(1_700_000_000_000, 1_700_000_000_005)
UNSCALED = st.integers(-(10**18), 10**18) | st.integers(-300, 300)


class Maker:
    """Draws types, each with the strategy of its values on their base; names are never used twice."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.made = 0
        self.named: list[tuple[str, st.SearchStrategy[Any]]] = []

    def name(self) -> str:
        self.made += 1
        return f"N{self.made}"

    def type(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        kinds = ["plain", "plain", "logical", "enum", "fixed", "nullable", "nullable"]
        kinds += ["array", "map", "record", "union"] if depth > 0 else []
        kinds += ["again"] if self.named else []
        return getattr(self, "_" + self.draw(st.sampled_from(kinds)))(depth)

    def _plain(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        return self.draw(
            st.sampled_from(
                [
                    ("null", st.none()),
                    ("boolean", st.booleans()),
                    ("int", INT),
                    ("long", LONG),
                    ("float", st.floats(width=32)),
                    ("double", st.floats() | st.sampled_from([0.0, -0.0, 1.5, 2.0**53])),
                    ("bytes", BYTES),
                    ("string", TEXT),
                    ("string", TEXT),
                ]
            )
        )

    def _logical(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        decimal = UNSCALED.map(lambda n: n.to_bytes(n.bit_length() // 8 + 1, "big", signed=True))
        return self.draw(
            st.sampled_from(
                [
                    ({"type": "int", "logicalType": "date"}, DAY),
                    ({"type": "long", "logicalType": "timestamp-millis"}, MILLIS),
                    ({"type": "long", "logicalType": "local-timestamp-micros"}, MILLIS),
                    ({"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}, decimal),
                ]
            )
        )

    def _enum(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        symbols = [f"S{i}" for i in range(self.draw(st.sampled_from([1, 2, 5, 70])))]
        node = {"type": "enum", "name": self.name(), "symbols": symbols}
        self.named.append((node["name"], st.sampled_from(symbols)))
        return node, st.sampled_from(symbols)

    def _fixed(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        size = self.draw(st.integers(1, 9))
        node: dict[str, Any] = {"type": "fixed", "name": self.name(), "size": size}
        if size >= 2 and self.draw(st.booleans()):
            node |= {"logicalType": "decimal", "precision": 4, "scale": 1}
        return node, st.binary(min_size=size, max_size=size)

    def _nullable(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        node, values = self.type(0)
        if node == "null" or isinstance(node, list):
            return node, values
        branches = ["null", node] if self.draw(st.booleans()) else [node, "null"]
        return branches, st.none() | values

    def _union(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        # One type of each Python class, so that a value names its branch.
        return ["null", "string", "long", "boolean"], st.none() | TEXT | LONG | st.booleans()

    def _array(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        node, values = self.type(depth - 1)
        return {"type": "array", "items": node}, st.lists(values, max_size=3)

    def _map(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        node, values = self.type(depth - 1)
        return {"type": "map", "values": node}, st.dictionaries(TEXT, values, max_size=3)

    def _record(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        name = self.name()
        parts = {f"g{i}": self.type(depth - 1) for i in range(self.draw(st.integers(1, 3)))}
        node = {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, (t, _) in parts.items()]}
        values = st.fixed_dictionaries({n: v for n, (_, v) in parts.items()})
        self.named.append((name, values))
        return node, values

    def _again(self, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        return self.draw(st.sampled_from(self.named))


@st.composite
def schemas(draw: st.DrawFn) -> tuple[Schema, st.SearchStrategy[dict[str, Any]]]:
    """A record schema, and the strategy of its records with every value on its base type."""
    maker = Maker(draw)
    parts = {f"f{i}": maker.type(2) for i in range(draw(st.integers(1, 6)))}
    fields = [{"name": name, "type": node} for name, (node, _) in parts.items()]
    schema = parse(json.dumps({"type": "record", "name": "R", "namespace": "t", "fields": fields}))
    return schema, st.fixed_dictionaries({name: values for name, (_, values) in parts.items()})


NUMBER = INT | LONG | st.floats(allow_nan=False) | st.sampled_from([2**53 + 1, 10**400, 1e300])
OPERANDS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "enum": st.sampled_from([*(f"S{i}" for i in range(6)), "S69"]),
    "boolean": st.booleans(),
    "int": NUMBER,
    "long": NUMBER,
    "float": NUMBER | st.floats(width=32, allow_nan=False),
    "double": NUMBER,
    "decimal": st.decimals(-4, 4, places=3).map(str) | st.integers(-(10**16), 10**16) | st.floats(-9, 9),
    "date": st.dates().map(str) | st.sampled_from(["2022-01-08", "2022-01-12"]),
    "timestamp": st.datetimes().map(lambda t: t.isoformat()) | st.sampled_from(["2023-11-14T22:13:20.002+00:00"]),
}


@st.composite
def conditions(draw: st.DrawFn, field: Field) -> Condition:
    """A condition on a field: mostly one that applies, with operands near the field's values."""
    kind = kind_of(field)
    made: dict[str, Any] = {}
    applicable = [*sorted(OPERATORS.get(kind, ())), "is_null"]
    operators = st.sampled_from(applicable) if draw(st.integers(0, 19)) else st.sampled_from(["prefix", "ge", "eq"])
    for op in draw(st.lists(operators, min_size=1, max_size=2, unique=True)):
        value = OPERANDS.get(kind, TEXT)
        if op == "is_null":
            made[op] = draw(st.booleans())
        elif op == "prefix":
            made[op] = draw(TEXT)
        elif op == "in":
            made[op] = draw(st.lists(value | st.none(), min_size=1, max_size=3))
        else:
            made[op] = draw(value | st.none() if op in ("eq", "ne") else value)
    return Condition.model_validate(made)


@st.composite
def groups(draw: st.DrawFn, schema: Schema, word: str, depth: int) -> Any:
    """What stands under `all`, `any` or `not` in a `where`, nested at most so deep."""

    def where() -> Where:
        names = draw(st.lists(st.sampled_from(list(schema.fields)), unique=True, min_size=1, max_size=2))
        made: dict[str, Any] = {name: draw(conditions(schema.fields[name])) for name in names}
        if depth and draw(st.booleans()):
            inner = draw(st.sampled_from(["all", "any", "not"]))
            made[inner] = draw(groups(schema, inner, depth - 1))
        return made

    return where() if word == "not" else tuple(where() for _ in range(draw(st.integers(1, 3))))


def masks_of(field: Field) -> st.SearchStrategy[Mask]:
    """A mask that the field can have."""
    some = [Mask(kind="partial", first=1, last=2), Mask(kind="range", bounds=(-1, 0, 0.5, 1e6))]
    some += [Mask(kind=kind) for kind in ("null", "redact", "partial", "year", "month", "pseudonym")]
    return st.sampled_from([mask for mask in some if not list(faults(mask, field))])
