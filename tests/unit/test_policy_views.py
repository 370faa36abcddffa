"""Grants become few views, which are valid until the city's next midnight that changes them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from exchange.contract.model import Contract, Epoch
from exchange.policy.views import FOR_EVER, FROM_EVER, subject_views

PURPOSE = {"code": "test", "basis": "Law, art. 1", "text": "Test."}
TITLE = {"zh": "测试", "en": "Test"}


def grant(name: str, **changes: Any) -> dict[str, Any]:
    base = {"id": name, "subject": "tax.income", "reader": "civil", "purpose": PURPOSE, "fields": "all"}
    return {**base, "from": date(2026, 1, 1), "until": date(2026, 12, 31), **changes}


def epoch(*grants: dict[str, Any]) -> Epoch:
    subjects = [
        {
            "name": name,
            "owner": "tax",
            "title": TITLE,
            "schema": f"{name}.avsc",
            "entity": {"field": "resident_id", "kind": "person"},
            "share": "open",
        }
        for name in ("income", "arrears")
    ]
    contract = Contract.model_validate({"version": 1, "departments": [], "subjects": subjects, "grants": list(grants)})
    views = {g["id"]: 40 + len(g["fields"]) for g in grants if g["fields"] != "all"}
    return Epoch(
        number=1,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        contract=contract,
        writers={"tax.income": (3, 5)},
        views=views,
        ledger=1,
        schemas={},
    )


NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_grants_with_equal_fields_and_conditions_share_a_view() -> None:
    plan = subject_views(
        epoch(
            grant("a", fields=["year", "resident_id"], where={"year": {"ge": 2024, "le": 2025}, "kind": {"eq": "x"}}),
            grant("b", fields=["resident_id", "year"], where={"kind": {"eq": "x"}, "year": {"le": 2025, "ge": 2024}}),
            grant("c", fields=["resident_id", "year"], where={"year": {"ge": 2025}}),
            grant("d"),
            grant("e"),
            grant("other", subject="tax.arrears"),
        ),
        "tax.income",
        NOW,
    )
    assert [[g.id for g in view.grants] for view in plan.views] == [["a", "b"], ["c"], ["d", "e"]]
    assert [view.schema_id for view in plan.views] == [42, 42, None]
    assert plan.allowed == (3, 5)


def test_null_and_absent_operators_are_different_conditions() -> None:
    asked = [grant("a", where={"phone": {"eq": None}}), grant("b", where={"phone": {"ne": None}})]
    assert len(subject_views(epoch(*asked), "tax.income", NOW).views) == 2


def test_only_a_view_with_the_entity_field_keeps_the_key() -> None:
    asked = epoch(grant("a"), grant("b", fields=["resident_id"]), grant("c", fields=["year", "kind"]))
    assert [view.keeps_key for view in subject_views(asked, "tax.income", NOW).views] == [True, True, False]


def test_masks_and_pseudonyms_make_views_of_their_own() -> None:
    def given(id_: str, **masks: Any) -> dict[str, Any]:
        return grant(id_, reader=id_[:-1], fields=["year", "name"], masks=masks)

    plan = subject_views(
        epoch(
            given("a1"),
            given("a2", name="redact"),
            given("b1", name={"kind": "redact"}),
            given("a3", name={"kind": "partial", "first": 1}),
            given("a4", name="pseudonym"),
            given("a5", name="pseudonym"),
            given("b2", name="pseudonym"),
        ),
        "tax.income",
        NOW,
    )
    shared = [[g.id for g in view.grants] for view in plan.views]
    assert shared == [["a1"], ["a2", "b1"], ["a3"], ["a4", "a5"], ["b2"]]
    assert [view.reader for view in plan.views] == [None, None, None, ("a", 0), ("b", 0)]


def test_the_key_is_what_the_view_gives() -> None:
    fields = ["resident_id", "year"]
    masks = [{}, {"resident_id": "pseudonym"}, {"resident_id": {"kind": "partial", "last": 4}}, {"year": "pseudonym"}]
    asked = [grant(f"g{i}", fields=fields, masks=mask) for i, mask in enumerate(masks)]
    asked.append(grant("g5", fields=["year"]))
    views = subject_views(epoch(*asked), "tax.income", NOW).views
    assert [view.keeps_key for view in views] == [True, False, False, True, False]
    assert [view.key_is_pseudonym for view in views] == [False, True, False, False, False]


def test_all_is_what_is_pinned_where_the_subject_has_more() -> None:
    under = epoch(grant("whole"), grant("pinned")).model_copy(
        update={"pinned": {"whole": ("resident_id", "year"), "pinned": ("year",)}, "views": {"pinned": 41}}
    )
    whole, pinned = subject_views(under, "tax.income", NOW).views
    assert (whole.fields, whole.schema_id, whole.keeps_key) == (None, None, True)
    assert (pinned.fields, pinned.schema_id, pinned.keeps_key) == (("year",), 41, False)


@pytest.mark.parametrize(
    ("now", "active", "since", "until"),
    [
        ("2025-12-31T15:59:59+00:00", [], None, "2026-01-01T00:00:00+08:00"),
        ("2026-02-28T15:59:59+00:00", ["early"], "2026-01-01T00:00:00+08:00", "2026-03-01T00:00:00+08:00"),
        ("2026-02-28T16:00:00+00:00", ["early", "late"], "2026-03-01T00:00:00+08:00", "2026-04-01T00:00:00+08:00"),
        ("2026-03-31T15:59:59+00:00", ["early", "late"], "2026-03-01T00:00:00+08:00", "2026-04-01T00:00:00+08:00"),
        ("2026-03-31T16:00:00+00:00", ["late"], "2026-04-01T00:00:00+08:00", "2027-01-01T00:00:00+08:00"),
        ("2026-12-31T16:00:00+00:00", [], "2027-01-01T00:00:00+08:00", None),
    ],
)
def test_periods_are_whole_days_in_the_city(now: str, active: list[str], since: str | None, until: str | None) -> None:
    asked = epoch(grant("early", until=date(2026, 3, 31)), grant("late", **{"from": date(2026, 3, 1)}, where={}))
    plan = subject_views(asked, "tax.income", datetime.fromisoformat(now))
    assert [g.id for view in plan.views for g in view.grants] == active
    assert plan.valid_from == (datetime.fromisoformat(since) if since else FROM_EVER)
    assert plan.valid_until == (datetime.fromisoformat(until) if until else FOR_EVER)


def test_a_grant_with_a_quota_has_a_view_of_its_own() -> None:
    limited = {"quota": {"records_per_day": 5}}
    plan = subject_views(epoch(grant("a"), grant("b", **limited), grant("c"), grant("d", **limited)), "tax.income", NOW)
    assert [[g.id for g in view.grants] for view in plan.views] == [["a", "c"], ["b"], ["d"]]


def test_a_grant_until_the_last_day_of_the_calendar_never_ends() -> None:
    assert subject_views(epoch(grant("a", until=date.max)), "tax.income", NOW).valid_until == FOR_EVER


def test_an_unknown_subject_has_no_plan() -> None:
    with pytest.raises(KeyError):
        subject_views(epoch(), "tax.unknown", NOW)
