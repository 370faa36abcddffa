"""Whether records of one schema version can be read with another, and where not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from typing import Any, cast

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from exchange.schema.avro import Schema
from exchange.schema.resolve import branch_name


class Level(Enum):
    """Confluent's compatibility levels: which versions must be readable with which."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"


DEFAULT_LEVEL = Level.BACKWARD_TRANSITIVE


def incompatibilities(new: Schema, versions: Sequence[Schema], level: Level) -> list[str]:
    """Why the new schema may not follow these versions (oldest first) at that level; empty where it may."""
    if level is Level.NONE:
        return []
    compared = versions if level.value.endswith("_TRANSITIVE") else versions[-1:]
    backward = level.value.startswith(("BACKWARD", "FULL"))
    forward = level.value.startswith(("FORWARD", "FULL"))
    found: dict[str, None] = {}
    for old in compared:
        if backward:
            found |= dict.fromkeys(f"the new schema cannot read old records: {m}" for m in unreadable(new, old))
        if forward:
            found |= dict.fromkeys(f"the old schema cannot read new records: {m}" for m in unreadable(old, new))
    return list(found)


def unreadable(reader: Schema, writer: Schema) -> list[str]:
    """Why `reader` cannot read what `writer` wrote: by Avro's own rules, and by logical types.

    Avro ignores a logical type that it does not expect, so that a changed decimal scale would silently
    change every amount; here each change of a logical type's meaning counts.
    """
    return list(_plain(_avro(reader.text), _avro(writer.text))) + list(
        _logical(reader.definition, writer.definition, _Names(reader, writer), "")
    )


def _plain(reader: avro.schema.RecordSchema, writer: avro.schema.RecordSchema) -> Iterator[str]:
    """Avro's own verdict, told field by field."""
    check = ReaderWriterCompatibilityChecker().get_compatibility
    whole = check(reader, writer)
    if whole.compatibility is SchemaCompatibilityType.compatible:
        return
    told = False
    written = {field.name: field for field in writer.fields}
    for field in reader.fields:
        names = (field.name, *(field.props.get("aliases") or ()))
        old = next((written[name] for name in names if name in written), None)
        if old is None:
            message = "" if field.has_default else "is new and has no default"
        else:
            message = "; ".join(sorted(check(field.type, old.type).messages))
        if message:
            told = True
            yield f"/{field.name}: {message}"
    if not told:
        yield "; ".join(sorted(whole.messages))


@cache
def _avro(text: str) -> avro.schema.RecordSchema:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unknown logical type stands for its base type
        return cast(avro.schema.RecordSchema, avro.schema.parse(text))


class _Names:
    """The named types of both schemas, to look behind a reference."""

    def __init__(self, reader: Schema, writer: Schema) -> None:
        self.reader, self.writer = reader.names, writer.names


def _logical(reader: Any, writer: Any, names: _Names, path: str) -> Iterator[str]:
    reader = names.reader.get(reader, reader) if isinstance(reader, str) else reader
    writer = names.writer.get(writer, writer) if isinstance(writer, str) else writer
    if isinstance(reader, list) or isinstance(writer, list):
        yield from _unions(reader, writer, names, path)
        return
    was, now = _meaning(writer), _meaning(reader)
    if was != now:
        yield f"{path}: was {_text(was)}, becomes {_text(now)}"
    elif was[0] == "decimal" and reader["precision"] < writer["precision"]:
        yield f"{path}: decimal precision shrinks from {writer['precision']} to {reader['precision']}"
    if isinstance(reader, dict) and isinstance(writer, dict) and reader["type"] == writer["type"]:
        if reader["type"] == "record":
            yield from _records(reader, writer, names, path)
        for part in ("items", "values"):
            if part in reader and part in writer:
                yield from _logical(reader[part], writer[part], names, f"{path}/{part}")


def _unions(reader: Any, writer: Any, names: _Names, path: str) -> Iterator[str]:
    """Compare the branches that have the same Avro type; others are for Avro's own rules."""
    branches = {branch_name(b): b for b in (reader if isinstance(reader, list) else [reader])}
    for branch in writer if isinstance(writer, list) else [writer]:
        if branch_name(branch) in branches:
            yield from _logical(branches[branch_name(branch)], branch, names, path)


def _records(reader: Any, writer: Any, names: _Names, path: str) -> Iterator[str]:
    written = {f["name"]: f for f in writer["fields"]}
    for field in reader["fields"]:
        old = next((written[n] for n in (field["name"], *field.get("aliases", ())) if n in written), None)
        if old is not None:
            yield from _logical(field["type"], old["type"], names, f"{path}/{field['name']}")


def _meaning(node: Any) -> tuple[str | None, int]:
    """The logical type and, of a decimal, its scale."""
    logical = node.get("logicalType") if isinstance(node, dict) else None
    return logical, node.get("scale", 0) if logical == "decimal" else 0


def _text(meaning: tuple[str | None, int]) -> str:
    logical, scale = meaning
    return f"decimal with scale {scale}" if logical == "decimal" else logical or "without logical type"
