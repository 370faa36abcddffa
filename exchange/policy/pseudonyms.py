"""Derives each reader's own pseudonym key from the exchange's key."""

from __future__ import annotations

from hashlib import blake2b

from exchange.errors import ConfigError

_READER = b"exchange.reader\0"


class NoPseudonymKeyError(ConfigError):
    """A grant gives pseudonyms, but the router has no key to make them."""

    code = "no-pseudonym-key"
    remedy = "give the router its key"


def reader_key(master: bytes, reader: str, rotation: int) -> bytes:
    """The 32-byte key of a reader: BLAKE2b-256 of `<reader>/<rotation>`, keyed with the 32 bytes of `master`.

    For one reader, a person has the same pseudonym in all subjects. For any other reader, and after a rotation, it is
    a different one.

    >>> reader_key(bytes(32), "tax", 0) == reader_key(bytes(32), "tax", 1)
    False
    """
    if len(master) != 32:
        raise NoPseudonymKeyError("a grant gives pseudonyms, but there is no key")
    return blake2b(f"{reader}/{rotation}".encode(), digest_size=32, key=master, person=_READER).digest()
