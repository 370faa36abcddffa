"""Writes the fields that a view gives, byte by byte, into values of the view's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exchange.contract.masks import masked_type
from exchange.contract.terms import Mask
from exchange.errors import ConfigError, RecordError
from exchange.records.locate import Located
from exchange.records.mask import FieldMask, compile_mask, fixed_mask
from exchange.records.memory import address, move
from exchange.records.reference import on_base
from exchange.records.values import Values
from exchange.schema.avro import Schema, encode, parse
from exchange.schema.types import Field, Type, typed
from exchange.schema.wire import pack


class InconvertibleError(ConfigError):
    """A field of the view differs in its bytes from the writer's field: only the Avro library can convert it."""

    code = "inconvertible"
    remedy = "nothing to do: the router converts its records one by one, which is slower"


FIELDS = 0
CONSTANT = 1
MASKED = 2


@dataclass(frozen=True, eq=False)
class Projection:
    """What to write for each record: `pieces` is int32[m, 3], rows of (source, from, to).

    Source FIELDS copies the bytes of the writer's fields from ≤ f < to. Source CONSTANT copies the bytes
    constant[from:to]. Source MASKED writes what `masks[from]` makes of its field. The first piece is the wire
    header with the view's schema id.
    """

    pieces: np.ndarray
    constant: np.ndarray
    masks: tuple[FieldMask, ...]

    def unwritten(self, located: Located) -> Unwritten:
        """The values that the view makes of these bodies, before they are written."""
        masked = [mask.values(located) for mask in self.masks]
        shape = (len(masked), len(located.start))
        at, size = np.empty(shape, np.int64), np.empty(shape, np.int64)
        for i, values in enumerate(masked):
            at[i], size[i] = values.start + values.buf.ctypes.data, values.length
        return Unwritten(self, located, masked, at, size)


class Unwritten(NamedTuple):
    """Values yet to be written: `masked_at` and `masked_size` (int64[masks, n]) are addresses and sizes in `masked`."""

    projection: Projection
    located: Located
    masked: list[Values]
    masked_at: np.ndarray
    masked_size: np.ndarray

    def sizes(self) -> np.ndarray:
        """int64[n]: the bytes of each value."""
        size = np.empty(len(self.located.start), np.int64)
        _sizes(self.located.marks, self.projection.pieces, self.masked_size, size)
        return size

    def write(self, out: np.ndarray, at: np.ndarray) -> None:
        """Write each value to `out` (uint8[]) at its position in `at`, where its `sizes` bytes must be free."""
        buf, start, marks, _ = self.located
        pieces, constant = self.projection.pieces, self.projection.constant
        _write(buf, start, marks, pieces, constant, self.masked_at, self.masked_size, out, at)


def compile_projection(
    writer: Schema, view: Schema, view_id: int, masks: Mapping[str, Mask], pseudonym_key: bytes
) -> Projection:
    """The projection from a writer's schema to a view's.

    A field that the writer does not have yet is written with its default. Raises InconvertibleError if a field's
    type differs in more than names and documentation, or is not the type that its mask gives.
    """
    index = {name: i for i, name in enumerate(writer.fields)}
    constant = pack(view_id, b"")
    pieces = [[CONSTANT, 0, len(constant)]]
    field_masks: list[FieldMask] = []
    for name, field in view.fields.items():
        mask = masks.get(name)
        if name not in writer.fields:
            fixed: bytes | None = _default(view, field)
        else:
            if _shape(_given(writer, name, mask)) != _shape(field.type):
                raise InconvertibleError(f"the type of field {name} changed")
            fixed = None if mask is None else fixed_mask(mask, field.type)
        if fixed is not None:
            pieces.append([CONSTANT, len(constant), len(constant) + len(fixed)])
            constant += fixed
        elif mask is not None:
            pieces.append([MASKED, len(field_masks), 0])
            field_masks.append(compile_mask(writer, name, mask, pseudonym_key))
        elif pieces[-1][0] == FIELDS and pieces[-1][2] == index[name]:
            pieces[-1][2] += 1
        else:
            pieces.append([FIELDS, index[name], index[name] + 1])
    return Projection(np.array(pieces, np.int32), np.frombuffer(constant, np.uint8), tuple(field_masks))


def _given(writer: Schema, name: str, mask: Mask | None) -> Type:
    """The type of a writer's field after masking."""
    field = writer.fields[name]
    return field.type if mask is None else typed(masked_type(mask, field), dict(writer.named))


def _default(view: Schema, field: Field) -> bytes:
    """The default of a field, encoded."""
    if "default" not in field.definition:
        raise InconvertibleError(f"field {field.name} has no default")
    value = field.definition["default"]
    if field.solid.kind in ("bytes", "fixed") and value is not None:
        value = value.encode("latin-1")
    try:
        alone = on_base(parse(json.dumps({**view.definition, "fields": [field.definition]})))
        return encode(alone, {field.name: value})
    except (ConfigError, RecordError) as error:
        raise InconvertibleError(f"the default of field {field.name} does not stand alone") from error


def _shape(of: Type) -> Any:
    """All that determines a type's bytes and their meaning; equal shapes have equal bytes."""
    return (
        of.kind,
        of.size,
        of.symbols,
        [_shape(part) for part in of.parts],
        [(f.name, _shape(f.type)) for f in of.fields],
    )


@njit(nogil=True, cache=True)
def _sizes(marks, pieces, masked_size, size):
    for i in range(size.size):
        total = 0
        for p in range(pieces.shape[0]):
            low, high = pieces[p, 1], pieces[p, 2]
            if pieces[p, 0] == FIELDS:
                total += marks[i, high] - marks[i, low]
            else:
                total += high - low if pieces[p, 0] == CONSTANT else masked_size[low, i]
        size[i] = total


@njit(nogil=True, cache=True)
def _write(buf, start, marks, pieces, constant, masked_at, masked_size, out, at):
    source, fixed, target = address(buf), address(constant), address(out)
    for i in range(start.size):
        to = target + at[i]
        for p in range(pieces.shape[0]):
            low, high = pieces[p, 1], pieces[p, 2]
            if pieces[p, 0] == FIELDS:
                size = np.int64(marks[i, high] - marks[i, low])
                move(to, source + start[i] + marks[i, low], size)
            elif pieces[p, 0] == CONSTANT:
                size = np.int64(high - low)
                move(to, fixed + low, size)
            else:
                size = masked_size[low, i]
                move(to, masked_at[low, i], size)
            to += size
