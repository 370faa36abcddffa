"""The values of one field of many records, as a column that a condition can compare."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Any, Protocol

import numpy as np
from numba import njit

from exchange.contract.conditions import kind_of
from exchange.records.check import read_long
from exchange.records.locate import Located
from exchange.records.memory import address, byte
from exchange.records.reference import holds
from exchange.records.values import Values
from exchange.schema.avro import Schema

_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1


class Column(Protocol):
    """The values of one field. Results for null rows are undefined; callers mask them."""

    def test(self, op: str, wanted: Any) -> np.ndarray:
        """bool[n]: whether `op` (never `ne`, `in` or `is_null`) holds between each value and the wanted one."""


@dataclass(frozen=True)
class Reader:
    """How to read one field: `size` is -1 if the bytes say it, `null_branch` is -1 if the field is never null."""

    index: int
    kind: str
    size: int
    symbols: tuple[str, ...]
    is_union: bool
    null_branch: int

    def places(self, located: Located) -> np.ndarray:
        """int64[n]: where each value begins in the buffer; -1 for null."""
        at = np.empty(len(located.start), np.int64)
        _solid(located.buf, located.start, located.marks, self.index, self.is_union, self.null_branch, at)
        return at

    def column(self, buf: np.ndarray, at: np.ndarray) -> Column:
        """The values that begin at these places; only for kinds that a condition can compare."""
        if self.kind in ("string", "decimal"):
            strings = Values(buf, np.empty_like(at), np.empty_like(at))
            _spans(buf, at, self.size, strings.start, strings.length)
            return Texts(strings) if self.kind == "string" else Decimals(strings)
        if self.kind in ("float", "double", "boolean"):
            words = np.empty(len(at), np.uint64)
            _words(buf, at, self.size, words)
            if self.kind == "boolean":
                return Symbols(words.astype(np.int64), (False, True))
            return Reals(words.astype(np.uint32).view(np.float32) if self.size == 4 else words.view(np.float64))
        values = np.empty_like(at)
        _longs(buf, at, values)
        return Symbols(values, self.symbols) if self.kind == "enum" else Integers(values)


def compile_reader(schema: Schema, name: str) -> Reader:
    """The reader for a top-level field."""
    field, solid = schema.fields[name], schema.fields[name].solid
    null_branch = next((i for i, branch in enumerate(field.type.branches) if branch.means == "null"), -1)
    size = {"boolean": 1, "float": 4, "double": 8, "fixed": solid.size}.get(solid.kind, -1)
    index = list(schema.fields).index(name)
    return Reader(index, kind_of(field), size, solid.symbols, field.type.means == "union", null_branch)


class Ordered:
    """Integers of any size, compared by their order relative to a threshold."""

    def order(self, threshold: int) -> np.ndarray:
        """int8[n]: -1, 0 or 1 if the value is below, at or above the threshold."""
        raise NotImplementedError

    def test(self, op: str, wanted: Any) -> np.ndarray:
        """As `Column.test`; `wanted` may be any real number: no integer equals one between two integers."""
        if wanted in (inf, -inf):
            sign = self.order(0) * 0 - (1 if wanted > 0 else -1)
            return _compare(op, sign)
        if op in ("ge", "lt"):
            return _compare(op, self.order(ceil(wanted)))
        order = self.order(floor(wanted))
        return _compare(op, order) if op != "eq" or floor(wanted) == wanted else np.zeros(len(order), np.bool_)


@dataclass(frozen=True)
class Integers(Ordered):
    """Values of int, long, date and timestamp fields."""

    values: np.ndarray

    def order(self, threshold: int) -> np.ndarray:
        if not _LONG_MIN <= threshold <= _LONG_MAX:
            return np.full(len(self.values), -1 if threshold > 0 else 1, np.int8)
        return (self.values > threshold).astype(np.int8) - (self.values < threshold)


@dataclass(frozen=True)
class Decimals(Ordered):
    """Big-endian two's complement numbers of any length."""

    strings: Values

    def order(self, threshold: int) -> np.ndarray:
        digits = threshold.to_bytes(
            (threshold if threshold >= 0 else ~threshold).bit_length() // 8 + 1, "big", signed=True
        )
        order = np.empty(self.strings.rows, np.int8)
        _order_decimals(*self.strings, np.frombuffer(digits, np.uint8), order)
        return order


