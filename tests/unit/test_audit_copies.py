"""What `exchange audit copies` makes of the contract and of what connectors report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from exchange.audit.copy_list import SILENT, CopyStatus, compare
from exchange.copies import Copy, copies, key_value
from tests.rigs.routing import SUBJECT, epoch, grant

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ENDED = {"until": date(2026, 5, 1), "after": "delete"}


def copy(**changes: Any) -> Copy:
    said: dict[str, Any] = {
        "subject": SUBJECT, "grant": "tax", "until": date(2026, 12, 31), "deletes": True, "rows": 5,
        "changed": NOW, "due": None, "done": None, "time": NOW,
    }  # fmt: skip
    return Copy(**said | changes)


def one(*reports: Copy, **grants: dict[str, Any]) -> CopyStatus:
    contract = epoch(*(grant(name, **changes) for name, changes in grants.items())).contract
    [status] = compare(contract, {"tax": reports}, NOW)
    return status


def test_a_report_is_shown_with_its_grant() -> None:
    status = one(copy(), tax={})
    assert (status.grant, status.is_in_force, status.rows, status.deletion, status.is_silent) == (
        "tax", True, 5, "", False,
    )  # fmt: skip


def test_who_does_not_report_is_named() -> None:
    assert one(tax={}).reported is None
    assert one(tax={}).is_silent
    assert one(copy(time=NOW - SILENT - timedelta(seconds=1)), tax={}).is_silent
    assert compare(epoch(grant("tax", **{"from": date(2026, 7, 1)})).contract, {"tax": []}, NOW) == []


def test_a_deletion_is_due_even_if_the_connector_does_not_know() -> None:
    midnight = datetime(2026, 5, 1, 16, tzinfo=UTC)
    assert (one(tax=ENDED).deletion, one(tax=ENDED).since) == ("due", midnight)
    assert one(copy(), tax=ENDED).deletion == "due"
    assert one(copy()).deletion == "due"  # it was revoked
    assert one(copy(deletes=False)).deletion == ""
    assert one(copy(), tax=ENDED | {"after": "keep"}).deletion == ""


def test_a_deletion_that_was_done_says_when() -> None:
    status = one(copy(due=NOW, done=NOW + timedelta(seconds=1), rows=0), tax=ENDED)
    assert (status.deletion, status.since, status.rows) == ("done", NOW + timedelta(seconds=1), 0)


def test_what_a_department_writes_itself_is_a_report_or_nothing() -> None:
    key, value = key_value(copy())
    other = copy(subject="office.other")
    records = {key: value, b"office.income/line": b"7", b"copy:x": b"{", b"copy:office.fake": key_value(other)[1]}
    assert copies(records) == [copy()]
    assert copies({key: value[:-1] + b', "more": 1}'}) == [copy()]
