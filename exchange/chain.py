"""A history as a chain: each event's digest covers the one before, so that no event can be changed alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from exchange.errors import CorruptionError

START = bytes(32)


def digest(before: bytes, seq: int, told: Sequence[object]) -> bytes:
    """The digest of event `seq`, which tells these JSON values; `before` is that of the event before it, or START."""
    text = json.dumps([seq, *told], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


def verify(
    chain: Iterable[tuple[int, Sequence[object], bytes]], head: tuple[int, bytes], broken: type[CorruptionError]
) -> int:
    """Check events, given in order with number and digest; return their count. Raises `broken` at the first fault.

    `head` is the number of events written and the digest of the last one.
    """
    last, before = 0, START
    for seq, told, written in chain:
        if seq != last + 1:
            raise broken(f"event {last + 1} is missing from the history")
        before = digest(before, seq, told)
        if written != before:
            raise broken(f"event {seq} is not what was written")
        last = seq
    if (last, before) != head:
        raise broken(f"the history ends after event {last}, but {head[0]} were written")
    return last
