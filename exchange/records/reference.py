"""What a view does, in slow and simple code: decode with the Avro library, decide in Python, encode again.

Property tests hold the kernels equal to this module. It also replaces them when a field of an older writer needs a
conversion that copying bytes cannot do. Logical types are read as their base types, so that a record passes with
exactly the bytes of its fields.

What a condition means (`holds`):

- A null equals only null: `eq` and `in` hold if they name null, `ne` holds if it does not name null, and `prefix`
  and the four orders never hold.
- Text (string, enum symbol, UUID) is ordered by code point. Numbers are compared exactly, even an integer with a
  fraction; NaN equals nothing and has no order. A decimal's operand is the number as the contract writes it: 0.1 is
  one tenth.
- A date's operand is an ISO day. A timestamp's operand is an ISO day or time. If it has no zone, it is in the city's
  time; for local timestamps it is local.
- If an operator does not apply to the field, or the writer's schema does not have the field, the condition cannot be
  evaluated: no record of that schema passes.
- `all`, `any` and `not` combine what holds. So if a condition does not hold because of a null, its `not` holds.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from hashlib import blake2b
from math import isnan
from typing import Any, Literal

from exchange.contract.conditions import NUMBERS, OPERATORS, kind_of
from exchange.contract.masks import REDACTED
from exchange.contract.period import CITY_TIME
from exchange.contract.terms import Condition, Mask, Where
from exchange.errors import ConfigError, RecordError
from exchange.records.hashes import PSEUDONYM, TAG_BYTES
from exchange.schema.avro import Schema, decode, encode, parse
from exchange.schema.resolve import SchemaError
from exchange.schema.types import Field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


class UnevaluableError(ConfigError):
    """A condition cannot be evaluated on a writer's field."""

    code = "unevaluable"
    remedy = "correct the grant's `where` or masks, then run `exchange apply`"


def operand(field: Field, value: Any) -> Any:
    """A condition's value in the field's own unit; raises UnevaluableError if it has none.

    Text stays text and a boolean a bool. A date becomes a Fraction of days, a timestamp a Fraction in the unit of its
    base type, a decimal a Fraction of its unscaled value. Other numbers stay as they are.
    """
    kind = kind_of(field)
    try:
        if kind in ("string", "enum") and isinstance(value, str):
            value.encode()
            return value
        if kind == "boolean" and isinstance(value, bool):
            return value
        if kind == "date" and isinstance(value, str):
            return Fraction(date.fromisoformat(value).toordinal() - _EPOCH.toordinal())
        if kind == "timestamp" and isinstance(value, str):
            return _ticks(field, datetime.fromisoformat(value))
        if kind == "decimal" and type(value) in (int, float, str):
            return Fraction(Decimal(str(value))) * 10**field.solid.scale
        if kind in NUMBERS and type(value) in (int, float) and not (isinstance(value, float) and isnan(value)):
            return value
    except (ValueError, OverflowError, InvalidOperation) as error:
        raise UnevaluableError(f"a value does not compare to field {field.name}") from error
    raise UnevaluableError(f"a value does not compare to field {field.name}")


def _ticks(field: Field, moment: datetime) -> Fraction:
    means = field.solid.means
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC if means.startswith("local-") else CITY_TIME)
    micros = (moment - _EPOCH) // timedelta(microseconds=1)
    return Fraction(micros, 1000 if means.endswith("millis") else 1)


def operands(schema: Schema, name: str, condition: Condition) -> dict[str, Any]:
    """The condition's operators with their operands; nulls stay None. Raises UnevaluableError as `operand` does."""
    if name not in schema.fields:
        raise UnevaluableError(f"{schema.name} has no field {name}")
    field = schema.fields[name]
    kind = kind_of(field)
    made: dict[str, Any] = {}
    for op, value in condition.operators().items():
        if op == "is_null" and isinstance(value, bool):
            made[op] = value
        elif op not in OPERATORS.get(kind, ()) or (value is None and op not in ("eq", "ne")):
            raise UnevaluableError(f"operator {op} does not apply to field {name}")
        elif op == "in":
            made[op] = tuple(None if part is None else operand(field, part) for part in value)
        else:
            made[op] = None if value is None else operand(field, value)
    return made


def holds(name: str, value: Any, wanted: Any) -> bool:
    """Whether an operator holds for a field's value; `wanted` comes from `operands`."""
    if name == "is_null":
        return (value is None) is bool(wanted)
    if name == "eq":
        return bool(value == wanted)
    if name == "ne":
        return bool(value != wanted)
    if name == "in":
        return value in wanted
    if value is None:
        return False
    return value.startswith(wanted) if name == "prefix" else _ORDER[name](value, wanted)


Test = Callable[[Mapping[str, Any]], bool]


def _tests(schema: Schema, where: Where) -> list[Test]:
    return [_test(schema, name, part) for name, part in where.items()]


