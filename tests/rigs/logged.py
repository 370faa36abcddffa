"""Messages as PostgreSQL's plugin `pgoutput` writes them, without a PostgreSQL."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from exchange.connect.cdc.pgoutput import Attribute, Begin, Commit, LoggedChange, Missing, Raw, stream_us

Message = Begin | Commit | LoggedChange | Sequence[Attribute]


def written(message: Message, table: int) -> bytes:
    """The message; attributes are those of the table."""
    match message:
        case Begin(commit, committed_at, xid):
            return b"B" + struct.pack(">QqI", commit, stream_us(committed_at), xid)
        case Commit(end):
            return b"C" + struct.pack(">BQQq", 0, 0, end, 0)
        case LoggedChange(relation, old, new, whole):
            head = b"I" if old is None else b"U" if new is not None else b"D"
            before = b"" if old is None else (b"O" if whole else b"K") + _values(old)
            return head + struct.pack(">I", relation) + before + (b"" if new is None else b"N" + _values(new))
    names = b"".join(
        bytes([a.identifies]) + a.name.encode() + b"\0" + struct.pack(">Ii", a.type_oid, a.modifier) for a in message
    )
    return b"R" + struct.pack(">I", table) + b"public\0t\0d" + struct.pack(">H", len(message)) + names


def _values(values: Sequence[Raw]) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if isinstance(value, Missing):
            parts.append(b"u")
        else:
            parts.append(b"n" if value is None else b"t" + struct.pack(">I", len(value)) + value)
    return b"".join(parts)
