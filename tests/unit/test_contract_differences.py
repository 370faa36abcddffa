"""Changes of a contract are told in words that people understand."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.contract.differences import differences
from tests.unit.contract_files import CONTRACT, loaded


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "fields: [resident_id, amount]",
            "fields: [resident_id, year, status]",
            "gains 2 fields: year, status; loses 1 field: amount",
        ),
        ("fields: [resident_id, amount]", "fields: all", "gains every field: the whole record"),
        ("fields: [resident_id, amount]", "fields: [amount, resident_id]", "names its fields in another order"),
        ("until: 2026-12-31", "until: 2027-06-30", "until 2026-12-31 → 2027-06-30"),
        ("code: aid", "code: review", "purpose.code aid → review"),
        (
            "until: 2026-12-31",
            "until: 2026-12-31\n    where: {year: {ge: 2024, lt: 2026}}",
            "where nothing → year ge 2024 and year lt 2026",
        ),
        (
            "until: 2026-12-31",
            "until: 2026-12-31\n    where: {any: [{year: {ge: 2024}}, {status: {eq: late}}], not: {year: {eq: 2020}}}",
            "where nothing → (year ge 2024 or status eq late) and not (year eq 2020)",
        ),
        (
            "until: 2026-12-31",
            "until: 2026-12-31\n    masks: {resident_id: {kind: partial, last: 4}, amount: null}",
            "gains a mask: resident_id by partial (first 0, last 4); gains a mask: amount by null",
        ),
        (
            "until: 2026-12-31",
            "until: 2026-12-31\n    quota: {records_per_day: 5}",
            "quota.records_per_day None → 5",
        ),
    ],
)
def test_a_changed_grant(tmp_path: Path, old: str, new: str, told: str) -> None:
    before = loaded(tmp_path / "a", CONTRACT).contract
    after = loaded(tmp_path / "b", CONTRACT.replace(old, new)).contract
    assert differences(before, after) == [f"grant g1: {told}"]


def test_all_fields_become_few(tmp_path: Path) -> None:
    before = loaded(tmp_path / "a", CONTRACT.replace("[resident_id, amount]", "all")).contract
    after = loaded(tmp_path / "b", CONTRACT).contract
    assert differences(before, after) == ["grant g1: loses all fields but resident_id, amount"]


def test_masks_that_change_and_go(tmp_path: Path) -> None:
    masked = CONTRACT + "    masks: {resident_id: pseudonym, amount: {kind: range, bounds: [0, 9.5]}}\n"
    before = loaded(tmp_path / "a", masked).contract
    after = loaded(tmp_path / "b", CONTRACT + "    masks: {resident_id: redact}\n").contract
    assert differences(before, after) == [
        "grant g1: mask of resident_id pseudonym → redact; loses the mask of amount",
    ]


def test_subjects_and_departments(tmp_path: Path) -> None:
    before = loaded(tmp_path / "a", CONTRACT).contract
    after = loaded(tmp_path / "b", CONTRACT.replace("conditional", "open").replace("en: Tax}", "en: Revenue}")).contract
    assert differences(before, after) == [
        "department tax: title.en Tax → Revenue",
        "subject tax.income: share conditional → open",
    ]


def test_what_is_new_and_what_is_gone(tmp_path: Path) -> None:
    without = CONTRACT[: CONTRACT.index("grants:")]
    after, before = loaded(tmp_path / "a", CONTRACT).contract, loaded(tmp_path / "b", without).contract
    assert differences(before, after) == [
        "grant g1 is added: civil gets 2 fields (resident_id, amount) of tax.income, "
        "from 2026-01-01 until 2026-12-31, for aid"
    ]
    assert differences(after, before) == ["grant g1 is removed: civil no longer gets tax.income"]
    assert len(differences(None, after)) == 4
    assert differences(after, after) == []
