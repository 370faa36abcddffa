"""Resolves an Avro schema: every name in full, every reference known, and all within the exchange's limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from exchange.errors import ConfigError

MAX_DEPTH = 16
PRIMITIVES = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SchemaError(ConfigError):
    """A schema is not Avro, or is beyond the limits that the exchange sets."""

    code = "schema"
    remedy = "correct the schema file"


class Resolver:
    """Resolves one schema; `names` collects its named types by full name."""

    def __init__(self) -> None:
        self.names: dict[str, dict[str, Any]] = {}
        self._around: list[str] = []  # the records that enclose the current node
        self._depth = 0

    def resolve(self, node: Any, namespace: str = "", path: str = "") -> Any:
        """`node` with every name in full; raises SchemaError with the path of a mistake."""
        if self._depth > MAX_DEPTH:
            raise SchemaError(f"{path}: nested too deep", remedy=f"nest types at most {MAX_DEPTH} deep")
        self._depth += 1
        try:
            if isinstance(node, str):
                return self._reference(node, namespace, path)
            if isinstance(node, list):
                return self._union(node, namespace, path)
            if isinstance(node, dict):
                return self._complex(node, namespace, path)
        finally:
            self._depth -= 1
        raise SchemaError(f"{path or 'the schema'}: has no type", remedy='give "type"')

    def _reference(self, name: str, namespace: str, path: str) -> str:
        if name in PRIMITIVES:
            return name
        full = _full(name, namespace)
        if full in self._around:
            raise SchemaError(f"{path}: {full} contains itself", remedy="flatten it: recursive types are not carried")
        if full not in self.names:
            raise SchemaError(f"{path}: type {full} is not defined before its use", remedy="define it, or correct it")
        return full

    def _union(self, branches: list[Any], namespace: str, path: str) -> list[Any]:
        if any(isinstance(branch, list) for branch in branches):
            raise SchemaError(f"{path}: a union in a union", remedy="make it one union")
        resolved = [self.resolve(b, namespace, f"{path}[{i}]") for i, b in enumerate(branches)]
        if not resolved or len({_branch_name(b) for b in resolved}) < len(resolved):
            raise SchemaError(f"{path}: the union is empty or has a type twice", remedy="name each type once")
        return resolved

    def _complex(self, node: dict[str, Any], namespace: str, path: str) -> Any:
        _logical(node, path)
        kind = node.get("type")
        if kind in ("record", "enum", "fixed"):
            return self._named(node, namespace, path)
        if kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            return {**node, part: self.resolve(node.get(part), namespace, f"{path}.{part}")}
        if isinstance(kind, str) and kind in PRIMITIVES:
            return dict(node)
        return self.resolve(kind, namespace, path)

    def _named(self, node: dict[str, Any], namespace: str, path: str) -> dict[str, Any]:
        place = path or "the schema"
        name = node.get("name")
        if not isinstance(name, str):
            raise SchemaError(f"{place}: a {node['type']} has no name", remedy='give "name"')
        full = _full(name, node.get("namespace", namespace))
        if not all(NAME.fullmatch(part) for part in full.split(".")):
            raise SchemaError(f"{place}: name {full} is not an Avro name", remedy="use letters, digits and _")
        if full in self.names:
            raise SchemaError(f"{place}: type {full} is defined twice", remedy="refer to the first by its name")
        resolved = {k: v for k, v in node.items() if k != "namespace"} | {"name": full}
        self.names[full] = resolved
        if node["type"] == "record":
            self._around.append(full)
            resolved["fields"] = list(self._fields(node.get("fields"), full, path))
            self._around.pop()
        elif node["type"] == "enum":
            symbols = node.get("symbols")
            if not isinstance(symbols, list) or not symbols or not all(isinstance(s, str) for s in symbols):
                raise SchemaError(f"{place}: enum {full} has no symbols", remedy='give "symbols"')
        else:
            size = node.get("size")
            if type(size) is not int or size < 1:
                raise SchemaError(f"{place}: fixed {full} has no size", remedy='give "size" in bytes')
        return resolved

    def _fields(self, fields: Any, full: str, path: str) -> Iterator[dict[str, Any]]:
        if not isinstance(fields, list) or not fields:
            raise SchemaError(f"{path or 'the schema'}: record {full} has no list of fields", remedy='give "fields"')
        seen: set[str] = set()
        for i, item in enumerate(fields):
            place = f"{path}.fields[{i}]".lstrip(".")
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise SchemaError(f"{place}: has no Avro name", remedy='give "name" of letters, digits and _')
            if name in seen:
                raise SchemaError(f"{place}: field {name} is given twice", remedy="remove one of them")
            seen.add(name)
            yield {**item, "type": self.resolve(item.get("type"), full.rpartition(".")[0], f"{place}.type")}


def _logical(node: dict[str, Any], path: str) -> None:
    logical = node.get("logicalType")
    if not isinstance(logical, str | None):
        raise SchemaError(f"{path}: the logicalType is not a text", remedy="give the name of one, or take it out")
    if logical != "decimal":
        return
    precision, scale = node.get("precision"), node.get("scale", 0)
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or precision < 1:
        raise SchemaError(
            f"{path}: a decimal needs a precision of at least 1 and a scale from 0 to it", remedy='give "precision"'
        )


def _branch_name(resolved: Any) -> str:
    """What must be unique in a union: the full name of a named type, or else the base type."""
    if isinstance(resolved, str):
        return resolved
    return str(resolved["name"] if "name" in resolved else resolved["type"])


def _full(name: str, namespace: Any) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
