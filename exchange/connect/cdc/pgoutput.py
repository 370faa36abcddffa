"""Decodes what PostgreSQL's plugin `pgoutput` says about committed transactions, protocol version 1.

Layout: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

_EPOCH_S = 946_684_800  # 2000-01-01, in Unix time


class Missing(Enum):
    """A value that is not in the stream, because it is stored apart (TOAST) and the update did not change it."""

    UNCHANGED = "unchanged"


Raw = bytes | Missing | None
"""A value as text, as PostgreSQL writes it; None is NULL."""


class Begin(NamedTuple):
    """A transaction follows; `commit` is where its commit record begins, `committed_at` is Unix time."""

    commit: int
    committed_at: float
    xid: int


class Commit(NamedTuple):
    """The transaction is complete; `end` is where its commit record ends."""

    end: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column as the stream gives it; `identifies`: it is part of the table's replica identity."""

    name: str
    type_oid: int
    modifier: int
    identifies: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table's columns, as they are in the changes that follow."""

    oid: int
    attributes: tuple[Attribute, ...]


class LoggedChange(NamedTuple):
    """A row's change: without `old`, inserted (or updated with its identity as before); without `new`, deleted.

    If `old` is not `whole`, only the columns that identify the row count in it.
    """

    relation: int
    old: Sequence[Raw] | None
    new: Sequence[Raw] | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables that were emptied."""

    relations: tuple[int, ...]


Message = Begin | Commit | Relation | LoggedChange | Truncate

_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")
_ATTRIBUTE = struct.Struct(">Ii")
_OID, _COUNT, _LENGTH = struct.Struct(">I"), struct.Struct(">H"), struct.Struct(">I")


def unix_s(at_us: Any) -> Any:
    """A time of the stream, in microseconds since 2000, as Unix time; of an array, each."""
    return at_us / 1e6 + _EPOCH_S


def stream_us(at_s: float) -> int:
    """A Unix time as the stream has it.

    >>> stream_us(unix_s(835_000_000_123_456))
    835000000123456
    """
    return round((at_s - _EPOCH_S) * 1e6)


def decode(data: bytes) -> Message | None:
    """The message; None for those that say nothing about rows (types, origins, messages of applications)."""
    match data[:1]:
        case b"I" | b"U" | b"D":
            return _change(data)
        case b"B":
            commit, at_us, xid = _BEGIN.unpack_from(data, 1)
            return Begin(commit, unix_s(at_us), xid)
        case b"C":
            return Commit(_COMMIT.unpack_from(data, 1)[2])
        case b"R":
            return _relation(data)
        case b"T":
            (count,) = _OID.unpack_from(data, 1)
            return Truncate(struct.unpack_from(f">{count}I", data, 6))
    return None


def _change(data: bytes) -> LoggedChange:
    (relation,) = _OID.unpack_from(data, 1)
    old: Sequence[Raw] | None = None
    new: Sequence[Raw] | None = None
    whole, at = False, 5
    while at < len(data):
        kind = data[at : at + 1]
        values, at = _values(data, at + 1)
        if kind == b"N":
            new = values
        else:
            old, whole = values, kind == b"O"
    return LoggedChange(relation, old, new, whole)


def _values(data: bytes, at: int) -> tuple[Sequence[Raw], int]:
    (count,) = _COUNT.unpack_from(data, at)
    at += 2
    values: list[Raw] = []
    length_of, append = _LENGTH.unpack_from, values.append
    for _ in range(count):
        kind = data[at]
        if kind == 0x74:  # t: text
            begin = at + 5
            at = begin + length_of(data, at + 1)[0]
            append(data[begin:at])
        else:  # u: unchanged; n: null
            at += 1
            append(Missing.UNCHANGED if kind == 0x75 else None)
    return values, at


def _relation(data: bytes) -> Relation:
    (oid,) = _OID.unpack_from(data, 1)
    _, at = _name(data, 5)
    _, at = _name(data, at)
    (count,) = _COUNT.unpack_from(data, at + 1)  # after the kind of identity
    at += 3
    attributes = []
    for _ in range(count):
        flags = data[at]
        name, at = _name(data, at + 1)
        type_oid, modifier = _ATTRIBUTE.unpack_from(data, at)
        attributes.append(Attribute(name, type_oid, modifier, bool(flags & 1)))
        at += _ATTRIBUTE.size
    return Relation(oid, tuple(attributes))


def _name(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1
