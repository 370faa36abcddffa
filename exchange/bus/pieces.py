"""Encodes requests to produce without copying their records.

kafka-python copies all records of a request twice to encode it, each time into fresh memory. Here a request is a
list of pieces, and each batch is one piece, unchanged: the inboxes of one view share its records.
"""

from __future__ import annotations

import struct
from typing import Any

from kafka.protocol.producer import ProduceRequest
from kafka.protocol.schemas.fields.codecs.types import String, UnsignedVarInt32

_TEXT = String()
_NO_TAGS = b"\0"

Piece = bytes | bytearray | memoryview


def encode(request: ProduceRequest) -> list[Piece]:
    """A framed produce request of version 9 with its header. Source: ProduceRequest.json of Kafka 2.4, KIP-482.

    The records of a partition are a pair (head, body), or bytes made by kafka-python's own producer. Only what is
    between two bodies is copied.
    """
    assert request.API_VERSION == 9, "the first version with tags; every broker that supports KIP-447 has it"
    pieces: list[Piece] = []
    plain = bytearray(4) + request.encode_header(flexible=True)
    plain += _TEXT.encode(request.transactional_id, compact=True)
    plain += struct.pack(">hi", request.acks, request.timeout_ms)
    plain += _length(request.topic_data)
    for topic in request.topic_data:
        plain += _TEXT.encode(topic.name, compact=True)
        plain += _length(topic.partition_data)
        for partition in topic.partition_data:
            head, body = records if isinstance(records := partition.records, tuple) else (b"", records)
            plain += struct.pack(">i", partition.index)
            plain += UnsignedVarInt32.encode(len(head) + len(body) + 1)
            plain += head
            pieces += [plain, body]
            plain = bytearray(_NO_TAGS)
        plain += _NO_TAGS
    plain += _NO_TAGS
    pieces.append(plain)
    struct.pack_into(">i", pieces[0], 0, sum(map(len, pieces)) - 4)
    return pieces


def _length(items: list[Any]) -> bytes:
    return bytes(UnsignedVarInt32.encode(len(items) + 1))
