"""The remedy for an unknown name: the known names most like it."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def nearest(name: str, known: Collection[str]) -> str:
    """A hint at the known names most like `name`; if none is like it, at the first twelve of all.

    >>> nearest("resident_idd", ["resident_id", "income"])
    'did you mean resident_id?'
    >>> nearest("x", ["resident_id", "income"])
    'one of: income, resident_id'
    """
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    few = sorted(known)[:12]
    return f"one of: {', '.join(few)}{' …' if len(known) > len(few) else ''}" if few else ""
