"""What an administrator is told: who took an epoch, and which topics Kafka refuses."""

from __future__ import annotations

import pytest

from exchange.bus.admin import TopicRefusedError, _refuse
from exchange.router.barrier import Passed


def test_routers_that_did_not_answer_are_named_and_none_is_no_alarm() -> None:
    nobody = frozenset[str]()
    assert Passed(nobody, nobody, nobody).text.endswith("no router is at work.")
    told = Passed(frozenset({"exchange.router.a"}), frozenset({"exchange.router.b"}), nobody).text
    assert "1 router has taken the new one. Fenced, because they did not answer" in told
    assert told.endswith("exchange.router.b.")


def test_a_reason_is_given_once_for_all_topics_that_have_it() -> None:
    with pytest.raises(TopicRefusedError) as caught:
        _refuse([("a", "too few brokers"), ("b", None), ("c", "too few brokers")])
    assert caught.value.message == "a, c: too few brokers; b: no reason given"
