"""Rounds values if contract and connector.yaml both say so; `coerce` then accepts them.

Decimals are rounded half away from zero, as PostgreSQL's `round` does: 2.5 → 3, -2.5 → -3. Times are cut off, that is,
rounded to the past: 08:00:00.9999 → 08:00:00.999, even before 1970. Values of other kinds are left for `coerce` to
reject.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_UP, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from exchange.connect.coerce import Convert
from exchange.connect.text import clock_time, moment, number
from exchange.contract.model import Rounding, Subject
from exchange.contract.rounding import fault, finest
from exchange.errors import ConfigError
from exchange.schema.avro import Schema
from exchange.schema.types import Field

_STEP_US = {"micros": 1, "millis": 1_000, "seconds": 1_000_000}
_EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)
# How `coerce` says that a value has more than its field can hold.
_LOSSES = re.compile(r"finer than a|has more than \d+ decimals|not an exact decimal|datetime where a date is due")


class UndeclaredLossError(ConfigError):
    """A connector would round values although the contract does not say so."""

    code = "undeclared-loss"
    remedy = "have `rounded` put to the subject in topics.yaml and applied"


def declared(rounding: Mapping[str, Rounding], subject: Subject, schema: Schema) -> None:
    """Raise UndeclaredLossError if a field cannot be rounded so, or the contract's `rounded` does not say the same."""
    for name, how in rounding.items():
        if name not in schema.fields:
            raise UndeclaredLossError(f"round: the schema has no field {name}", remedy="correct the field's name")
        if wrong := fault(schema.fields[name], how):
            raise UndeclaredLossError(f"round: {wrong}", remedy=f"correct `round: {{{name}: …}}`")
        if subject.rounded.get(name) != how:
            raise UndeclaredLossError(
                f"round: the contract does not say that {name} of {subject.id} is rounded so",
                remedy=f"have `rounded: {{{name}: {how}}}` put to the subject in topics.yaml and applied",
            )


def proposal(schema: Schema, reasons: list[str]) -> dict[str, Rounding]:
    """The rounding that would let rows pass that were rejected for these reasons; empty if there is none."""
    found: dict[str, Rounding] = {}
    for reason in reasons:
        name, _, why = reason.partition(": ")
        if name in schema.fields and _LOSSES.search(why) and (best := finest(schema.fields[name])) is not None:
            found[name] = best
    return found


def coarser(field: Field, how: Rounding, zone: ZoneInfo) -> Convert:
    """A function that rounds a value before it is converted."""
    if isinstance(how, int):
        return _decimals(how)
    if how == "days":
        return lambda value: _day(value, zone)
    return _time(_STEP_US[how], time if field.solid.means.startswith("time-") else datetime)


def _decimals(digits: int) -> Convert:
    last = Decimal(1).scaleb(-digits)

    def convert(value: Any) -> Any:
        if type(value) is float and math.isfinite(value):
            value = Decimal(repr(value))
        elif type(value) is str and (found := number(value)) is not None:
            value = found
        if type(value) is Decimal and value.is_finite() and int(value.as_tuple().exponent) < -digits:
            return value.quantize(last, ROUND_HALF_UP, _EXACT)
        return value

    return convert


def _time(step_us: int, kind: type[datetime] | type[time]) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is str:
            try:
                value = moment(value) if kind is datetime else clock_time(value)
            except ValueError:
                return value
        if type(value) is kind:
            return value.replace(microsecond=value.microsecond - value.microsecond % step_us)
        return value

    return convert


def _day(value: Any, zone: ZoneInfo) -> Any:
    if type(value) is str:
        try:
            value = moment(value)
        except ValueError:
            return value
    if type(value) is not datetime:
        return value
    try:
        return value.date() if value.tzinfo is None else value.astimezone(UTC).astimezone(zone).date()
    except OverflowError:
        return value
