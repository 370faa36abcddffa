"""The demo's verdict: every kind of disagreement makes it fail, with words for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from exchange.audit.questions import PartitionBalance
from exchange.audit.reconcile import Comparison
from exchange.contract.model import Grant
from exchange.demo.city.expect import Verdict
from exchange.demo.city.households import HOUSEHOLDS
from exchange.demo.city.make import Held, Manifest, Tally
from exchange.demo.summary import Facts
from exchange.demo.worked_cases import WorkedCase

GRANT = Grant.model_validate(
    {
        "id": "g1",
        "subject": "tax.arrears",
        "reader": "credit",
        "purpose": {"code": "public-credit", "basis": "law", "text": "text"},
        "fields": "all",
        "from": date(2025, 1, 1),
        "until": date(2029, 12, 31),
    }
)
PARTITION = PartitionBalance(
    subject="tax.arrears", partition=0, entries=1, records=12, quarantined=2, replayed=0, twice=0, unauthorised=0
)
GOOD = Facts(
    manifest=Manifest(
        seed=1,
        records=11,
        complete=True,
        witness="",
        registers={"tax.arrears": Held(rows=11, bad=(3,), records=10, rejected=1)},
    ),
    planted=2,
    verdicts=[Verdict(GRANT, Tally(rows=10, digest=5), Tally(rows=10, digest=5))],
    exchanged=[],
    partitions=[PARTITION],
    unbalanced=0,
    comparisons=[Comparison("subject.tax.arrears", 0, ledger=12, kafka=12, pending=0)],
    rejected={"tax.arrears": 1},
    disclosures=[],
    cases=[],
    exchanged_by_cases=0,
)
UNFOUND = WorkedCase(next(each for each in HOUSEHOLDS if each.outcome), None, [])
"""A case that has no finding, and should have one."""


def test_nothing_is_wrong_where_all_agrees() -> None:
    assert GOOD.faults() == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"verdicts": [Verdict(GRANT, Tally(rows=10, digest=5), Tally(rows=9, digest=5))]}, "9 rows"),
        ({"verdicts": [Verdict(GRANT, Tally(rows=10, digest=5), Tally(rows=10, digest=6))]}, "other contents"),
        ({"planted": 1, "partitions": [replace(PARTITION, records=11)]}, "quarantined"),
        ({"rejected": {"tax.arrears": 0}}, "rejected"),
        ({"partitions": [replace(PARTITION, records=13)]}, "published"),
        ({"partitions": [replace(PARTITION, twice=1)]}, "balance"),
        ({"partitions": [replace(PARTITION, unauthorised=1)]}, "balance"),
        ({"unbalanced": 1}, "balance"),
        ({"exchanged_by_cases": 1}, "published"),
        ({"cases": [UNFOUND]}, "not what was planted"),
        ({"comparisons": [Comparison("subject.tax.arrears", 0, ledger=12, kafka=11, pending=0)]}, "differ"),
        ({"comparisons": [Comparison("subject.tax.arrears", 0, ledger=12, kafka=12, pending=1)]}, "differ"),
    ],
)
def test_each_disagreement_is_a_fault(change: dict[str, Any], word: str) -> None:
    faults = replace(GOOD, **change).faults()
    assert len(faults) == 1
    assert word in faults[0]
