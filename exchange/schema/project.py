"""Makes the schema of a view: some of a record's fields, in the schema's order."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from exchange.schema.avro import Schema, parse
from exchange.schema.resolve import SchemaError


def project(schema: Schema, fields: Collection[str], types: Mapping[str, Any] = MappingProxyType({})) -> Schema:
    """The schema of a view that gives these top-level fields; fields in `types` get another type (they are masked).

    Every view's record is called `<Name>View`, so that a reader can still resolve what it got under an earlier
    grant. Fields keep their order, type, default and doc. If the definition of a named type was in a dropped
    field, it moves to the type's first use. A field with another type loses its default, unless that is null.
    Equal fields give equal text, so that readers share the view. Raises SchemaError if a field is not in the schema.
    """
    missing = sorted(set(fields) - schema.fields.keys())
    if missing:
        raise SchemaError(f"{schema.name} has no field {', '.join(missing)}", remedy="name fields of the schema")
    kept = [f for f in schema.definition["fields"] if f["name"] in fields]
    defined: set[str] = set()
    # The record's own attributes (doc, aliases …) describe the whole record, so the view does not take them.
    view = {
        "type": "record",
        "name": _distinct(schema),
        "doc": f"A view of {schema.name}.",
        "fields": [
            {**f, "type": _define(f["type"], schema.names, defined)} for f in (_retyped(f, types) for f in kept)
        ],
    }
    return parse(json.dumps(view, ensure_ascii=False))


def _retyped(field: Mapping[str, Any], types: Mapping[str, Any]) -> Mapping[str, Any]:
    if field["name"] not in types:
        return field
    other = types[field["name"]]
    fits = field.get("default", "") is None and isinstance(other, list) and other[0] == "null"
    return {k: v for k, v in field.items() if k != "default" or fits} | {"type": other}


def _distinct(schema: Schema) -> str:
    name = f"{schema.name}View"
    while name in schema.names:
        name += "View"
    return name


def _define(node: Any, names: Mapping[str, Mapping[str, Any]], defined: set[str]) -> Any:
    """`node` with each named type defined at its first use, and referred to by name after that."""
    if isinstance(node, list):
        return [_define(branch, names, defined) for branch in node]
    if isinstance(node, str):
        return _define(names[node], names, defined) if node in names and node not in defined else node
    if "name" in node:
        if node["name"] in defined:
            return node["name"]
        defined.add(node["name"])
    return dict(_parts(node, names, defined))


def _parts(
    node: Mapping[str, Any], names: Mapping[str, Mapping[str, Any]], defined: set[str]
) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if key in ("items", "values"):
            yield key, _define(value, names, defined)
        elif key == "fields":
            yield key, [{**f, "type": _define(f["type"], names, defined)} for f in value]
        else:
            yield key, value
