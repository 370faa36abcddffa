"""What the router shows as its lag: what is not committed, however far it has read."""

from __future__ import annotations

from exchange import metrics
from exchange.router.report import Lag

A0, A1, B0 = ("subject.tax.a", 0), ("subject.tax.a", 1), ("subject.tax.b", 0)


def shown(subject: str) -> tuple[float | None, float | None]:
    values = metrics.REGISTRY.get_sample_value
    return values("exchange_lag_records", {"subject": subject}), values("exchange_lag_seconds", {"subject": subject})


def test_lag_is_what_is_not_committed() -> None:
    lag = Lag()
    assert lag.show({A0: (5, 5), A1: (2, 10), B0: (7, 7)}, 100.0) == 8
    assert (shown("tax.a")[0], shown("tax.b")[0]) == (8, 0)
    lag.show({B0: (7, 7)}, 101.0)
    assert shown("tax.a") == (None, None)


def test_its_seconds_grow_while_nothing_is_committed() -> None:
    lag = Lag()
    lag.show({A0: (5, 5)}, 100.0)
    for now in range(101, 161):
        lag.show({A0: (5, 9 + now)}, float(now))
    assert shown("tax.a")[1] == 60.0


def test_its_seconds_stay_small_while_records_flow_all_the_time() -> None:
    lag = Lag()
    for now in range(100, 200):
        # Always ten records behind, as some are under way.
        lag.show({A0: (10 * now, 10 * now + 10)}, float(now))
        assert (shown("tax.a")[1] or 0.0) <= 2.0
    lag.show({A0: (2000, 2000)}, 200.0)
    assert shown("tax.a") == (0, 0)


def test_they_begin_when_something_is_behind_however_long_nothing_was() -> None:
    lag = Lag()
    for now in range(100, 3700):
        lag.show({A0: (5, 5)}, float(now))
    lag.show({A0: (5, 6)}, 3701.0)
    assert shown("tax.a") == (1, 2.0)
