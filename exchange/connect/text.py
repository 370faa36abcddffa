"""Numbers and times that a column holds as text; ambiguous text is not accepted."""

from __future__ import annotations

import re
from datetime import datetime, time
from decimal import Decimal, InvalidOperation

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TIMESTAMP = re.compile(r"[0-9W-]{8,10}[Tt ][0-9].*")  # the standard library allows any character before the time


def number(text: str) -> Decimal | None:
    """The number that a text is, exactly; None if it is not one, or is beyond what Decimal can hold."""
    try:
        return Decimal(text) if _NUMBER.fullmatch(text) else None
    except InvalidOperation:
        return None


def moment(text: str) -> datetime:
    """The timestamp in an ISO text, cut off after microseconds; raises ValueError if it is not one."""
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError
    return datetime.fromisoformat(text)


def clock_time(text: str) -> time:
    """The time of day in an ISO text with colons, cut off after microseconds; raises ValueError if it is not one."""
    if ":" not in text:
        raise ValueError
    return time.fromisoformat(text)
