"""The source partitions that a router leaves aside for now, so that all others flow."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from exchange import metrics, names
from exchange.names import Partition

FIRST_S = 1.0
MOST_S = 30.0
_log = logging.getLogger("exchange.router")


@dataclass(frozen=True)
class Cause:
    """Why source partitions cannot be routed: what is wrong with which topic, and what helps.

    `destination`: the partition that accepts nothing, if that is the reason. A cause that is not `passing` ends only
    with a new epoch or through a person, so the router does not retry it.
    """

    code: str
    told: str
    remedy: str
    destination: Partition | None = None
    passing: bool = True


@dataclass
class _Hold:
    """The partitions that one cause holds back; on trial, they are read again to see whether the cause is over."""

    since: datetime
    places: set[Partition] = field(default_factory=set)
    tries: int = 0
    again_s: float | None = None
    again: datetime | None = None
    on_trial: bool = False


class Suspended:
    """Which source partitions are left aside, why, since when, and when the router retries them.

    Each cause has a back-off of its own, from one second to half a minute; `clock` is monotonic, in seconds.
    A suspended partition stays at its committed offset: no record is lost or overtaken.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._holds: dict[Cause, _Hold] = {}
        self._shown: set[tuple[str, str]] = set()
        self._facts: list[str] = []

    @property
    def facts(self) -> list[str]:
        """One sentence per cause, for a person; any thread may ask."""
        return self._facts

    @property
    def places(self) -> set[Partition]:
        """The partitions that must not be read now."""
        return {place for hold in self._holds.values() if not hold.on_trial for place in hold.places}

    @property
    def on_trial(self) -> set[Partition]:
        """The partitions that are read again; each is decided apart from those that flow."""
        return {place for hold in self._holds.values() if hold.on_trial for place in hold.places} - self.places

    def suspend(self, found: Mapping[Cause, Collection[Partition]]) -> None:
        """Leave partitions aside. For partitions on trial, the causes found now replace the earlier ones."""
        new = {place for places in found.values() for place in places}
        changes = False
        for cause, hold in self._holds.items():
            if hold.on_trial and cause not in found:
                hold.places -= new
        for cause, places in found.items():
            if not places:
                continue
            hold = self._holds.setdefault(cause, _Hold(datetime.now(UTC)))
            changes |= hold.on_trial or not hold.places.issuperset(places)
            hold.places |= set(places)
            if hold.on_trial or not hold.tries:
                self._put_off(cause, hold)
        if changes:
            self._changed()

    def due(self) -> list[Cause]:
        """The causes whose time has come: call `try_again`, or `put_off` if they are known to persist."""
        now = self._clock()
        return [
            cause
            for cause, hold in self._holds.items()
            if not hold.on_trial and hold.again_s is not None and hold.again_s <= now
        ]

    def try_again(self, causes: Collection[Cause]) -> None:
        """Read the partitions of these causes again."""
        for cause in self._holds.keys() & causes:
            self._holds[cause].on_trial = True
            self._changed()

    def put_off(self, causes: Collection[Cause]) -> None:
        """Wait longer: these causes persist."""
        for cause in causes:
            self._put_off(cause, self._holds[cause])
        if causes:
            self._changed()

    def retry_all(self) -> None:
        """Try all causes again: under a new epoch, any of them may be over."""
        self.try_again(list(self._holds))

    def routed(self, places: Collection[Partition]) -> None:
        """Note that these partitions, which were on trial, are routed: their cause is over."""
        ended = False
        for cause, hold in self._holds.items():
            if hold.on_trial and hold.places.intersection(places):
                ended = True
                if hold.places <= set(places):
                    _log.info("source partitions flow again", extra=_said(cause, hold))
                hold.places -= set(places)
        if ended:
            self._changed()

    def keep(self, assigned: Collection[Partition]) -> None:
        """Forget partitions that belong to other routers now."""
        if any(hold.places - set(assigned) for hold in self._holds.values()):
            for hold in self._holds.values():
                hold.places &= set(assigned)
            self._changed()

    def _put_off(self, cause: Cause, hold: _Hold) -> None:
        hold.on_trial = False
        hold.tries += 1
        if cause.passing:
            back_off_s = min(MOST_S, FIRST_S * 2.0 ** min(hold.tries - 1, 10))
            hold.again_s = self._clock() + back_off_s
            hold.again = datetime.now(UTC) + timedelta(seconds=back_off_s)
        told = _said(cause, hold) | {"times": hold.tries, "partitions": len(hold.places)}
        _log.warning("source partitions are left aside, all others flow", extra=told)

    def _changed(self) -> None:
        self._holds = {cause: hold for cause, hold in self._holds.items() if hold.places}
        self._facts = [_sentence(cause, hold) for cause, hold in self._holds.items()]
        held = {(place, cause.code) for cause, hold in self._holds.items() for place in hold.places}
        count = Counter((names.subject_of(topic), code) for (topic, _), code in held)
        for gone in self._shown - count.keys():
            metrics.SUSPENDED.remove(*gone)
        for (subject, code), partitions in count.items():
            metrics.SUSPENDED.labels(subject, code).set(partitions)
        self._shown = set(count)


def _sentence(cause: Cause, hold: _Hold) -> str:
    places = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(hold.places))
    if hold.on_trial:
        until = "is being tried again"
    elif hold.again:
        until = f"is tried again at {hold.again.isoformat(timespec='seconds')}"
    else:
        until = "ends with a new epoch, or by a person"
    since = hold.since.isoformat(timespec="seconds")
    return f"{places} [{cause.code}] since {since}: {cause.told} — {cause.remedy}; {until}"


def _said(cause: Cause, hold: _Hold) -> dict[str, str | int]:
    subjects = ", ".join(sorted({names.subject_of(topic) for topic, _ in hold.places}))
    told: dict[str, str | int] = {"code": cause.code, "reason": cause.told, "remedy": cause.remedy}
    return told | ({"subject": subjects} if subjects else {})
