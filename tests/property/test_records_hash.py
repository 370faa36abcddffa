"""The BLAKE2b kernels equal hashlib, and the root the recursive definition of RFC 6962."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exchange.records import hashes as kernels
from exchange.records.values import Values, read_only

ITEM = st.none() | st.binary(max_size=40) | st.binary(min_size=100, max_size=300)
KEY = bytes(range(32))


def columns(items: list[bytes | None]) -> Values:
    """The items with other bytes before, between and behind them."""
    start, length, data = [], [], b"\xee" * 3
    for item in items:
        start.append(len(data))
        length.append(-1 if item is None else len(item))
        data += (item or b"") + b"\xff"
    return Values(read_only(data), np.array(start, np.int64), np.array(length, np.int64))


def framed(item: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if item is None else len(item).to_bytes(4, "big") + item


def root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.blake2b(b"", digest_size=32).digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.blake2b(b"\x01" + root(leaves[:split]) + root(leaves[split:]), digest_size=32).digest()


@given(st.lists(st.tuples(ITEM, ITEM), max_size=40))
def test_leaves_and_tags_equal_hashlib(records: list[tuple[bytes | None, bytes | None]]) -> None:
    keys, values = columns([key for key, _ in records]), columns([value for _, value in records])
    leaves, tags = kernels.leaves(keys, values), kernels.tags(keys, kernels.tag_state(KEY))

    for i, (key, value) in enumerate(records):
        message = b"\x00" + framed(key) + framed(value)
        assert leaves[i].tobytes() == hashlib.blake2b(message, digest_size=32).digest()
        tag = hashlib.blake2b(key or b"", digest_size=16, key=KEY, person=b"exchange.tag\0\0\0\0").digest()
        assert tags[i].tobytes() == (bytes(16) if key is None else tag)


@given(st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_merkle_root_equals_the_recursive_definition(n: int, seed: int) -> None:
    leaves = np.random.default_rng(seed).integers(0, 256, (n, 32), np.uint8)
    before = leaves.copy()
    assert kernels.merkle_root(leaves) == root([leaf.tobytes() for leaf in leaves])
    assert (leaves == before).all()


def test_lengths_around_the_block_boundaries() -> None:
    values = [bytes([i % 251]) * i for i in [*range(100, 132), *range(240, 262), 1000, 5000]]
    leaves = kernels.leaves(Values.nulls(len(values)), columns(list(values)))
    tags = kernels.tags(columns(list(values)), kernels.tag_state(KEY))
    for i, value in enumerate(values):
        assert leaves[i].tobytes() == hashlib.blake2b(b"\x00" + framed(None) + framed(value), digest_size=32).digest()
        tag = hashlib.blake2b(value, digest_size=16, key=KEY, person=b"exchange.tag\0\0\0\0")
        assert tags[i].tobytes() == tag.digest()
