"""Numbers and times that a column holds as text, as they stand: what could mean two things is none."""

from __future__ import annotations

import re
from datetime import datetime, time
from decimal import Decimal, InvalidOperation

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TIMESTAMP = re.compile(r"[0-9W-]{8,10}[Tt ][0-9].*")  # the standard library takes any character between day and time


def number(text: str) -> Decimal | None:
    """The number that a text is, as it stands; None where it is none, or beyond what Decimal can hold."""
    try:
        return Decimal(text) if _NUMBER.fullmatch(text) else None
    except InvalidOperation:
        return None


def moment(text: str) -> datetime:
    """The timestamp that an ISO text is, cut off behind the microseconds; ValueError where it is none."""
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError
    return datetime.fromisoformat(text)


def clock_time(text: str) -> time:
    """The time of day that an ISO text with colons is, cut off behind the microseconds; ValueError where it is none."""
    if ":" not in text:
        raise ValueError
    return time.fromisoformat(text)
