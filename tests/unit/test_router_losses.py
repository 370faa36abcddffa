"""What a router commits of that which it only passed over."""

from __future__ import annotations

from typing import cast

from exchange.bus.consume import Consumer
from exchange.names import Partition
from exchange.router.losses import PASSED_S, PassedOver
from exchange.router.suspended import Cause, Suspended

QUIET, BUSY, ASIDE = ("subject.a.x", 0), ("subject.a.x", 1), ("subject.a.y", 0)


class Positions:
    """A consumer that stands at these offsets."""

    def __init__(self, at: dict[Partition, int]) -> None:
        self.at = at

    def positions(self) -> dict[Partition, tuple[int, int]]:
        return {place: (offset, offset) for place, offset in self.at.items()}


def test_only_what_was_passed_over_is_committed_now_and_then() -> None:
    now_s = [PASSED_S]
    suspended = Suspended(lambda: now_s[0])
    suspended.suspend({Cause("gap", "deleted", "accept it", passing=False): {ASIDE}})
    passed = PassedOver(suspended, lambda: now_s[0])
    source = cast(Consumer, Positions({QUIET: 5, BUSY: 9, ASIDE: 7}))
    passed.committed({BUSY: 9})
    assert passed.due(source) == {QUIET: 5}
    passed.committed({QUIET: 5})
    now_s[0] += PASSED_S - 1
    cast(Positions, source).at[QUIET] = 6
    assert passed.due(source) == {}
    assert passed.due(source, at_once=True) == {QUIET: 6}, "a router that stops does not wait"
    passed.forget()
    assert passed.due(source, at_once=True) == {QUIET: 6, BUSY: 9}
