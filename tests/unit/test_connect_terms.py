"""When a connector's part has to begin anew: with each epoch or day that says something else to it, and no other."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from exchange.connect import terms_watch
from exchange.connect.terms_watch import NotInContractError, SinkTerms, TermsChangedError, TermsWatch, sink_terms
from exchange.contract.model import Epoch
from exchange.epochs import NoContractError, Published
from tests.rigs.routing import SUBJECT, epoch, grant

LAST_DAY = datetime(2026, 12, 31, 15, 59, tzinfo=UTC)
DAY_AFTER = datetime(2026, 12, 31, 16, 0, tzinfo=UTC)


class Contract:
    """The contract's topic: what is published, what the watch has seen of it, and the time."""

    def __init__(self, first: Epoch) -> None:
        self.published: Epoch | None = first
        self.newest: Published | None = None
        self.now = LAST_DAY

    def latest(self, _: Any) -> Published | None:
        return self.published and Published(self.published, 0)

    def publish(self, new: Epoch, *, is_seen: bool = True) -> None:
        self.published = new
        if is_seen:
            self.newest = Published(new, 0)

    def follow(self) -> TermsWatch[SinkTerms]:
        cluster: Any = None
        return TermsWatch(
            cluster, self, lambda epoch, now: sink_terms("tax", SUBJECT, epoch, now), clock=lambda: self.now
        )


@pytest.fixture
def contract(monkeypatch: pytest.MonkeyPatch) -> Contract:
    made = Contract(epoch(grant("tax"), number=1))
    monkeypatch.setattr(terms_watch, "latest_epoch", made.latest)
    return made


def test_an_epoch_that_changes_nothing_for_it_is_no_change(contract: Contract) -> None:
    followed = contract.follow()
    terms, _ = followed.begin()
    assert terms.is_in_force
    assert not followed.has_changed()
    contract.publish(epoch(grant("tax"), grant("bank"), number=2))
    assert not followed.has_changed()
    followed.confirm()


@pytest.mark.parametrize(
    "changes",
    [{"fields": ("id",)}, {"where": {"year": {"ge": 2024}}}, {"after": "delete"}, {"until": date(2027, 1, 1)}],
)
def test_another_grant_is_a_change_until_it_begins_anew(contract: Contract, changes: dict[str, Any]) -> None:
    followed = contract.follow()
    followed.begin()
    contract.publish(epoch(grant("tax", **changes), number=2))
    assert followed.has_changed()
    assert followed.has_changed()
    followed.begin()
    assert not followed.has_changed()


def test_what_the_watch_has_not_seen_yet_is_found_if_somebody_has_to_be_sure(contract: Contract) -> None:
    followed = contract.follow()
    followed.begin()
    contract.publish(epoch(number=2), is_seen=False)
    assert not followed.has_changed()
    with pytest.raises(TermsChangedError):
        followed.confirm()
    assert followed.has_changed()


def test_an_older_epoch_that_the_watch_sees_late_is_no_change(contract: Contract) -> None:
    followed = contract.follow()
    contract.newest = Published(epoch(number=1), 0)
    contract.published = epoch(grant("tax"), number=2)
    followed.begin()
    assert not followed.has_changed()


def test_a_grant_ends_and_begins_with_the_citys_day_without_an_epoch(contract: Contract) -> None:
    followed = contract.follow()
    followed.begin()
    contract.now = DAY_AFTER
    assert followed.has_changed()
    terms, _ = followed.begin()
    assert (terms.is_in_force, terms.has_begun) == (False, True)
    assert not followed.has_changed()


def test_after_a_failure_to_begin_each_new_epoch_is_worth_an_attempt(contract: Contract) -> None:
    followed = contract.follow()
    contract.published = epoch(number=1, owner="elsewhere")
    with pytest.raises(NotInContractError):
        followed.begin()
    assert not followed.has_changed()
    contract.publish(epoch(grant("tax"), number=2))
    assert followed.has_changed()
    contract.published = None
    with pytest.raises(NoContractError):
        followed.begin()
