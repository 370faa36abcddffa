"""What a person decides about records that were deleted before a router decided them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from exchange.bus.topics import TopicAppender
from exchange.contract.epoch import accepting, accepts
from exchange.contract.model import Epoch
from exchange.epochs import Newest, Published, publish_next
from exchange.errors import ConfigError
from exchange.gap import Gap


class NoGapError(ConfigError):
    """Someone wants to accept a gap that does not exist."""

    code = "no-gap"
    remedy = "name a gap that exists"


def accept(
    out: TopicAppender, newest: Newest, gaps: Collection[Gap], operator: str, reason: str, now: datetime
) -> Published | None:
    """Publish the next epoch, which lets routers go on after these gaps; return the epoch that is then in force."""

    def change(epoch: Epoch) -> Epoch | None:
        new = [gap for gap in gaps if not accepts(epoch, gap)]
        return accepting(epoch, new, operator, reason, now) if new else None

    return publish_next(out, newest, change)


def chosen(gaps: Collection[Gap], places: Collection[str]) -> list[Gap]:
    """The gaps at these places, each given as `<topic>/<partition>`; raises NoGapError if a place has none."""
    known = {gap.place for gap in gaps}
    for place in places:
        if place not in known:
            there = ", ".join(sorted(known)) or "none"
            raise NoGapError(f"there is no gap at {place}", remedy=f"gaps are at: {there}")
    return [gap for gap in gaps if gap.place in places]
