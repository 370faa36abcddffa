"""What readers gain and lose from one epoch to the next, in words and as data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exchange.contract.model import Epoch
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.changes import PublishEpoch
from exchange.plan.grant_changes import AccessChange, access_of_readers
from exchange.plan.plan import Actual, Plan, make_plan
from exchange.schema import avro
from exchange.schema.registry import KeyValue, Registry
from tests.rigs.contracts import CONTRACT, INCOME, loaded

LEDGER = avro.load(SCHEMA_FILE)
ALL = CONTRACT.replace("[resident_id, amount]", "all")
UNTIL = "until: 2026-12-31"


class City:
    """Epochs one after the other, as `apply` makes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schemas: list[KeyValue] = []
        self.epoch: Epoch | None = None

    def plan(self, text: str, fields: list[dict[str, Any]] | None = None) -> Plan:
        actual = Actual({}, Registry.read((*pair, at) for at, pair in enumerate(self._schemas)), self.epoch)
        return make_plan(loaded(self._folder, text, fields), actual, LEDGER, datetime(2026, 6, 1, tzinfo=UTC))

    def notices(self, text: str) -> list[str]:
        """What a plan says besides its changes, of grants that end."""
        return [notice for notice in self.plan(text).notices if " ends: " in notice]

    def publish(self, text: str, fields: list[dict[str, Any]] | None = None) -> PublishEpoch:
        plan = self.plan(text, fields)
        self._schemas += [record for change in plan.changes for record in getattr(change, "records", ())]
        [published] = [change for change in plan.changes if isinstance(change, PublishEpoch)]
        self.epoch = published.epoch
        return published


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path)


def _told(city: City, before: str, after: str, fields: list[dict[str, Any]] | None = None) -> list[str]:
    city.publish(before)
    return [text for change in city.publish(after, fields).access for text in change.texts]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "fields: [resident_id, amount]",
            "fields: [resident_id, year, status]",
            ["gains 2 fields of tax.income: year, status", "loses 1 field of tax.income: amount"],
        ),
        (
            "fields: [resident_id, amount]",
            "fields: all",
            [
                "gains 3 fields of tax.income: year, status, filed_on",
                "gets records of tax.income as they are, headers included",
            ],
        ),
        (
            "fields: [resident_id, amount]",
            "fields: [amount, resident_id]",
            ["gets the fields of tax.income in another order"],
        ),
        (
            UNTIL,
            "until: 2027-06-30",
            ["gets tax.income from 2026-01-01 until 2027-06-30 (before: from 2026-01-01 until 2026-12-31)"],
        ),
        ("code: aid", "code: review", ["gets tax.income for review (before: for aid)"]),
        (
            "basis: Regulation 1",
            "basis: Regulation 2",
            ["gets tax.income with purpose.basis Regulation 2 (before: Regulation 1)"],
        ),
        (
            UNTIL,
            UNTIL + "\n    where: {year: {ge: 2024, lt: 2026}}",
            ["gets records where year ge 2024 and year lt 2026 of tax.income (before: all records)"],
        ),
        (
            UNTIL,
            UNTIL + "\n    where: {any: [{year: {ge: 2024}}, {status: {in: [late]}}], not: {year: {eq: 2020}}}",
            [
                "gets records where (year ge 2024 or status in late) and not (year eq 2020) of tax.income "
                "(before: all records)"
            ],
        ),
        (
            UNTIL,
            UNTIL + "\n    masks: {resident_id: {kind: partial, last: 4}, amount: null}",
            [
                "sees resident_id of tax.income masked by partial (first 0, last 4) (before: in clear)",
                "sees amount of tax.income masked by null (before: in clear)",
            ],
        ),
        (
            UNTIL,
            UNTIL + "\n    quota: {records_per_day: 5}",
            ["of tax.income at most 5 records per day (before: any number of records per day)"],
        ),
    ],
)
def test_a_changed_grant(city: City, old: str, new: str, told: list[str]) -> None:
    assert _told(city, CONTRACT, CONTRACT.replace(old, new)) == told


