"""The Merkle root equals RFC 6962's recursive definition, and no two record lists share one."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from exchange.ledger.merkle import digest_leaf, merkle_root

PART = st.none() | st.binary(max_size=12)
RECORDS = st.lists(st.tuples(PART, PART), max_size=20)


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, with BLAKE2b-256 and leaves already hashed."""
    if not leaves:
        return hashlib.blake2b(b"", digest_size=32).digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = by_definition(leaves[:split]), by_definition(leaves[split:])
    return hashlib.blake2b(b"\x01" + left + right, digest_size=32).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_root_is_that_of_the_rfc(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == by_definition(leaves)


@given(RECORDS, RECORDS)
def test_different_records_have_different_roots(one: list, other: list) -> None:
    roots = [merkle_root([digest_leaf(*record) for record in records]) for records in (one, other)]
    assert (roots[0] == roots[1]) == (one == other)
