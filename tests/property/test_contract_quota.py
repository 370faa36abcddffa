"""Claims never give more than the quota, whatever their order, and all of it where they ask for enough."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from exchange.contract.model import Quota
from exchange.contract.period import city_day
from exchange.contract.quota import Claim, Claims, Use, decode_claim, decode_use, encode

START = datetime(2026, 6, 1, 15, 59, 50, tzinfo=UTC)  # ten seconds before the city's midnight
DAY = city_day(START)


class Router:
    """Claims, and then delivers what it was given, or loses the transaction and keeps it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.claimed: Counter[date] = Counter()
        self.used: Counter[date] = Counter()

    def claim(self, asked: int, quota: Quota, day: date) -> Claim:
        kept = self.claimed[day] - self.used[day]
        return Claim(grant="g", router=self.name, asked=asked, kept=kept, day=day, quota=quota)


TURNS = st.lists(
    st.tuples(
        st.integers(0, 2),  # router
        st.integers(1, 40),  # asked
        st.booleans(),  # whether its transaction commits
        st.integers(0, 3_000),  # ms since the claim before
    ),
    max_size=40,
)


@given(TURNS, st.none() | st.integers(1, 200), st.none() | st.integers(1, 60))
def test_no_day_and_no_second_gets_more_than_its_quota(
    turns: list[tuple[int, int, bool, int]], per_day: int | None, per_second: int | None
) -> None:
    quota = Quota(records_per_day=per_day, records_per_second=per_second)
    claims, routers, now = Claims(), [Router(str(n)) for n in range(3)], START
    days: Counter[date] = Counter()
    seconds: Counter[int] = Counter()
    for which, asked, commits, later_ms in turns:
        now += timedelta(milliseconds=later_ms)
        router, day, second = routers[which], city_day(now), int(now.timestamp())
        kept = router.claimed[day] - router.used[day]
        left = None if per_day is None else per_day - sum(r.claimed[day] for r in routers)
        result = claims.take(router.claim(asked, quota, day), now)
        assert (result.day, 0 <= result.records <= asked) == (day, True)
        # Nothing that could be given is held back.
        could = [asked]
        could += [] if left is None else [kept + left]
        could += [] if per_second is None else [per_second - seconds[second]]
        assert result.records == min(could)
        router.claimed[day] += result.fresh
        seconds[second] += result.records
        if commits:
            router.used[day] += result.records
            days[day] += result.records
        assert claims.claimed("g", day) == sum(r.claimed[day] for r in routers)
    assert per_day is None or all(delivered <= per_day for delivered in days.values())
    assert per_second is None or all(given <= per_second for given in seconds.values())


@given(TURNS, st.integers(1, 100), st.integers(1, 100))
def test_a_quota_that_is_lowered_holds_for_what_is_kept_too(
    turns: list[tuple[int, int, bool, int]], before: int, after: int
) -> None:
    claims, routers = Claims(), [Router(str(n)) for n in range(3)]
    delivered = [0, 0]
    for n, (which, asked, commits, _) in enumerate(turns):
        lowered = n >= len(turns) // 2
        quota = Quota(records_per_day=min(before, after) if lowered else before)
        result = claims.take(routers[which].claim(asked, quota, DAY), START)
        routers[which].claimed[DAY] += result.fresh
        if commits:
            routers[which].used[DAY] += result.records
            delivered[lowered] += result.records
    assert sum(delivered) <= max(min(before, after), delivered[0])


def test_a_broker_whose_clock_is_set_back_gives_nothing_twice() -> None:
    claims, quota = Claims(), Quota(records_per_day=10, records_per_second=10)
    ask = Claim(grant="g", router="r", asked=10, kept=0, day=DAY, quota=quota)
    tomorrow = START + timedelta(seconds=10)
    assert claims.take(ask, START).records == 10
    assert claims.take(ask, tomorrow).records == 10
    assert claims.take(ask, START).records == 0
    assert claims.take(ask, tomorrow + timedelta(days=1)).records == 10


def test_what_was_kept_of_a_day_is_gone_with_it() -> None:
    claims, quota = Claims(), Quota(records_per_day=10)
    ask = Claim(grant="g", router="r", asked=15, kept=5, day=DAY - timedelta(days=1), quota=quota)
    assert claims.take(ask, START).records == 10


def test_records_are_read_as_they_were_written() -> None:
    claim = Claim(grant="g", router="r", asked=15, kept=5, day=DAY, quota=Quota(records_per_second=3))
    use = Use(grant="g", router="r", day=DAY, records=4)
    assert (decode_claim(encode(claim)), decode_use(encode(use))) == (claim, use)