def _test(schema: Schema, name: str, part: Any) -> Test:
    """The test of one part of a `where`."""
    if isinstance(part, Condition):
        made = operands(schema, name, part)
        return lambda record: all(holds(op, record[name], wanted) for op, wanted in made.items())
    if name == "not" and isinstance(part, Mapping):
        inner = _tests(schema, part)
        return lambda record: not all(test(record) for test in inner)
    if name in ("all", "any") and isinstance(part, tuple):
        groups = [_tests(schema, each) for each in part]
        some = any if name == "any" else all
        return lambda record: some(all(test(record) for test in group) for group in groups)
    raise UnevaluableError(f"'{name}' is not a condition")


def unmet(writer: Schema, where: Where, body: bytes) -> list[str]:
    """The conditions that do not hold for a record, as the contract writes them (`year: {ge: 2024}`); groups by word.

    Raises UnevaluableError and DecodeError as `Reference` does.
    """
    reference = Reference(writer, None, {})
    record = reference.numbers(decode(reference.writer, body))
    found = []
    for name, part in where.items():
        if not isinstance(part, Condition):
            found += [] if _test(writer, name, part)(record) else [name]
            continue
        made, said = operands(writer, name, part), part.operators()
        missed = {op: said[op] for op, wanted in made.items() if not holds(op, record[name], wanted)}
        found += [f"{name}: {{{', '.join(f'{op}: {value}' for op, value in missed.items())}}}"] if missed else []
    return found


class Reference:
    """One view of the records of one writer's schema."""

    def __init__(
        self,
        writer: Schema,
        view: Schema | None,
        where: Where,
        masks: Mapping[str, Mask] | None = None,
        pseudonym_key: bytes = b"",
    ) -> None:
        """Raise UnevaluableError if a condition cannot be evaluated on the writer's fields."""
        self.writer = on_base(writer)
        self.fields = writer.fields
        self.where = _tests(writer, where)
        self.scales = {name: f.solid.scale for name, f in self.fields.items() if kind_of(f) == "decimal"}
        # Avro resolves by name, and a view's record has another name than the writer's.
        self.view = on_base(view, name=writer.name) if view is not None else None
        self.masks = {
            n: m for n, m in (masks or {}).items() if self.view and n in self.view.fields and n in self.fields
        }
        self.unmasked = _without(self.view, self.masks) if self.view is not None else None
        self.pseudonym_key = pseudonym_key

    def keeps(self, body: bytes) -> bool:
        """Whether every condition holds; raises DecodeError if the body is not a record."""
        record = self.numbers(decode(self.writer, body))
        return all(test(record) for test in self.where)

    def project(self, body: bytes) -> bytes:
        """The body as the view gives it; raises a RecordError if the schemas do not resolve."""
        if self.view is None:
            return body
        given = decode(self.writer, body, self.unmasked) if self.unmasked is not None else {}
        if self.masks:
            record = self.numbers(decode(self.writer, body))
            for name, mask in self.masks.items():
                given[name] = mask_value(mask, record[name], self.scales.get(name, 0), self.pseudonym_key)
        return encode(self.view, given)

    def evaluate(self, body: bytes) -> bytes | Literal[False] | None:
        """The delivered body; False if a condition does not hold; None if the body cannot be evaluated."""
        try:
            return self.project(body) if self.keeps(body) else False
        except RecordError:
            return None

    def numbers(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with its decimals as unscaled integers."""
        numbers = {n: int.from_bytes(record[n], "big", signed=True) for n in self.scales if record[n] is not None}
        return {**record, **numbers}


def mask_value(mask: Mask, value: Any, scale: int, pseudonym_key: bytes) -> Any:
    """What the mask makes of a value of the base type; decimals are given as unscaled integers with `scale`."""
    if mask.kind == "redact":
        return REDACTED
    if mask.kind == "null" or value is None:
        return None
    if mask.kind == "partial":
        return _partial(value, mask.first, mask.last)
    if mask.kind == "pseudonym":
        return blake2b(value.encode(), digest_size=TAG_BYTES, key=pseudonym_key, person=PSEUDONYM).hexdigest()
    if mask.kind == "range":
        bounds = [Fraction(Decimal(str(bound))) * 10**scale if scale else bound for bound in mask.bounds]
        return "unknown" if value != value else mask.labels()[sum(value >= bound for bound in bounds)]  # noqa: PLR0124
    day = date.fromordinal(value + _EPOCH.toordinal())
    return day.year if mask.kind == "year" else f"{day.year:04}-{day.month:02}"


def _partial(text: str, first: int, last: int) -> str:
    hidden = len(text) - first - last
    if hidden <= 0:
        return "*" * len(text)
    return text[:first] + "*" * hidden + text[len(text) - last :]


def _without(view: Schema, masks: Mapping[str, Mask]) -> Schema | None:
    fields = [field for field in view.definition["fields"] if field["name"] not in masks]
    try:
        return parse(json.dumps({**view.definition, "fields": fields})) if fields else None
    except SchemaError as error:
        raise UnevaluableError("a type is defined in a masked field only") from error


def on_base(schema: Schema, name: str = "") -> Schema:
    """The schema without its logical types; if `name` is given, under that name."""
    return parse(json.dumps(_strip({**schema.definition, "name": name or schema.name})))


def _strip(node: Any) -> Any:
    if isinstance(node, list):
        return [_strip(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if key != "logicalType"}
    return {key: value if key in ("default", "symbols") else _strip(value) for key, value in kept.items()}
