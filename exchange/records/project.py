"""Write the fields that a view gives, as bytes, into values of the view's own schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from exchange.errors import ConfigError, RecordError
from exchange.records.locate import Located
from exchange.records.memory import address, move
from exchange.records.reference import on_base
from exchange.schema.avro import Schema, encode, parse
from exchange.schema.wire import pack


class InconvertibleError(ConfigError):
    """The view's field is not the writer's byte for byte: it takes the Avro library to convert it."""

    code = "inconvertible"


@dataclass(frozen=True, eq=False)
class Projection:
    """What to write for each record: `pieces` is int32[m, 3] of (source, from, to).

    Source FIELDS copies the bytes of the writer's fields from ≤ f < to, source CONSTANT the bytes
    constant[from:to]; the first piece is the wire header with the view's schema id.
    """

    pieces: np.ndarray
    constant: np.ndarray

    def sizes(self, located: Located) -> np.ndarray:
        """int64[n]: bytes of each projected value."""
        size = np.empty(len(located.start), np.int64)
        _sizes(located.marks, self.pieces, size)
        return size

    def write(self, located: Located, out: np.ndarray, at: np.ndarray) -> None:
        """Write each projected value to `out` (uint8[]) from its `at`, where `sizes` bytes must be free."""
        _write(located.buf, located.start, located.marks, self.pieces, self.constant, out, at)


FIELDS = 0
CONSTANT = 1


def compile_projection(writer: Schema, view: Schema, view_id: int) -> Projection:
    """The projection from a writer's schema to a view's.

    A field that the writer does not have yet is written with its default. Raises InconvertibleError
    where a field's type differs in more than names and documentation.
    """
    index = {field["name"]: (i, field["type"]) for i, field in enumerate(writer.definition["fields"])}
    constant = pack(view_id, b"")
    pieces = [[CONSTANT, 0, len(constant)]]
    for field in view.definition["fields"]:
        if field["name"] not in index:
            default = _default(view, field)
            pieces.append([CONSTANT, len(constant), len(constant) + len(default)])
            constant += default
            continue
        i, kind = index[field["name"]]
        if _shape(kind, writer) != _shape(field["type"], view):
            raise InconvertibleError(f"the type of field {field['name']} changed")
        if pieces[-1][0] == FIELDS and pieces[-1][2] == i:
            pieces[-1][2] = i + 1
        else:
            pieces.append([FIELDS, i, i + 1])
    return Projection(np.array(pieces, np.int32), np.frombuffer(constant, np.uint8))


def _default(view: Schema, field: dict[str, Any]) -> bytes:
    """The bytes of a field's default."""
    try:
        alone = on_base(parse(json.dumps({**view.definition, "fields": [field]})))
        base, value = alone.fields[field["name"]].base, field["default"]
        text_of_bytes = base in ("bytes", "fixed") and isinstance(value, str)
        return encode(alone, {field["name"]: value.encode("latin-1") if text_of_bytes else value})
    except (ConfigError, RecordError, KeyError) as error:
        raise InconvertibleError(f"field {field['name']} has no default of its own") from error


def _shape(node: Any, schema: Schema) -> Any:
    """What decides a type's bytes and their meaning: equal shapes have equal bytes."""
    if isinstance(node, list):
        return [_shape(branch, schema) for branch in node]
    if isinstance(node, str):
        return _shape(schema.names[node], schema) if node in schema.names else node
    kind = node["type"]
    if kind == "record":
        return {"fields": [[f["name"], _shape(f["type"], schema)] for f in node["fields"]]}
    if kind in ("array", "map"):
        return {kind: _shape(node["items" if kind == "array" else "values"], schema)}
    if kind in ("enum", "fixed"):
        return {kind: node.get("symbols") or node["size"]}
    return kind


@njit(nogil=True, cache=True)
def _sizes(marks, pieces, size):
    for i in range(size.size):
        total = 0
        for p in range(pieces.shape[0]):
            low, high = pieces[p, 1], pieces[p, 2]
            total += marks[i, high] - marks[i, low] if pieces[p, 0] == FIELDS else high - low
        size[i] = total


@njit(nogil=True, cache=True)
def _write(buf, start, marks, pieces, constant, out, at):
    source, fixed, target = address(buf), address(constant), address(out)
    for i in range(start.size):
        to = target + at[i]
        for p in range(pieces.shape[0]):
            low, high = pieces[p, 1], pieces[p, 2]
            if pieces[p, 0] == FIELDS:
                size = marks[i, high] - marks[i, low]
                move(to, source + start[i] + marks[i, low], size)
            else:
                size = high - low
                move(to, fixed + low, size)
            to += size
