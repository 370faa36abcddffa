"""What routers skip: gaps, which a person must accept, and offsets at which there is nothing to decide."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from exchange.bus.consume import Consumer
from exchange.contract.epoch import accepts
from exchange.contract.model import Epoch
from exchange.contract.period import ms_of
from exchange.gap import Gap
from exchange.ledger import entry as ledger
from exchange.names import Partition
from exchange.router.suspended import Cause, Suspended
from exchange.router.write import Writer

PASSED_S = 60.0  # between commits of positions at which nothing was decided
HOW_TO_ACCEPT = "see `exchange router gaps`; the routers go on behind it after `exchange router accept-gap`"
_log = logging.getLogger("exchange.router")


class Losses:
    """The gaps that one router has met; `instance` is the router's name."""

    def __init__(self, instance: str, suspended: Suspended) -> None:
        self._instance = instance
        self._suspended = suspended
        self._told: set[Gap] = set()

    def meet(self, gaps: Collection[Gap], epoch: Epoch, writer: Writer, source: Consumer, now: datetime) -> None:
        """Go on after gaps that a person accepted; leave the partitions of others aside. The ledger records both.

        All entries are in one transaction, so that many deleted topics do not hold up everything else.
        """
        accepted = [gap for gap in gaps if accepts(epoch, gap)]
        aside = [gap for gap in gaps if gap not in accepted]
        new = [gap for gap in aside if gap not in self._told]
        entries = [self._entry(gap, epoch, now, accepted=True) for gap in accepted]
        entries += [self._entry(gap, epoch, now, accepted=False) for gap in new]
        offsets = {(gap.topic, gap.partition): gap.next for gap in accepted}
        for gap in accepted:
            source.pass_over(gap)  # first: from here on, what is committed are offsets in the topic that exists now
        if entries:
            writer.entries(entries, epoch.ledger, offsets, source.membership() if offsets else None)
        for gap in accepted:
            _log.warning("going on behind a gap that was accepted", extra=_told(gap))
        for gap in new:
            _log.error("records were deleted before they were decided", extra=_told(gap))
        self._told.update(new)
        self._suspended.routed(offsets)
        causes = {gap: Cause("gap", str(gap), HOW_TO_ACCEPT, passing=False) for gap in aside}
        self._suspended.suspend({cause: {(gap.topic, gap.partition)} for gap, cause in causes.items()})

    def _entry(self, gap: Gap, epoch: Epoch, now: datetime, *, accepted: bool) -> ledger.Entry:
        return ledger.of_gap(gap, epoch.number, self._instance, ms_of(now), accepted=accepted)


class PassedOver:
    """How far partitions were read where there was nothing to decide: transaction markers and aborted records.

    Unless these positions are committed now and then, the deletion of such records would look like a gap.
    """

    def __init__(self, suspended: Suspended, clock: Callable[[], float] = time.monotonic) -> None:
        self._suspended = suspended
        self._clock = clock
        self._reached: dict[Partition, int] = {}
        self._at_s = 0.0

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note offsets that are committed, or are about to be with what was decided."""
        self._reached |= offsets

    def forget(self) -> None:
        """Forget all offsets: the group assigns its partitions anew."""
        self._reached = {}

    def due(self, source: Consumer, *, at_once: bool = False) -> dict[Partition, int]:
        """The positions to commit, once a minute or `at_once`; call it when all that was decided is committed."""
        if not at_once and self._clock() - self._at_s < PASSED_S:
            return {}
        self._at_s = self._clock()
        aside = self._suspended.places | self._suspended.on_trial
        positions = {place: at for place, (at, _) in source.positions().items() if place not in aside}
        return {place: at for place, at in positions.items() if at > self._reached.get(place, -1)}


def _told(gap: Gap) -> dict[str, str | int]:
    return {"reason": str(gap), "topic": gap.topic, "partition": gap.partition, "remedy": HOW_TO_ACCEPT}
