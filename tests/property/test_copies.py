"""What readers hold of a subject with a key: after any history, what their grants give of its rows now."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import names
from exchange.records.scan import scan
from exchange.records.tags import Tagger
from exchange.router.held import HeldRows, OtherLedgerKeyError
from tests.rigs.copies import GRANTS, KEY, Change, Copies, Register
from tests.rigs.routing import KEY as LEDGER_KEY
from tests.rigs.routing import SUBJECT, Routed, Written, batch, epoch, grant, route

KEY_ID = Tagger(LEDGER_KEY).key_id
HOLDINGS = names.holdings_topic(SUBJECT)


class City:
    """A register, the router's memory, and the readers' copies."""

    def __init__(self) -> None:
        self.epoch = epoch(*(grant(name, **gives) for name, gives in GRANTS.items()), key=KEY)
        self.held = HeldRows(KEY_ID)
        self.register = Register()
        self.copies = Copies(self.epoch)
        self.kept: list[Written] = []
        self.offset = 0

    def publish(self, changes: list[Change]) -> list[Written]:
        """The changes as records."""
        return [(0, *self.register.change(change)) for change in changes]

    def route(self, records: list[Written]) -> Routed:
        return route(self.epoch, [batch(records, base_offset=self.offset)], held=self.held)

    def commit(self, made: Routed, records: list[Written]) -> None:
        self.offset += len(records)
        self.kept += made.inboxes.pop(HOLDINGS, [])
        for topic, got in made.inboxes.items():
            self.copies.take(topic.split(".")[1], [each[1:] for each in got])

    def restart(self) -> None:
        """The router starts anew, with what the holdings topic has."""
        self.held = HeldRows(KEY_ID)
        if self.kept:
            self.held.load(scan([batch(self.kept)]))


ROWS = st.tuples(st.sampled_from(["p", "q", "r"]), st.integers(2020, 2022))
FIELDS = st.fixed_dictionaries({"cents": st.integers(-2, 2), "district": st.sampled_from([None, "4401", "33"])})
CHANGES = st.tuples(st.sampled_from(["put", "put", "put", "delete", "end"]), ROWS, FIELDS)
RUNS = st.lists(
    st.tuples(st.lists(CHANGES, min_size=1, max_size=12), st.sampled_from(["", "fail", "restart"])), max_size=8
)


@settings(max_examples=150, deadline=None)
@given(RUNS)
def test_every_copy_is_what_its_grant_gives_now(runs: list[Any]) -> None:
    city = City()
    for changes, event in runs:
        records = city.publish(changes)
        if event == "fail":  # the transaction fails, and all is decided again
            city.route(records)
            city.restart()
        city.commit(city.route(records), records)
        if event == "restart":
            city.restart()
    city.copies.check(city.register)


def test_what_left_is_withdrawn_only_from_those_that_had_it() -> None:
    city = City()
    elsewhere = {"district": "33"}
    first = city.publish(
        [("put", ("p", 2020), {"cents": 1, **elsewhere}), ("put", ("q", 2020), {"cents": -1, **elsewhere})]
    )
    city.commit(city.route(first), first)
    second = city.publish([("put", ("p", 2020), {"cents": -1, **elsewhere}), ("delete", ("q", 2020), {})])
    made = city.route(second)
    by_grant = {g: o for o in made.step.entry.outcomes for g in o.grants}
    assert [(w.reason, w.count) for w in by_grant["filtered"].withdrawn] == [("left", 1)]
    assert [(w.reason, w.count) for w in by_grant["filtered"].withheld] == [("tombstone", 1)]
    assert [(w.reason, w.count) for w in by_grant["whole"].withdrawn] == [("deleted", 1)]
    city.commit(made, second)
    city.copies.check(city.register)


@pytest.mark.parametrize("second", ["put", "delete", "end"])
def test_without_the_memory_copies_are_wrong(second: str) -> None:
    """What the property is for: it fails if the router forgets."""
    city = City()
    for kind, cents in (("put", 1), (second, -1)):
        records = city.publish([(kind, ("p", 2020), {"cents": cents, "district": None})])
        city.commit(city.route(records), records)
        city.held = HeldRows(KEY_ID)
    with pytest.raises(AssertionError):
        city.copies.check(city.register)


def test_a_router_with_another_ledger_key_does_not_begin() -> None:
    city = City()
    records = city.publish([("put", ("p", 2020), {"cents": 1, "district": None})])
    city.commit(city.route(records), records)
    with pytest.raises(OtherLedgerKeyError):
        HeldRows(b"other key").load(scan([batch(city.kept)]))
