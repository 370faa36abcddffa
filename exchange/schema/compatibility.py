"""Whether records of one schema version can be read with another, and why not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from typing import cast

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from exchange.schema.avro import Schema
from exchange.schema.types import Type


class Level(Enum):
    """Confluent's compatibility levels: which versions must be able to read which."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"


DEFAULT_LEVEL = Level.BACKWARD_TRANSITIVE


def incompatibilities(new: Schema, versions: Sequence[Schema], level: Level) -> list[str]:
    """Why the new schema may not follow these versions (oldest first) at that level; empty if it may."""
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
    """Why `reader` cannot read what `writer` wrote, by Avro's rules and by logical types.

    Avro ignores a logical type that it does not expect, so that a changed decimal scale would silently change
    every amount. Here, every change of what a logical type means is incompatible.
    """
    return [*_plain(_avro(reader.text), _avro(writer.text)), *_logical(reader.type, writer.type, "")]


def _plain(reader: avro.schema.RecordSchema, writer: avro.schema.RecordSchema) -> Iterator[str]:
    """Avro's own verdict, field by field."""
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
        warnings.simplefilter("ignore")  # Avro reads an unknown logical type as its base type
        return cast(avro.schema.RecordSchema, avro.schema.parse(text))


def _logical(reader: Type, writer: Type, path: str) -> Iterator[str]:
    if "union" in (reader.means, writer.means):
        yield from _unions(reader, writer, path)
        return
    was, now = _meaning(writer), _meaning(reader)
    if was != now:
        yield f"{path}: was {was}, becomes {now}"
    elif reader.precision < writer.precision:
        yield f"{path}: decimal precision shrinks from {writer.precision} to {reader.precision}"
    if reader.kind == writer.kind:
        yield from _records(reader, writer, path)
        for new, old in zip(reader.parts, writer.parts, strict=True):
            yield from _logical(new, old, f"{path}/{'items' if reader.means == 'array' else 'values'}")


def _unions(reader: Type, writer: Type, path: str) -> Iterator[str]:
    """Compare the branches that have the same Avro type; the others are left to Avro's own rules."""
    branches = {branch.name or branch.kind: branch for branch in reader.branches}
    for branch in writer.branches:
        if (branch.name or branch.kind) in branches:
            yield from _logical(branches[branch.name or branch.kind], branch, path)


def _records(reader: Type, writer: Type, path: str) -> Iterator[str]:
    written = {field.name: field for field in writer.fields}
    for field in reader.fields:
        names = (field.name, *field.definition.get("aliases", ()))
        old = next((written[name] for name in names if name in written), None)
        if old is not None:
            yield from _logical(field.type, old.type, f"{path}/{field.name}")


def _meaning(of: Type) -> str:
    """The logical type in words, even one that Avro ignores; a decimal with its scale."""
    if of.means == "decimal":
        return f"decimal with scale {of.scale}"
    return (of.means if of.means != of.kind else of.ignored) or "without logical type"
