"""Avro schemas: reads them, checks them against the exchange's limits, encodes and decodes records with them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import fastavro
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException, UnknownType

from exchange.errors import RecordError
from exchange.schema.conform import Check, compile_check
from exchange.schema.resolve import MAX_DEPTH, Resolver, SchemaError
from exchange.schema.types import Field, Type, typed

MAX_SCHEMA_BYTES = 64 * 1024
_read_decimal = LOGICAL_READERS["bytes-decimal"]


class EncodeError(RecordError):
    """A record does not fit its schema; the message names the field, never the value."""

    code = "encode"
    remedy = "correct the row, or map it in transform.py"


class DecodeError(RecordError):
    """The bytes are not exactly one record of the schema."""

    code = "decode"
    remedy = "let the publisher write the subject's schema; what it wrote is in quarantine"


@dataclass(frozen=True, eq=False)
class Schema:
    """A record schema. Two schemas are equal if their JSON is.

    `text` is the compact JSON to register; `definition` the same with every name in full; `names` maps each named
    type to its JSON, `named` to its node; `type` is the whole schema as nodes.
    """

    text: str
    definition: dict[str, Any]
    names: Mapping[str, dict[str, Any]] = field(repr=False)
    type: Type = field(repr=False)
    named: Mapping[str, Type] = field(repr=False)
    parsed: Any = field(repr=False)
    check: Check = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and identity(self.text) == identity(other.text)

    def __hash__(self) -> int:
        return hash(identity(self.text))

    @property
    def name(self) -> str:
        """The record's full name."""
        return self.type.name

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The top-level fields by name, in the schema's order."""
        return {field.name: field for field in self.type.fields}


@lru_cache(maxsize=4096)
def identity(text: str) -> str:
    """A normal form of schema text, equal for texts that differ only in white space and key order."""
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def load(path: Path) -> Schema:
    """The schema in that file; raises SchemaError with the file's name, and the line if the JSON is broken."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}", remedy="check the path and its case") from error
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path}: is not UTF-8", remedy="save the file as UTF-8") from error
    try:
        return parse(text)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error.message}", remedy=error.remedy) from error


def parse(text: str) -> Schema:
    """The record schema in this JSON text; raises SchemaError, which says what is wrong at which place.

    Refused, because kernels and readers rely on it: text of more than 64 KiB, types nested more than 16 deep,
    and types that contain themselves.
    """
    if len(text.encode()) > MAX_SCHEMA_BYTES:
        raise SchemaError(f"the schema has more than {MAX_SCHEMA_BYTES // 1024} KiB", remedy="split the subject")
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise SchemaError(f"line {error.lineno}: is not JSON: {error.msg}", remedy="correct the JSON") from error
    except RecursionError as error:
        raise SchemaError("nested too deep", remedy=f"nest types at most {MAX_DEPTH} deep") from error
    if not isinstance(document, dict) or document.get("type") != "record":
        raise SchemaError("is not a record schema", remedy='the outermost type must be {"type": "record", …}')
    resolver = Resolver()
    definition = resolver.resolve(document)
    try:
        parsed = fastavro.parse_schema(definition, named_schemas={}, _write_hint=False)
    except (SchemaParseException, UnknownType, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SchemaError(f"is not valid Avro: {error}", remedy="see the Avro specification") from error
    compact = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    named: dict[str, Type] = {}
    whole = typed(definition, named)
    return Schema(compact, definition, resolver.names, whole, named, parsed, compile_check(whole))


def encode(schema: Schema, record: Mapping[str, Any]) -> bytes:
    """The record's Avro body; raises EncodeError if any value would have to be changed to fit."""
    problem = schema.check(record)
    if problem:
        raise EncodeError(problem)
    out = io.BytesIO()
    try:
        fastavro.schemaless_writer(out, schema.parsed, record, strict=True)
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        # The library's message can quote the value, so it stays in the cause and out of our message.
        raise EncodeError("the record does not fit its schema") from error
    return out.getvalue()


def decode(schema: Schema, body: bytes | memoryview, reader: Schema | None = None) -> dict[str, Any]:
    """The record in this Avro body; if `reader` is given, as that schema sees it.

    Raises DecodeError if the body is cut short, has bytes left over or does not match the schema, and if a value
    would have to be changed: a decimal with more digits than its type, a time of day before 0:00, a day after 9999.
    """
    source = io.BytesIO(body)
    try:
        record = fastavro.schemaless_reader(source, schema.parsed, reader.parsed if reader else None)
    except Exception as error:  # hostile bytes can make the library raise almost anything
        raise DecodeError("the body is not a record of its schema, or a value is out of range") from error
    if source.tell() != len(body):
        raise DecodeError("bytes are left over after the record")
    return record  # type: ignore[return-value]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise SchemaError(f"key '{key}' is given twice in one object", remedy="remove one of them")
    return dict(pairs)


def _decimal(data: bytes, writer: Any = None, reader: Any = None) -> Any:
    """Read a decimal; raises ValueError if it has more digits than its type (the library would round it)."""
    if abs(int.from_bytes(data, "big", signed=True)) >= 10 ** writer["precision"]:
        raise ValueError
    return _read_decimal(data, writer, reader)


def _not_negative(read: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the reader of a time of day: a negative one raises ValueError (the library would wrap it round midnight)."""

    def convert(data: int, writer: Any = None, reader: Any = None) -> Any:
        if data < 0:
            raise ValueError
        return read(data, writer, reader)

    return convert


# This replaces the library's readers of these logical types, for the whole process.
LOGICAL_READERS |= {"bytes-decimal": _decimal, "fixed-decimal": _decimal}
LOGICAL_READERS |= {name: _not_negative(LOGICAL_READERS[name]) for name in ("int-time-millis", "long-time-micros")}
