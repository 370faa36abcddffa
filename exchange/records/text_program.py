"""Compiles columns of texts and a schema to opcodes that write the texts as Avro, see `text_to_avro`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from exchange.contract.model import Rounding
from exchange.records.values import Values
from exchange.schema.avro import Schema
from exchange.schema.types import Field, Type

Kind = Literal[
    "boolean",
    "whole",
    "decimal",
    "single",
    "double",
    "text",
    "uuid",
    "date",
    "time",
    "moment",
    "instant",
    "hex",
    "null",
]
"""What the texts of a column say, in PostgreSQL's form; an `instant` is in UTC, a `moment` has no zone.

If it is `null`, there is no text.
"""

# A word of a field's code: the opcode, the column, the byte of the null branch and of the value's branch (-1: none),
# four operands, of which form the texts have to be, and whether the text that stands for null is one here.
WORDS = 10
CONSTANT = 0  # number of the constant
BOOLEAN = 1  # the byte that means true, the byte that means false
WHOLE = 2  # bits
DECIMAL = 3  # scale, precision, bytes (0: as many as it takes), decimals to round to
REAL = 4  # bytes, most significant digits (0: any)
TEXT = 5
UUID = 6
SYMBOL = 7  # number of the first symbol among the constants, symbols
DATE = 8
DAY = 9  # whether any time of the day is good
TIME = 10  # units per second, microseconds to cut off to, microseconds of a unit
INSTANT = 11  # as TIME; what the zone is: 0 none, 1 that of the program, 2 written as +00
HEX = 12  # bytes (-1: any)
TRUTH = 13
# Forms: as PostgreSQL writes them; a number as people write it; one that is whole, in the only way to write it.
OWN, NUMBER, WHOLE_NUMBER = 0, 1, 2

_UNITS_US = {"millis": 1000, "micros": 1}
_CUT_US = {"micros": 1, "millis": 1_000, "seconds": 1_000_000}
_EXACT_DIGITS = 15  # decimal digits that every double keeps (IEEE 754)
# What text has to be where a field is no text, and in which form.
_TEXT_FORMS: Mapping[str, tuple[Kind, int]] = {
    "int": ("whole", WHOLE_NUMBER),
    "long": ("whole", WHOLE_NUMBER),
    "decimal": ("decimal", NUMBER),
    "double": ("decimal", NUMBER),
    "time-millis": ("time", OWN),
    "time-micros": ("time", OWN),
    "timestamp-millis": ("moment", OWN),
    "timestamp-micros": ("moment", OWN),
    "local-timestamp-millis": ("moment", OWN),
    "local-timestamp-micros": ("moment", OWN),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_FIRST, _LAST = _EPOCH.replace(year=1900), _EPOCH.replace(year=2150)  # outside, a zone's offsets are not looked up


@dataclass(frozen=True, eq=False)
class TextProgram:
    """How to write rows: `code` is int64[fields, WORDS]; `breaks` and `offsets` are a zone's, in seconds.

    `null` is the text that stands for null, where a column of text fills a nullable field; None if there is none.
    """

    code: np.ndarray
    constants: Values
    breaks: np.ndarray
    offsets: np.ndarray
    null: bytes | None


def compile_text(
    schema: Schema,
    columns: Mapping[str, tuple[int, Kind | None]],
    constants: Mapping[str, bytes],
    zone: ZoneInfo,
    rounding: Mapping[str, Rounding],
    null: str | None = None,
) -> TextProgram | None:
    """The program for a schema whose fields have these columns (number and kind) or constants (as Avro).

    None if it takes more than the opcodes can do. `moment`s are in the zone where the field is an instant.
    """
    made = _Compiler(zone, has_null_text=null is not None)
    for name, field in schema.fields.items():
        if name in constants:
            made.constants.append(constants[name])
            made.code.append([CONSTANT, -1, -1, -1, len(made.constants) - 1, 0, 0, 0, OWN, 0])
            continue
        number, kind = columns[name]
        if kind is None or not made.field(field, number, kind, rounding.get(name)):
            return None
    breaks, offsets = zone_offsets(zone) if made.needs_zone else (np.zeros(1, np.int64), np.zeros(1, np.int64))
    empty = None if null is None else null.encode("utf-8", "surrogatepass")
    return TextProgram(np.array(made.code, np.int64), Values.of(made.constants), breaks, offsets, empty)


class _Compiler:
    def __init__(self, zone: ZoneInfo, *, has_null_text: bool) -> None:
        self.code: list[list[int]] = []
        self.constants: list[bytes] = []
        self.needs_zone = False
        self._has_null_text = has_null_text
        self._is_utc = zone.key == "UTC"

    def field(self, field: Field, column: int, kind: Kind, how: Rounding | None) -> bool:
        """Add a field's code; whether there is one."""
        branches = field.type.branches
        others = [number for number, branch in enumerate(branches) if branch.means != "null"]
        if len(others) != 1 or len(branches) > 2:
            return False
        solid, form = branches[others[0]], OWN
        may_be_null = self._has_null_text and len(branches) == 2 and kind == "text"
        if kind == "text" and solid.means in _TEXT_FORMS:
            kind, form = _TEXT_FORMS[solid.means]
        operands = self._operands(solid, kind, how)
        if operands is None:
            return False
        is_union = field.type.means == "union"
        null = 2 * (1 - others[0]) if len(branches) == 2 else -1
        head = 2 * others[0] if is_union else -1
        self.code.append(
            [operands[0], column, null, head, *operands[1:], *[0] * (5 - len(operands)), form, may_be_null]
        )
        return True

    def _operands(self, of: Type, kind: Kind, how: Rounding | None) -> tuple[int, ...] | None:  # noqa: PLR0912
        match of.means, kind:
            case "decimal", "whole" | "decimal":
                digits = of.scale if how is None else how
                if isinstance(digits, int) and 0 <= digits <= of.scale:
                    return DECIMAL, of.scale, of.precision, of.size, digits if how is not None else -1
            case "decimal", "double" if (
                how is None
            ):  # whose digits mean something only as far as every double keeps them
                return DECIMAL, of.scale, min(of.precision, _EXACT_DIGITS), of.size, -1
            case "date", "moment" if how in (None, "days"):
                return DAY, how == "days"
            case ("time-millis" | "time-micros") as means, "time":
                return TIME, *_units(means, how)
            case ("timestamp-millis" | "timestamp-micros") as means, "instant":
                return INSTANT, *_units(means, how), 2
            case ("timestamp-millis" | "timestamp-micros") as means, "moment":
                self.needs_zone |= not self._is_utc
                return INSTANT, *_units(means, how), 0 if self._is_utc else 1
            case ("local-timestamp-millis" | "local-timestamp-micros") as means, "moment":
                return INSTANT, *_units(means, how), 0
            case "date", "date":
                return (DATE,)
            case "date", "text" if how in (None, "days"):  # a time with its day is left to the slow path
                return (DATE,)
            case "int" | "long" as means, "whole":
                return WHOLE, 32 if means == "int" else 64
            case _, "null":
                return (TEXT,)
            case _ if how is not None:
                return None
            case "int" | "long" as means, "decimal":
                return WHOLE, 32 if means == "int" else 64
            case "boolean", "boolean":
                return BOOLEAN, ord("t"), ord("f")
            case "boolean", "text":
                return (TRUTH,)
            case "boolean", "whole":
                return BOOLEAN, ord("1"), ord("0")
            case "float", "single":
                return REAL, 4, 0
            case "double", "single" | "double":
                return REAL, 8, 0
            case "double", "whole" | "decimal":
                return REAL, 8, _EXACT_DIGITS
            case "string", "text" | "uuid":
                return (TEXT,)
            case "uuid", "text" | "uuid":
                return (UUID,)
            case "enum", "text":
                first = len(self.constants)
                self.constants += [symbol.encode() for symbol in of.symbols]
                return SYMBOL, first, len(of.symbols)
            case "bytes", "hex":
                return HEX, -1
            case "fixed", "hex":
                return HEX, of.size
        return None


