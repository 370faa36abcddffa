"""Which rows of a table were published lately: a window behind the cursor, against late commits and repeats.

A row is identified by a hash of its timestamp and id. Each transaction adds a page of hashes to the progress and
forgets pages that are wholly before the window, so the window survives a restart. Timestamps stay as the database
returns them (text, number or datetime), because only then do comparisons here and in the database agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from hashlib import blake2b
from math import ceil
from typing import Any

import numpy as np

from exchange.connect.source import Unreadable
from exchange.errors import ConfigError, CorruptionError

# Bytes occur only in SQLite, Unreadable only in PostgreSQL: rows with such times do not move the window.
Moment = str | int | float | datetime | date | bytes | Unreadable
FUTURE_S = 86_400.0
_PAGE_DIGITS = 10
_TEXT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d.*)?")
# A number counts seconds, milliseconds, microseconds or nanoseconds since 1970, depending on its size.
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (float("inf"), 1e9))


class CursorTypeError(ConfigError):
    """The cursor's time column holds something that is not a time, or times of another type than before."""

    code = "cursor-type"
    remedy = "name a column that is a timestamp"


class ProgressError(CorruptionError):
    """What the cursor topic says about a source cannot be understood."""

    code = "progress"
    remedy = "call the exchange's operator"


def row_hash(moment: Moment, row_id: Any) -> int:
    """64 bits that identify a row version; enough, because a late row is compared with one window only."""
    text = f"{_written(moment)}\0{_written(row_id)}"
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _written(value: Any) -> Any:
    return value.stored if isinstance(value, Unreadable) else value


def instant(moment: Moment, zone: tzinfo = UTC) -> float | None:
    """The Unix time of a timestamp, None if it is not one; if it has no zone, it is in `zone`."""
    try:
        if isinstance(moment, str):
            if not _TEXT.fullmatch(moment):
                return None
            moment = datetime.fromisoformat(moment)
        if isinstance(moment, datetime):
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
        if isinstance(moment, date):
            return datetime(moment.year, moment.month, moment.day, tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None
    return moment / _unit(moment) if isinstance(moment, int | float) else None


def earlier(moment: Moment, seconds: float) -> Moment:
    """A timestamp of the same kind, at least so many seconds earlier, that the database can compare with others."""
    step = timedelta(seconds=seconds)
    try:
        if isinstance(moment, str):
            before = datetime.fromisoformat(moment).replace(tzinfo=None) - step
            # Cut off after the second: a prefix sorts before every longer text.
            return str(before.date()) if len(moment) == 10 else before.isoformat(moment[10], "seconds")
        if isinstance(moment, datetime):
            return moment - step
        if isinstance(moment, date):
            return moment - timedelta(days=ceil(seconds / 86_400))
    except OverflowError:
        return moment
    if isinstance(moment, int | float):
        return moment - ceil(seconds * _unit(moment))
    return moment


def _unit(number: float) -> float:
    return next(unit for limit, unit in _UNITS if abs(number) < limit or limit == float("inf"))


def latest(moments: Iterable[Moment], now: float) -> Moment | None:
    """The first moment that is a time at most a day after `now` (Unix time); None if there is none.

    Other moments do not move the window: one wrong clock must not hide the rows of all others.
    """
    for moment in moments:
        at = instant(moment)
        if at is not None and at <= now + FUTURE_S:
            return moment
    return None


def before(a: Any, b: Any) -> bool:
    """Whether a sorts before b; False if they cannot be compared."""
    try:
        return bool(a < b)
    except TypeError:  # SQLite can hold numbers and text in one column
        return False


def kind(moment: Moment) -> str:
    """The kind of a database's times, in words; times of two kinds do not compare, or not in the order of time."""
    match moment:
        case datetime():
            return "timestamp with time zone" if moment.tzinfo else "timestamp"
        case date():
            return "date"
        case str():
            return "text"
        case int() | float():
            return "number"
    return type(moment).__name__


@dataclass(frozen=True)
class _Page:
    name: str
    until: Moment
    hashes: np.ndarray


def is_page(name: str) -> bool:
    """Whether progress of that name is a window's, not that of a file or log which the source had before."""
    return name.isdecimal() and len(name) == _PAGE_DIGITS


class Window:
    """The rows at and after `low` that were already published; `low` is None if none ever was."""

    def __init__(self, lookback_s: float, progress: Mapping[str, bytes]) -> None:
        self._lookback_s = lookback_s
        self._pages: list[_Page] = []
        self.low: Moment | None = None
        self.high: Moment | None = None
        for name in sorted(progress):
            try:
                head, _, hashes = progress[name].partition(b"\n")
                facts = {key: _load(value) for key, value in json.loads(head).items()}
                self._pages.append(_Page(name, facts["until"], np.frombuffer(hashes, ">u8").astype(np.uint64)))
                self.low, self.high = facts["low"], facts["high"]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ProgressError(f"progress {name} is not readable") from error

    def known(self) -> np.ndarray:
        """The hashes of all rows in the window, uint64[n], sorted."""
        return np.sort(np.concatenate([page.hashes for page in self._pages] or [np.empty(0, np.uint64)]))

    def add(
        self, moments: Sequence[Moment], hashes: np.ndarray, newest: Moment | None, now: float
    ) -> dict[str, bytes | None]:
        """Add rows that are being published, in the order of their times; return the change of progress.

        `newest` is the newest time that was committed when the sweep began. The window must not pass it, because the
        sweep itself may have overtaken later rows.
        """
        moment = latest(reversed(moments), now)
        if moment is not None and (self.high is None or before(self.high, moment)):
            self.high = moment
        if self.high is not None and newest is not None:
            self._raise_low(earlier(newest if before(newest, self.high) else self.high, self._lookback_s))
        number = int(self._pages[-1].name) + 1 if self._pages else 0
        page = _Page(f"{number:0{_PAGE_DIGITS}d}", moments[-1], hashes)
        head = {"low": _dump(self.low), "high": _dump(self.high), "until": _dump(page.until)}
        change: dict[str, bytes | None] = {
            page.name: json.dumps(head).encode() + b"\n" + hashes.astype(">u8").tobytes()
        }
        change.update({old.name: None for old in self._pages if before(old.until, self.low)})
        self._pages = [*(old for old in self._pages if old.name not in change), page]
        return change

    def settle(self) -> None:
        """Close the window up to the newest row: no row before it can still be committed."""
        if self.high is not None:
            self._raise_low(self.high)

    def _raise_low(self, moment: Moment) -> None:
        if self.low is None or before(self.low, moment):
            self.low = moment


def _dump(moment: Moment | None) -> list[Any]:
    if moment is None or isinstance(moment, str | int | float):
        return ["raw", moment]
    if isinstance(moment, datetime):
        return ["datetime", moment.isoformat()]
    if isinstance(moment, date):
        return ["date", moment.isoformat()]
    if isinstance(moment, bytes):
        return ["bytes", moment.hex()]
    if isinstance(moment, Unreadable):
        return ["unreadable", [moment.stored, moment.kind]]
    raise CursorTypeError(f"the cursor's time column gives {type(moment).__name__}")


def _load(value: list[Any]) -> Any:
    kind, raw = value
    return _LOADS[kind](raw)


_LOADS: Mapping[str, Callable[[Any], Any]] = {
    "raw": lambda raw: raw,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "bytes": bytes.fromhex,
    "unreadable": lambda raw: Unreadable(*raw),
}
