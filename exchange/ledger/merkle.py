"""Digests of records and their Merkle root: the plain reference that the fast kernels must equal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.blake2b(b"", digest_size=32).digest()


def digest_leaf(key: bytes | None, value: bytes | None) -> bytes:
    """The 32-byte leaf of one record: BLAKE2b-256 over 0x00 and the length-prefixed key and value.

    Lengths are big-endian int32 with -1 for null, so that no two records share an input.
    """
    return hashlib.blake2b(b"\x00" + _prefixed(key) + _prefixed(value), digest_size=32).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over `leaves` in the shape of RFC 6962, section 2.1; `EMPTY_ROOT` for none.

    A node is BLAKE2b-256(0x01, left, right). Pairing neighbours level by level, and carrying an odd last node up, gives
    RFC 6962's split at the largest power of two.
    """
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        paired = [
            hashlib.blake2b(b"\x01" + level[i] + level[i + 1], digest_size=32).digest()
            for i in range(0, len(level) - 1, 2)
        ]
        level = paired + level[len(level) & ~1 :]
    return level[0]


def _prefixed(data: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if data is None else len(data).to_bytes(4, "big") + data
