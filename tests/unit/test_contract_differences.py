"""Changes of a contract are told in words that people understand."""

from __future__ import annotations

from pathlib import Path

from exchange.plan.differences import differences
from tests.rigs.contracts import CONTRACT, loaded


def test_subjects_and_departments(tmp_path: Path) -> None:
    before = loaded(tmp_path / "a", CONTRACT).contract
    limited = "en: Revenue}\n    rates: {producer_byte_rate: 5}"
    after = CONTRACT.replace("conditional", "open").replace("en: Tax}", limited)
    after = after.replace("departments:", "rates: {consumer_byte_rate: 9}\ndepartments:")
    assert differences(before, loaded(tmp_path / "b", after).contract) == [
        "contract: rates.consumer_byte_rate nothing → 9",
        "department tax: title.en Tax → Revenue; rates.producer_byte_rate nothing → 5",
        "subject tax.income: share conditional → open",
    ]


def test_a_mapping_is_told_in_words(tmp_path: Path) -> None:
    after = loaded(tmp_path, CONTRACT).contract
    [subject] = after.subjects
    rounded = subject.model_copy(update={"rounded": {"at": "millis", "amount": 2}})
    before = after.model_copy(update={"subjects": (rounded,)})
    assert differences(before, after) == ["subject tax.income: rounded at: millis, amount: 2 → nothing"]


def test_what_is_new_and_what_is_gone(tmp_path: Path) -> None:
    after = loaded(tmp_path, CONTRACT).contract
    before = after.model_copy(update={"subjects": (), "grants": (), "departments": after.departments[:1]})
    assert differences(before, after) == ["department civil is added", "subject tax.income is added"]
    assert differences(after, before) == ["department civil is removed", "subject tax.income is removed"]
    assert len(differences(None, after)) == 3
    assert differences(after, after) == []