def test_all_fields_become_few(city: City) -> None:
    assert _told(city, ALL, CONTRACT) == [
        "loses 3 fields of tax.income: year, status, filed_on",
        "gets records of tax.income in a schema of their own, without headers",
    ]


def test_all_is_what_the_grant_was_published_with(city: City) -> None:
    city.publish(ALL)
    grown = [*INCOME, {"name": "note", "type": "string", "default": ""}]
    [change] = city.publish(ALL.replace("2026-12-31", "2026-12-30"), grown).access
    assert (change.gains, change.loses) == ((), ())
    assert "gets records of tax.income in a schema of their own, without headers" in change.texts
    [change] = city.publish(ALL.replace("g1", "g2"), grown).access[1:]
    assert "note" in change.gains


def test_masks_that_change_and_go(city: City) -> None:
    masked = CONTRACT + "    masks: {resident_id: pseudonym, amount: {kind: range, bounds: [0, 9.5]}}\n"
    after = CONTRACT.replace("[resident_id, amount]", "[resident_id, amount, filed_on]")
    after += "    masks: {resident_id: redact, filed_on: year}\n"
    assert _told(city, masked, after) == [
        "gains 1 field of tax.income: filed_on",
        "sees resident_id of tax.income masked by redact (before: masked by pseudonym)",
        "sees amount of tax.income in clear (before: masked by range (0, 9.5))",
        "sees filed_on of tax.income masked by year",
    ]


def test_grants_that_come_and_go(city: City) -> None:
    without = CONTRACT[: CONTRACT.index("grants:")]
    city.publish(without)
    scope = "    where: {year: {ge: 2024}}\n    masks: {amount: null}\n    quota: {records_per_day: 5}\n"
    [come] = city.publish(CONTRACT + scope).access
    assert come == AccessChange(
        "civil",
        "tax.income",
        "g1",
        (
            "gains 2 fields of tax.income: resident_id, amount; where year ge 2024; amount masked by null; "
            "at most 5 records per day; from 2026-01-01 until 2026-12-31, for aid",
        ),
        gains=("resident_id", "amount"),
    )
    [gone] = city.publish(without).access
    assert gone.texts == ("loses tax.income: all 2 fields that this grant gave",)
    assert gone.loses == ("resident_id", "amount")


def test_the_data_has_what_the_words_say(city: City) -> None:
    city.publish(CONTRACT)
    text = CONTRACT.replace("code: aid", "code: review") + "    where: {year: {ge: 2024}}\n    masks: {amount: null}\n"
    [change] = city.publish(text).access
    assert change.changed == {
        "purpose.code": ("aid", "review"),
        "where": ({}, {"year": {"ge": 2024}}),
        "masks.amount": (None, {"kind": "null", "first": 0, "last": 0, "bounds": []}),
    }


def test_the_same_epoch_changes_nothing(city: City) -> None:
    epoch = city.publish(CONTRACT).epoch
    assert access_of_readers(epoch, epoch) == []


def test_a_plan_says_what_becomes_of_the_rows_of_a_grant_that_ends(city: City) -> None:
    city.publish(CONTRACT)
    keeps, deletes = (
        [f"grant g1 ends: the connector of civil {what} its rows of tax.income"] for what in ("keeps", "deletes")
    )
    ended = CONTRACT.replace(UNTIL, "until: 2026-05-31")
    assert city.notices(CONTRACT.replace(UNTIL, "until: 2026-06-01")) == []
    assert city.notices(ended) == city.notices(CONTRACT[: CONTRACT.index("grants:")] + "grants: []\n") == keeps
    assert city.notices(ended + "    after: delete\n") == deletes
    assert city.notices(CONTRACT.replace("id: g1", "id: g2")) == []
