"""What a person decides about records that were deleted before a router decided them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from exchange import names
from exchange.bus import Cluster
from exchange.bus.topics import TopicAppender
from exchange.contract.epoch import accepting, accepts
from exchange.contract.model import Epoch
from exchange.epochs import Newest, NoContractError, Published, publish_next
from exchange.errors import ConfigError
from exchange.gap import Gap
from exchange.router.barrier import Adoption, Passed


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


def go_on(
    cluster: Cluster,
    choose: Callable[[Published | None], Collection[Gap]],
    operator: str,
    reason: str,
    now: datetime,
) -> tuple[Published, Passed]:
    """Accept the gaps that `choose` names for the epoch in force; the next epoch, once every router knows it."""
    with Adoption(cluster) as adoption, TopicAppender(cluster, names.CONTRACT_TOPIC) as out:
        accepted = accept(out, adoption.newest, choose(adoption.newest.find()), operator, reason, now)
        if accepted is None:
            raise NoContractError
        return accepted, adoption.passed(accepted)


def chosen(gaps: Collection[Gap], places: Collection[str]) -> list[Gap]:
    """The gaps at these places, each given as `<topic>/<partition>`; raises NoGapError if a place has none."""
    known = {gap.place for gap in gaps}
    for place in places:
        if place not in known:
            there = ", ".join(sorted(known)) or "none"
            raise NoGapError(f"there is no gap at {place}", remedy=f"gaps are at: {there}")
    return [gap for gap in gaps if gap.place in places]
