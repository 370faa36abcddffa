"""Which source partitions are left aside, and when they are tried again."""

from __future__ import annotations

import pytest

from exchange import metrics
from exchange.router.suspended import FIRST_S, MOST_S, Cause, Suspended

A0, A1, B0 = ("subject.tax.a", 0), ("subject.tax.a", 1), ("subject.tax.b", 0)
GONE = Cause("topic-missing", "inbox.civil.tax.a does not exist", "run `exchange apply`", ("inbox.civil.tax.a", 0))
SMALL = Cause(
    "topic-too-small", "inbox.health.tax.a takes no batch of this size", "raise it", ("inbox.health.tax.a", 0)
)
GAP = Cause("gap", "offsets 3–7 of subject.tax.b/0 are gone", "say how to go on", passing=False)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def suspended(clock: Clock) -> Suspended:
    return Suspended(clock)


def shown(code: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("exchange_suspended_partitions", {"subject": "tax.a", "code": code})


def test_each_cause_has_a_back_off_of_its_own(suspended: Suspended, clock: Clock) -> None:
    suspended.suspend({GONE: {A0}})
    waits = []
    for _ in range(8):
        began = clock.now_s
        while suspended.due() != [GONE]:
            clock.now_s += FIRST_S / 2
        waits.append(clock.now_s - began)
        suspended.put_off([GONE])
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == MOST_S
    suspended.suspend({SMALL: {B0}})
    clock.now_s += FIRST_S
    assert suspended.due() == [SMALL]


def test_on_trial_it_is_read_again_until_it_is_routed_or_fails(suspended: Suspended, clock: Clock) -> None:
    suspended.suspend({GONE: {A0, A1}})
    assert (suspended.places, suspended.on_trial) == ({A0, A1}, set())
    suspended.try_again([GONE])
    assert (suspended.places, suspended.on_trial) == (set(), {A0, A1})
    suspended.suspend({GONE: {A0}})
    assert suspended.places == {A0, A1}
    suspended.try_again([GONE])
    suspended.routed([A0, B0])
    assert suspended.on_trial == {A1}
    suspended.routed([A1])
    assert (suspended.places, suspended.on_trial, suspended.facts) == (set(), set(), [])


def test_what_is_found_on_trial_takes_the_place_of_what_was(suspended: Suspended) -> None:
    suspended.suspend({GONE: {A0}})
    suspended.try_again([GONE])
    suspended.suspend({SMALL: {A0}})
    [told] = suspended.facts
    assert "topic-too-small" in told


def test_a_partition_with_two_causes_waits_for_both(suspended: Suspended) -> None:
    suspended.suspend({GONE: {A0}, SMALL: {A0}})
    suspended.try_again([GONE])
    assert suspended.on_trial == set()
    suspended.try_again([SMALL])
    assert suspended.on_trial == {A0}
    suspended.routed([A0])
    assert suspended.facts == []


def test_what_only_a_person_ends_is_not_tried_again_before_a_new_epoch(suspended: Suspended, clock: Clock) -> None:
    suspended.suspend({GAP: {B0}})
    clock.now_s += 10 * MOST_S
    assert suspended.due() == []
    suspended.routed([B0])  # read to its end before: that does not end it
    assert suspended.places == {B0}
    suspended.retry_all()
    assert suspended.on_trial == {B0}


def test_partitions_of_other_routers_are_forgotten(suspended: Suspended) -> None:
    suspended.suspend({GONE: {A0, A1}})
    suspended.keep({A1, B0})
    assert suspended.places == {A1}


def test_it_tells_the_place_the_cause_and_the_remedy(suspended: Suspended, caplog: pytest.LogCaptureFixture) -> None:
    suspended.suspend({GONE: {A1, A0}})
    [told] = suspended.facts
    assert told.startswith("subject.tax.a/0, subject.tax.a/1 [topic-missing] since 20")
    assert "inbox.civil.tax.a does not exist — run `exchange apply`; is tried again at " in told
    assert shown("topic-missing") == 2
    [line] = [vars(record) for record in caplog.records]
    assert (line["subject"], line["code"]) == ("tax.a", "topic-missing")
    assert (line["reason"], line["remedy"], line["partitions"]) == (GONE.told, GONE.remedy, 2)
    suspended.try_again([GONE])
    suspended.routed([A0, A1])
    assert shown("topic-missing") is None
