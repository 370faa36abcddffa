"""Plants test cases among the rows: rows that no connector may publish, and canaries in sensitive fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exchange.contract.model import Subject
from exchange.schema.avro import Schema
from exchange.schema.types import Field

CANARY = "CANARY"
CANARY_ROWS = range(3, 1_003, 50)
MISSING_ROWS = (11, 31)
UNKNOWN_ROWS = (13, 33)
BROKEN_LINES = ("not,enough,columns", "neither these")
"""Lines at the end of the first CSV drop that are not rows of the file."""

_NUMBERS = ("int", "long", "double", "decimal", "date", "timestamp-millis")


def canary(subject: str, field: str) -> str:
    """The text that some rows have in this field, and that occurs in no other field."""
    return f"{CANARY}:{subject}:{field}:"


def canary_fields(subject: Subject, schema: Schema) -> list[str]:
    """The sensitive fields that can hold canaries: free text that is nobody's identifier."""
    return [
        name for name in subject.sensitive if schema.fields[name].solid.kind == "string" and not name.endswith("_id")
    ]


def plant(subject: Subject, schema: Schema, columns: dict[str, Any], first: int) -> list[int]:
    """Plant test cases in the chunk that begins at row `first`; return the ids of the rows that are bad now.

    The lists in `columns` are changed in place. A bad row lacks a required value, or has an enum symbol that the schema
    does not know.
    """
    size = len(columns["id"])
    for name in canary_fields(subject, schema):
        for row in CANARY_ROWS:
            if first <= row < first + size:
                columns[name][row - first] = f"{canary(subject.id, name)}{row}"
    bad = []
    fields = list(schema.fields.values())
    required = next(f for f in fields if _solid(f) and f.name != "updated_at")
    enum = next((f for f in fields if f.solid.kind == "enum"), None)
    for rows, field, value in ((MISSING_ROWS, required, None), (UNKNOWN_ROWS, enum, "unheard-of")):
        for row in rows:
            if field is not None and first <= row < first + size:
                columns[field.name][row - first] = value
                bad.append(columns["id"][row - first])
    return bad


def rejected(bad: Sequence[int], *, csv: bool, full: bool) -> int:
    """The number of rows and lines that the connector must reject; of a `full` file with broken lines it says one more.

    That is: nothing is deleted for this file, because any row could be meant.
    """
    return len(bad) + (len(BROKEN_LINES) if csv else 0) + full


def _solid(field: Field) -> bool:
    return not field.nullable and field.solid.means in _NUMBERS
