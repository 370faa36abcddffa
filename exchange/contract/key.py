"""The fields that tell a subject's rows apart."""

from __future__ import annotations

import json
from collections.abc import Sequence

from exchange.contract.model import Grant, Subject
from exchange.schema.avro import Schema, parse
from exchange.schema.types import Field, Type


def fault(field: Field) -> str:
    """Why the field cannot be part of a key; empty if it can.

    One value must always have the same bytes, whoever wrote it: the router tells rows apart by these.
    """
    if field.nullable:
        return f"{field.name} can be null: it does not tell rows apart"
    match field.type.means:
        case "boolean" | "int" | "long" | "string" | "date" | "uuid":
            return ""
        case "time-millis" | "time-micros" | "timestamp-millis" | "timestamp-micros":
            return ""
        case "local-timestamp-millis" | "local-timestamp-micros":
            return ""
        case other:
            return f"{field.name} is of type {other}: equal values can differ in their bytes"


def is_same(one: Type, other: Type) -> bool:
    """Whether values of both types of a key's field have the same bytes.

    >>> is_same(Type("int", "int"), Type("long", "long")), is_same(Type("int", "int"), Type("date", "int"))
    (True, False)
    """
    whole = ("int", "long")
    return one == other or (one.means in whole and other.means in whole)


def name_schema(schema: Schema, key: Sequence[str]) -> Schema:
    """The schema of a row's name: the key's fields, in the key's order, with their types in that schema."""
    fields = [{"name": name, "type": schema.fields[name].definition["type"]} for name in key]
    return parse(json.dumps({"type": "record", "name": "RowName", "fields": fields}))


def hidden(subject: Subject, grant: Grant, everything: Sequence[str]) -> list[str]:
    """The fields of the subject's key that the grant does not give in clear; `everything` is what `all` means."""
    given = grant.named(everything)
    return [name for name in subject.key if name not in given or name in grant.masks]
