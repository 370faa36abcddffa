"""Confluent's wire format: a zero byte, the schema id as four bytes (big-endian), the Avro body."""

from __future__ import annotations

import struct

from exchange.errors import RecordError

HEADER_BYTES = 5
_HEADER = struct.Struct(">bi")


class WireError(RecordError):
    """A value does not start with the wire format's header."""

    code = "wire"
    remedy = "let the publisher write Confluent's wire format; what it wrote is in quarantine"


def pack(schema_id: int, body: bytes) -> bytes:
    """A record's value: the wire header, then the Avro body.

    >>> pack(7, b"body").hex(" ")
    '00 00 00 00 07 62 6f 64 79'
    """
    return _HEADER.pack(0, schema_id) + body


def unpack(value: bytes | memoryview) -> tuple[int, memoryview]:
    """The schema id and the Avro body of a value; raises WireError if it is too short or has another format.

    >>> schema_id, body = unpack(bytes.fromhex("0000000007") + b"body")
    >>> schema_id, bytes(body)
    (7, b'body')
    """
    if len(value) < HEADER_BYTES:
        raise WireError("the value is shorter than a wire header")
    magic, schema_id = _HEADER.unpack_from(value)
    if magic != 0:
        raise WireError("the value does not start with the wire format's zero byte")
    return schema_id, memoryview(value)[HEADER_BYTES:]
