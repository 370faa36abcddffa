"""The keyed hashes by which the exchange knows entities and rows without knowing who or what they are."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numba import njit

from exchange.records import hashes
from exchange.records.memory import address, equal
from exchange.records.scan import varint
from exchange.records.values import Values

ROW = b"exchange.row\0\0\0\0"
HANDLE = b"exchange.handle\0"
KEY_ID = b"exchange.key-id2"  # other tags, other id: a router does not take up the rows of one that made others


class Tagger:
    """Makes tags with the ledger's key (32 bytes)."""

    def __init__(self, ledger_key: bytes) -> None:
        self._ledger_key = ledger_key
        self._entities = hashes.tag_state(ledger_key)
        self._of: dict[tuple[bytes, str], np.ndarray] = {}

    @property
    def key_id(self) -> bytes:
        """Tells keys apart without showing them, 8 bytes."""
        return blake2b(digest_size=8, key=self._ledger_key, person=KEY_ID).digest()

    def entities(self, keys: Values) -> np.ndarray:
        """The tag of each record's entity, uint8[n, 16]; zero bytes for a null key."""
        return hashes.tags(keys, self._entities)

    def rows(self, subject: str, names: Values, keys: Values, entities: np.ndarray) -> np.ndarray:
        """The tag of each row, uint64[n, 2]: half of its entity's tag, and half of a hash of its name in the subject.

        If its name says the record's key and nothing else, it is the entity's whole tag; if it has no name, the second
        half is 0. `names` are without wire headers; `entities` (uint8[n, 16]) are the tags of the keys.
        """
        tags = np.ascontiguousarray(entities).view(np.uint64).copy()
        others = np.empty(names.rows, np.int64)
        others = others[: _others(*names, *keys, tags, others)]
        if len(others):
            tags[others, 1] = hashes.tags(names.at(others), self._state(ROW, subject)).view(np.uint64)[:, 0]
        return tags

    def handles(self, reader: str, tags: np.ndarray) -> Values:
        """The handle, 16 bytes, by which that reader alone knows each row (uint64[n, 2])."""
        flat = np.ascontiguousarray(tags).view(np.uint8).reshape(-1)
        flat.flags.writeable = False
        start = np.arange(len(tags), dtype=np.int64) * hashes.TAG_BYTES
        made = hashes.tags(Values(flat, start, np.full_like(start, hashes.TAG_BYTES)), self._state(HANDLE, reader))
        out = made.reshape(-1)
        out.flags.writeable = False
        return Values(out, start, np.full_like(start, hashes.TAG_BYTES))

    def _state(self, person: bytes, name: str) -> np.ndarray:
        """The state for a key of its own, made of the ledger's and a name."""
        state = self._of.get((person, name))
        if state is None:
            key = blake2b(name.encode(), digest_size=32, key=self._ledger_key, person=person).digest()
            state = self._of[person, name] = hashes.tag_state(key, person)
        return state


@njit(nogil=True, cache=True)
def _others(buf, start, length, key_buf, key_start, key_len, tags, out):
    """Which names are not the key as an Avro string, and how many; the tag of a null name gets 0 as its second half."""
    names, keys = address(buf), address(key_buf)
    found = 0
    for row in range(len(start)):
        if length[row] < 0:
            tags[row, 1] = 0
            continue
        end = start[row] + length[row]
        size, at = varint(buf, start[row], end)
        is_key = at >= 0 and size == key_len[row] and at + size == end
        if not (is_key and equal(names + at, keys + key_start[row], size)):
            out[found] = row
            found += 1
    return found