def _units(means: str, how: Rounding | None) -> tuple[int, int]:
    """Microseconds of a unit of the field, and to how many of them a value is cut off first."""
    return _UNITS_US[means.rpartition("-")[2]], _CUT_US[str(how)] if how is not None else 1


@lru_cache
def zone_offsets(zone: ZoneInfo) -> tuple[np.ndarray, np.ndarray]:
    """From which local times on (seconds since 1970) which offset from UTC holds (seconds), for 1900 to 2149.

    Both are int64[n]; after the last break, nothing is known. A local time that occurs twice is the first one, as
    `datetime` has it.
    """
    day = timedelta(days=1)
    breaks, offsets = [_seconds(_FIRST)], [_offset(zone, _FIRST)]
    at = _FIRST
    while at < _LAST:
        if _offset(zone, at + day) != offsets[-1]:
            low, high = at, at + day
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
                low, high = (low, middle) if _offset(zone, middle) != offsets[-1] else (middle, high)
            breaks.append(_seconds(high))
            offsets.append(_offset(zone, high))
        at += day
    return np.array([*breaks, _seconds(_LAST)], np.int64), np.array([*offsets, 0], np.int64)


def _seconds(local: datetime) -> int:
    return int((local - _EPOCH).total_seconds())


def _offset(zone: ZoneInfo, local: datetime) -> int:
    utc = local.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
    return int((local - utc).total_seconds())
