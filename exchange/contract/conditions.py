"""Which operators a `where` condition may use on a field, and with what values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

from exchange.contract.terms import Condition
from exchange.document.nearest import nearest
from exchange.schema.types import Field

EQUAL = frozenset(("eq", "ne", "in"))
ORDER = frozenset(("ge", "gt", "le", "lt"))
NUMBERS = frozenset(("int", "long", "float", "double", "decimal"))

# Operators besides is_null, by the kind of the field; a kind that is missing here allows none.
OPERATORS: Mapping[str, frozenset[str]] = {
    "string": EQUAL | ORDER | {"prefix"},
    "enum": EQUAL,
    "boolean": EQUAL,
    **dict.fromkeys((*NUMBERS, "date", "timestamp"), EQUAL | ORDER),
}


def kind_of(field: Field) -> str:
    """The field's kind, as conditions see it: its Avro type, or `decimal`, `date` or `timestamp`."""
    match field.solid.means:
        case "decimal" | "date" as means:
            return means
        case "timestamp-millis" | "timestamp-micros" | "local-timestamp-millis" | "local-timestamp-micros":
            return "timestamp"
    return field.solid.kind


def faults(condition: Condition, field: Field) -> Iterator[tuple[str, str, str]]:
    """Each operator that does not fit the field, as (operator, message, remedy)."""
    kind = kind_of(field)
    allowed = OPERATORS.get(kind, frozenset())
    operators = condition.operators()
    if not operators:
        yield "", "the condition has no operator", "give one, such as `eq: …`, or remove the condition"
    for operator, value in operators.items():
        if operator == "is_null":
            if not field.nullable or value is None:
                yield operator, f"field {field.name} is never null", "remove the condition"
        elif operator not in allowed:
            can = ", ".join(sorted(allowed | ({"is_null"} if field.nullable else set()))) or "nothing"
            yield operator, f"'{operator}' does not apply to field {field.name} ({kind})", f"it can have: {can}"
        else:
            for part in value if operator == "in" else (value,):
                fault = _value_fault(part, kind, field, operator)
                if fault:
                    yield operator, *fault


def _value_fault(value: Any, kind: str, field: Field, operator: str) -> tuple[str, str] | None:
    if value is None:
        null = operator in EQUAL and field.nullable
        return None if null else (f"field {field.name} cannot be compared to null", "give a value, or use `is_null`")
    if kind in ("string", "enum", "date", "timestamp") and not isinstance(value, str):
        return f"field {field.name} is a {kind}, this value is not", "put it in quotes"
    if kind == "enum" and value not in field.solid.symbols:
        return f"field {field.name} is never '{value}'", nearest(value, field.solid.symbols)
    if kind == "boolean" and not isinstance(value, bool):
        return f"field {field.name} is true or false", "write `true` or `false`"
    if kind in ("date", "timestamp") and not _is_time(value, kind):
        form = "2024-12-31" if kind == "date" else "2024-12-31T08:00:00+08:00"
        return f"field {field.name} is a {kind}, this value is not", f"write it as {form}"
    if kind in NUMBERS and not _is_number(value, kind, operator):
        return f"field {field.name} is a number ({kind}), this value is not", "write a number without quotes"
    return None


def _is_time(value: str, kind: str) -> bool:
    try:
        (date if kind == "date" else datetime).fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_number(value: Any, kind: str, operator: str) -> bool:
    if isinstance(value, bool):
        return False
    if kind == "decimal" and isinstance(value, str):
        try:
            return Decimal(value).is_finite()
        except InvalidOperation:
            return False
    if isinstance(value, float) and not isfinite(value):
        return False
    whole = kind in ("int", "long") and operator in EQUAL
    return isinstance(value, int) if whole else isinstance(value, int | float)
