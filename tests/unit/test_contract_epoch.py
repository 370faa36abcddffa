"""An epoch survives the topic, and of two with one number the first counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exchange.contract.epoch import EpochError, decode, encode, resyncs_after, resyncs_due, same_content, takes_over
from exchange.contract.model import Epoch, Resync
from exchange.contract.period import in_force
from tests.rigs import routing
from tests.rigs.contracts import CONTRACT, loaded

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def epoch(tmp_path: Path) -> Epoch:
    where = CONTRACT + "    where: {year: {ge: 2024, ne: 2025}, filed_on: {eq: null}, status: {in: [filed]}}\n"
    contract = loaded(tmp_path, where).contract
    return Epoch(
        number=3, time=NOW, contract=contract, writers={"tax.income": (1, 2)}, views={"g1": 3}, schemas={}, ledger=4
    )


def test_an_epoch_survives_its_bytes(epoch: Epoch) -> None:
    again = decode(encode(epoch))
    assert again == epoch
    assert again.contract.grants[0].where["filed_on"].operators() == {"eq": None}


def test_its_json_has_the_contracts_own_words(epoch: Epoch) -> None:
    text = encode(epoch).decode()
    assert '"from":"2026-01-01"' in text
    assert '"schema":"schemas/tax/income.avsc"' in text
    assert '"year":{"ne":2025,"ge":2024}' in text


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b"\xff", b'{"number": 0}'])
def test_what_is_no_epoch_stops(value: bytes) -> None:
    with pytest.raises(EpochError):
        decode(value)


def test_the_logs_order_decides(epoch: Epoch) -> None:
    assert takes_over(epoch, None)
    assert not takes_over(epoch, epoch)
    assert takes_over(epoch.model_copy(update={"number": 4}), epoch)
    assert not takes_over(epoch.model_copy(update={"number": 2}), epoch)


def test_number_and_time_are_no_content(epoch: Epoch) -> None:
    later = epoch.model_copy(update={"number": 9, "time": NOW + timedelta(days=1)})
    assert same_content(epoch, later)
    assert same_content(epoch, later.model_copy(update={"former": ("civic",)}))
    assert not same_content(epoch, later.model_copy(update={"views": {"g1": 5}}))


@pytest.mark.parametrize(
    ("now", "grants"),
    [
        (datetime(2025, 12, 31, 15, 59, 59, tzinfo=UTC), 0),
        (datetime(2025, 12, 31, 16, 0, tzinfo=UTC), 1),
        (datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC), 1),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), 0),
    ],
)
def test_days_are_the_citys(epoch: Epoch, now: datetime, grants: int) -> None:
    assert len(in_force(epoch.contract, now)) == grants


def test_a_moment_without_zone_has_no_day(epoch: Epoch) -> None:
    with pytest.raises(ValueError, match="time zone"):
        in_force(epoch.contract, datetime(2026, 1, 1))


def test_what_is_to_be_made_true_goes_over_to_the_grant_that_follows() -> None:
    spring, summer = {"until": "2026-05-31"}, {"reader": "tax", "from": "2026-06-01"}
    asked = Resync(id="tax.epoch-7", grant="tax", again=True, gives=True)
    last = routing.epoch(routing.grant("tax"), key=("id", "year")).model_copy(update={"resyncs": (asked,)})

    def due(*grants: dict[str, str], now: datetime = NOW) -> list[tuple[str, str]]:
        names = ("tax", "next") if len(grants) == 2 else ("next",)
        given = [routing.grant(name, **terms) for name, terms in zip(names, grants, strict=True)]
        after = routing.epoch(*given, number=8, key=("id", "year"))
        after = after.model_copy(update={"resyncs": resyncs_after(last, after)})
        return [(resync.id, grant.id) for resync, grant in resyncs_due(after, now)]

    assert due(summer) == [(asked.id, "next")]
    assert due(spring, summer) == [(asked.id, "next")]
    assert due(summer | {"reader": "other"}) == []  # that one never had anything
    assert due({"until": "2026-06-02"}, summer | {"from": "2026-06-03"}) == [(asked.id, "tax")]
    tomorrow = summer | {"from": "2026-06-03", "where": {"year": {"ge": 2024}}}
    assert due({"until": "2026-06-02"}, tomorrow, now=NOW) == [(asked.id, "tax")]  # the other's is not due yet
    third = datetime(2026, 6, 3, tzinfo=UTC)
    assert due({"until": "2026-06-02"}, tomorrow, now=third) == [(asked.id, "next"), ("next.epoch-8", "next")]
