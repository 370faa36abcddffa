"""BLAKE2b over columns of records: Merkle leaves, entity tags and Merkle roots.

Every message is hashed in place in its buffer.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numba import njit

from exchange.records.blake2b import BLOCK, IV, LANES, compress, start
from exchange.records.memory import address, move, word
from exchange.records.values import Values

DIGEST_BYTES = 32
TAG_BYTES = 16
# BLAKE2's personalisation: one key gives unrelated digests for different uses.
TAG = b"exchange.tag\0\0\0\0"
PSEUDONYM = b"exchange.pseudo\0"

# The first word of the parameter block: digest length, key length, fanout 1, depth 1.
_PLAIN_256 = np.uint64(IV[0] ^ 0x01010000 ^ DIGEST_BYTES)


@njit(nogil=True, cache=True)
def _part(block, at, source, length):
    """Copy the part of a message piece that falls into this block; the piece has `length` bytes at `source`.

    `block` and `source` are addresses. `at` is where the piece begins, relative to the block's first byte: negative
    if it began in an earlier block.
    """
    low = max(at, 0)
    high = min(at + length, BLOCK)
    if low < high:
        move(block + low, source - at + low, high - low)


@njit(nogil=True, cache=True)
def _leaves(key_buf, key_start, key_len, buf, value_start, value_len, out):
    keys, values = address(key_buf), address(buf)
    # the frame: 0x00, the key's length, the value's length
    frame = np.zeros(9, np.uint8)
    framing = address(frame)
    h = np.empty(8 * LANES, np.uint64)
    m = np.zeros(16 * LANES, np.uint64)
    words = np.empty(16, np.uint64)
    block = address(words)
    counter = np.zeros(LANES, np.uint64)
    final = np.zeros(LANES, np.uint64)
    active = np.zeros(LANES, np.uint64)
    n = key_len.size
    zero = np.uint64(0)
    for group in range(0, n, LANES):
        lanes = min(LANES, n - group)
        start(h, _PLAIN_256, zero, zero)
        active[:] = zero
        longest = 0
        for lane in range(lanes):
            r = group + lane
            longest = max(longest, 9 + max(key_len[r], 0) + max(value_len[r], 0))
        for base in range(0, longest, BLOCK):
            for lane in range(lanes):
                r = group + lane
                key = max(key_len[r], 0)
                value = max(value_len[r], 0)
                total = 9 + key + value
                if base >= total:
                    active[lane] = zero
                    continue
                value_at = 9 + key - base
                if value_at <= 0 and value_at + value >= BLOCK:
                    for w in range(16):
                        m[w * LANES + lane] = word(values + value_start[r] - value_at + 8 * w)
                else:
                    words[:] = zero
                    for j in range(4):
                        frame[1 + j] = np.uint8((key_len[r] >> (24 - 8 * j)) & 0xFF)
                        frame[5 + j] = np.uint8((value_len[r] >> (24 - 8 * j)) & 0xFF)
                    _part(block, -base, framing, 5)
                    _part(block, 5 - base, keys + key_start[r], key)
                    _part(block, 5 + key - base, framing + 5, 4)
                    _part(block, value_at, values + value_start[r], value)
                    for w in range(16):
                        m[w * LANES + lane] = words[w]
                active[lane] = ~zero
                counter[lane] = np.uint64(min(total, base + BLOCK))
                final[lane] = ~zero if base + BLOCK >= total else zero
            compress(h, m, counter, final, active)
        for lane in range(lanes):
            for w in range(4):
                out[group + lane, w] = h[w * LANES + lane]


@njit(nogil=True, cache=True)
def _tags(buf, key_start, key_len, state, out):  # noqa: PLR0912
    keys = address(buf)
    h = np.empty(8 * LANES, np.uint64)
    m = np.zeros(16 * LANES, np.uint64)
    words = np.empty(16, np.uint64)
    block = address(words)
    counter = np.zeros(LANES, np.uint64)
    final = np.zeros(LANES, np.uint64)
    active = np.zeros(LANES, np.uint64)
    n = key_len.size
    zero = np.uint64(0)
    for group in range(0, n, LANES):
        lanes = min(LANES, n - group)
        for w in range(8):
            for lane in range(LANES):
                h[w * LANES + lane] = state[w]
        active[:] = zero
        longest = 0
        for lane in range(lanes):
            longest = max(longest, key_len[group + lane])
        for base in range(0, longest, BLOCK):
            for lane in range(lanes):
                r = group + lane
                if base >= key_len[r]:
                    active[lane] = zero
                    continue
                words[:] = zero
                _part(block, -base, keys + key_start[r], key_len[r])
                for w in range(16):
                    m[w * LANES + lane] = words[w]
                active[lane] = ~zero
                counter[lane] = np.uint64(BLOCK + min(key_len[r], base + BLOCK))
                final[lane] = ~zero if base + BLOCK >= key_len[r] else zero
            compress(h, m, counter, final, active)
        for lane in range(lanes):
            length = key_len[group + lane]
            for w in range(2):
                if length < 0:
                    out[group + lane, w] = zero
                elif length == 0:
                    out[group + lane, w] = state[8 + w]
                else:
                    out[group + lane, w] = h[w * LANES + lane]


@njit(nogil=True, cache=True)
def _fold(nodes):
    """Fold the rows of `nodes` (digests as 4 words) pairwise into row 0, level by level.

    An odd last node rises to the next level unchanged, which gives the tree of RFC 6962, 2.1.
    """
    h = np.empty(8 * LANES, np.uint64)
    m = np.zeros(16 * LANES, np.uint64)
    words = np.zeros(16, np.uint64)
    counter = np.full(LANES, np.uint64(65), np.uint64)
    ones = np.full(LANES, ~np.uint64(0), np.uint64)
    eight = np.uint64(8)
    rest = np.uint64(56)
    n = nodes.shape[0]
    while n > 1:
        pairs = n // 2
        for group in range(0, pairs, LANES):
            lanes = min(LANES, pairs - group)
            start(h, _PLAIN_256, np.uint64(0), np.uint64(0))
            for lane in range(lanes):
                # The byte 0x01 in front shifts both digests by one byte.
                carry = np.uint64(1)
                for w in range(8):
                    word = nodes[2 * (group + lane) + w // 4, w % 4]
                    words[w] = carry | (word << eight)
                    carry = word >> rest
                words[8] = carry
                for w in range(16):
                    m[w * LANES + lane] = words[w]
            compress(h, m, counter, ones, ones)
            for lane in range(lanes):
                for w in range(4):
                    nodes[group + lane, w] = h[w * LANES + lane]
        if n % 2:
            nodes[pairs] = nodes[n - 1]
        n = pairs + n % 2


def leaves(keys: Values, values: Values) -> np.ndarray:
    """The Merkle leaf of every record, uint8[n, 32].

    leaf = BLAKE2b-256(0x00 ‖ be32(key length) ‖ key ‖ be32(value length) ‖ value); a null has length -1 and no
    bytes.
    """
    out = np.empty((values.rows, DIGEST_BYTES), np.uint8)
    _leaves(*keys, *values, out.view(np.uint64))
    return out


def tag_state(key: bytes, person: bytes = TAG) -> np.ndarray:
    """The hash state after a key's block (32 bytes), for `tags`; `person` (16 bytes) separates different uses."""
    if len(key) != 32:
        raise ValueError("the key must have 32 bytes")
    state = np.empty(10, np.uint64)
    h = np.empty(8 * LANES, np.uint64)
    m = np.zeros((16, LANES), np.uint64)
    first = np.uint64(IV[0] ^ 0x01010000 ^ (len(key) << 8) ^ TAG_BYTES)
    start(h, first, *np.frombuffer(person, "<u8"))
    m[:4] = np.frombuffer(key, "<u8")[:, None]
    words = np.zeros(LANES, np.uint64)
    compress(h, m.reshape(-1), words + np.uint64(BLOCK), words, ~words)
    state[:8] = h[::LANES]
    # For an empty message the key block is the last block, which gives a different state.
    empty = hashlib.blake2b(b"", digest_size=TAG_BYTES, key=key, person=person)
    state[8:] = np.frombuffer(empty.digest(), "<u8")
    return state


def tags(keys: Values, state: np.ndarray) -> np.ndarray:
    """The tag of every key, uint8[n, 16].

    tag = BLAKE2b-128 keyed with the ledger key, with person `exchange.tag` (`state` comes from `tag_state`). A null
    key gives 16 zero bytes.
    """
    out = np.empty((keys.rows, TAG_BYTES), np.uint8)
    _tags(*keys, state, out.view(np.uint64))
    return out


def merkle_root(leaves: np.ndarray) -> bytes:
    """The root over `leaves` (uint8[n, 32]), which are not changed.

    The tree has the shape of RFC 6962, with node = BLAKE2b-256(0x01 ‖ left ‖ right); the root of no leaves is
    BLAKE2b-256 of the empty message.
    """
    if len(leaves) == 0:
        return hashlib.blake2b(digest_size=DIGEST_BYTES).digest()
    nodes = np.array(leaves, order="C").view(np.uint64)
    _fold(nodes)
    return bytes(nodes[0])
