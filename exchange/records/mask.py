"""Masked fields as columns of bytes, ready to be put into records of the view's schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numba import njit

from exchange.contract.masks import REDACTED
from exchange.contract.terms import Mask
from exchange.records import hashes
from exchange.records.field_values import Column, Reader, Reals, compile_reader
from exchange.records.locate import Located
from exchange.records.memory import address, byte, move
from exchange.records.values import Values
from exchange.schema.avro import Schema
from exchange.schema.types import Type

_HEX = np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), np.uint8).reshape(256, 2)
_NULL = b"\0"  # the first branch of a nullable masked type
_SOLID = b"\x02"
_FIRST_YEAR, _LAST_YEAR = 1, 9999


Encode = Callable[[Column, np.ndarray], Values]
"""Takes a column and which rows are null; returns the masked values, encoded."""


@dataclass(frozen=True)
class FieldMask:
    """One field's mask, for records of one writer's schema."""

    reader: Reader
    encode: Encode

    def values(self, located: Located) -> Values:
        """The masked field of every body, encoded; with its union branch if the type is a union."""
        at = self.reader.places(located)
        return self.encode(self.reader.column(located.buf, at), at < 0)


def fixed_mask(mask: Mask, masked: Type) -> bytes | None:
    """The one encoded value that `null` or `redact` gives; None for masks that depend on the value."""
    if mask.kind == "redact":
        return _text(REDACTED)
    if mask.kind == "null":
        null = next(i for i, branch in enumerate(masked.branches) if branch.means == "null")
        return _varint(null) if masked.means == "union" else b""
    return None


def compile_mask(schema: Schema, name: str, mask: Mask, pseudonym_key: bytes) -> FieldMask:
    """The mask of a field to which it applies; not for masks that `fixed_mask` handles.

    `pseudonym_key` (32 bytes) belongs to one reader, so that no two readers get the same pseudonyms.
    """
    reader = compile_reader(schema, name)
    solid = _SOLID if schema.fields[name].nullable else b""
    if mask.kind == "partial":
        return FieldMask(reader, _partial(mask.first, mask.last, solid))
    if mask.kind == "pseudonym":
        return FieldMask(reader, _pseudonym(pseudonym_key, solid))
    if mask.kind == "range":
        return FieldMask(reader, _range(mask, schema.fields[name].solid.scale, solid))
    return FieldMask(reader, _calendar(mask.kind, solid))


def pseudonyms(key: bytes, texts: Values, rows: np.ndarray) -> Values:
    """The pseudonyms of the texts in `rows` (indexes), as the mask `pseudonym` gives them; other rows are null."""
    chosen = texts.at(rows)
    digest = hashes.tags(chosen, hashes.tag_state(key, hashes.PSEUDONYM))
    made = Values.nulls(texts.rows)
    made.start[rows] = np.arange(len(rows)) * 2 * hashes.TAG_BYTES
    made.length[rows] = np.where(chosen.length < 0, -1, 2 * hashes.TAG_BYTES)
    hexadecimal = np.ascontiguousarray(_HEX[digest]).reshape(-1)
    hexadecimal.flags.writeable = False
    return made._replace(buf=hexadecimal)


def _partial(first: int, last: int, solid: bytes) -> Encode:
    def encode(column: Any, null: np.ndarray) -> Values:
        texts: Values = column.strings
        # A masked character never takes more bytes than the original.
        out = np.empty(int(texts.length.sum()) + 11 * len(null), np.uint8)
        made = Values(out, np.empty_like(texts.start), np.empty_like(texts.start))
        _write_partial(*texts, null, first, last, len(solid), *made)
        return made

    return encode


def _pseudonym(key: bytes, solid: bytes) -> Encode:
    state = hashes.tag_state(key, hashes.PSEUDONYM)
    head = np.frombuffer(solid + b"\x40", np.uint8)  # 32 as a varint

    def encode(column: Any, null: np.ndarray) -> Values:
        digest = hashes.tags(column.strings, state)
        rows = np.empty((len(null), len(head) + 32), np.uint8)
        rows[:, : len(head)] = head
        rows[:, len(head) :] = _HEX[digest].reshape(len(null), 32)
        rows[null, :1] = 0
        start = np.arange(len(null), dtype=np.int64) * rows.shape[1]
        return Values(rows.reshape(-1), start, np.where(null, 1, rows.shape[1]))

    return encode


def _range(mask: Mask, scale: int, solid: bytes) -> Encode:
    labels = [solid + _text(label) for label in (*mask.labels(), "unknown")]
    bounds = [Fraction(Decimal(str(bound))) * 10**scale if scale else bound for bound in mask.bounds]

    def bucket(column: Any) -> np.ndarray:
        index: np.ndarray = np.stack([column.test("ge", bound) for bound in bounds]).sum(axis=0, dtype=np.int64)
        if isinstance(column, Reals):
            index[np.isnan(column.values)] = len(labels) - 1
        return index

    return _table(labels, bucket)


def _calendar(kind: str, solid: bytes) -> Encode:
    if kind == "year":
        values = [solid + _varint(year) for year in range(_FIRST_YEAR, _LAST_YEAR + 1)]
        return _table(values, lambda column: _since_first(column, "Y"))
    months = (f"{year:04}-{month:02}" for year in range(_FIRST_YEAR, _LAST_YEAR + 1) for month in range(1, 13))
    return _table([solid + _text(month) for month in months], lambda column: _since_first(column, "M"))


def _since_first(column: Any, unit: str) -> np.ndarray:
    """Years or months since the first one that a date can have."""
    first = np.datetime64("0001-01-01").astype(f"datetime64[{unit}]").astype(np.int64)
    since: np.ndarray = column.values.astype("datetime64[D]").astype(f"datetime64[{unit}]").astype(np.int64) - first
    return since


def _table(values: list[bytes], index: Callable[[Any], np.ndarray]) -> Encode:
    """Encode masked values that come from a fixed set, by their index in it."""
    size = np.array([len(value) for value in (*values, _NULL)], np.int64)
    start = np.cumsum(size) - size
    buf = np.frombuffer(b"".join(values) + _NULL, np.uint8)

    def encode(column: Any, null: np.ndarray) -> Values:
        which = index(column)
        which[null] = len(values)
        return Values(buf, start[which], size[which])

    return encode


def _text(text: str) -> bytes:
    return _varint(len(text.encode())) + text.encode()


def _varint(value: int) -> bytes:
    """Encode a natural number as Avro does."""
    zigzag, out = value << 1, bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes((*out, zigzag))


@njit(nogil=True, cache=True)
def _write_partial(buf, start, size, null, first, last, branch, out, out_start, out_size):
    source, target = address(buf), address(out)
    to = 0
    for i in range(start.size):
        out_start[i] = to
        if null[i]:
            out[to] = 0
            to += 1
            out_size[i] = 1
            continue
        at, end = source + start[i], source + start[i] + size[i]
        chars = 0
        for p in range(at, end):
            chars += byte(p) & 0xC0 != 0x80
        low, high = (first, chars - last) if chars > first + last else (0, chars)
        # Count the bytes of the characters before `low`, and of those from `high` on.
        char, head, tail = -1, 0, 0
        for p in range(at, end):
            char += byte(p) & 0xC0 != 0x80
            head += char < low
            tail += char >= high
        if branch:
            out[to] = 2
            to += 1
        length = np.uint64(head + (high - low) + tail) << np.uint64(1)
        while length >= np.uint64(0x80):
            out[to] = np.uint8(length & np.uint64(0x7F)) | np.uint8(0x80)
            length >>= np.uint64(7)
            to += 1
        out[to] = np.uint8(length)
        to += 1
        move(target + to, at, head)
        to += head
        out[to : to + high - low] = 0x2A
        to += high - low
        move(target + to, end - tail, tail)
        to += tail
        out_size[i] = to - out_start[i]