@dataclass(frozen=True)
class Reals:
    """Values of float and double fields."""

    values: np.ndarray

    def test(self, op: str, wanted: Any) -> np.ndarray:
        values = self.values.astype(np.float64)
        try:
            nearest = float(wanted)
        except OverflowError:
            nearest = inf if wanted > 0 else -inf
        if nearest == wanted:
            held: dict[str, np.ndarray] = {
                "eq": values == nearest,
                "ge": values >= nearest,
                "gt": values > nearest,
                "le": values <= nearest,
                "lt": values < nearest,
            }
            return held[op]
        # No double lies between `wanted` and `nearest`.
        if op == "eq":
            return np.zeros(len(values), np.bool_)
        if op in ("ge", "gt"):
            return values > nearest if nearest < wanted else values >= nearest
        return values <= nearest if nearest < wanted else values < nearest


@dataclass(frozen=True)
class Texts:
    """Strings, ordered by their UTF-8 bytes, which is the order of code points."""

    strings: Values

    def test(self, op: str, wanted: Any) -> np.ndarray:
        text = np.frombuffer(wanted.encode(), np.uint8)
        order = np.empty(self.strings.rows, np.int8)
        buf, start, size = self.strings
        _order_texts(buf, start, np.minimum(size, len(text)) if op == "prefix" else size, text, order)
        return _compare("eq" if op == "prefix" else op, order)


@dataclass(frozen=True)
class Symbols:
    """Values of a small set, by their index in it."""

    index: np.ndarray
    symbols: tuple[Any, ...]

    def test(self, op: str, wanted: Any) -> np.ndarray:
        table = np.array([holds(op, symbol, wanted) for symbol in self.symbols], np.bool_)
        return np.take(table, self.index)


def _compare(op: str, order: np.ndarray) -> np.ndarray:
    """Whether `op` holds for values that are below (-1), at (0) or above (1) the wanted one."""
    held: dict[str, np.ndarray] = {
        "eq": order == 0, "ge": order >= 0, "gt": order > 0, "le": order <= 0, "lt": order < 0
    }  # fmt: skip
    return held[op]


@njit(nogil=True, cache=True)
def _solid(buf, start, marks, field, is_union, null_branch, at):
    """Set `at` to where the field's value begins, after the branch of a union; -1 for null."""
    base = address(buf)
    for i in range(start.size):
        place = base + start[i] + marks[i, field]
        branch = null_branch
        if is_union:
            branch, place = read_long(place, base + start[i] + marks[i, field + 1])
        at[i] = -1 if null_branch >= 0 and branch == null_branch else place - base


@njit(nogil=True, cache=True)
def _longs(buf, at, values):
    base = address(buf)
    for i in range(at.size):
        values[i] = read_long(base + at[i], base + at[i] + 10)[0] if at[i] >= 0 else 0


@njit(nogil=True, cache=True)
def _words(buf, at, size, words):
    base = address(buf)
    for i in range(at.size):
        word = np.uint64(0)
        if at[i] >= 0:
            for j in range(size):
                word |= byte(base + at[i] + j) << np.uint64(8 * j)
        words[i] = word


@njit(nogil=True, cache=True)
def _spans(buf, at, fixed, start, size):
    base = address(buf)
    for i in range(at.size):
        start[i] = at[i]
        size[i] = fixed
        if at[i] < 0:
            start[i] = size[i] = 0
        elif fixed < 0:
            size[i], place = read_long(base + at[i], base + at[i] + 10)
            start[i] = place - base


@njit(nogil=True, cache=True)
def _order_texts(buf, start, size, text, order):
    base, other = address(buf), address(text)
    for i in range(start.size):
        order[i] = _order(base + start[i], size[i], other, text.size)


@njit(nogil=True, cache=True)
def _order(at, size, other, length):
    """The lexicographic order of the bytes at two addresses."""
    for j in range(min(size, length)):
        if byte(at + j) != byte(other + j):
            return -1 if byte(at + j) < byte(other + j) else 1
    return 0 if size == length else (-1 if size < length else 1)


@njit(nogil=True, cache=True)
def _order_decimals(buf, start, size, digits, order):
    """Compare each decimal with `digits`, which must have no more bytes than needed."""
    base, other = address(buf), address(digits)
    negative = digits[0] >= 0x80
    for i in range(start.size):
        at, count = base + start[i], size[i]
        below = count > 0 and byte(at) >= 0x80
        # Skip bytes that only repeat the sign.
        while count > 1 and byte(at) == (0xFF if below else 0) and (byte(at + 1) >= 0x80) == below:
            at += 1
            count -= 1
        if below != negative:
            order[i] = -1 if below else 1
        elif count == 0:
            order[i] = 0 if digits.size == 1 and digits[0] == 0 else -1
        elif count != digits.size:
            order[i] = 1 if (count > digits.size) != below else -1
        else:
            order[i] = _order(at, count, other, digits.size)
