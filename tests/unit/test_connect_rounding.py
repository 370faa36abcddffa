"""A loss is declared by contract and connector, or there is none; and the ledger's contract tells of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.connect.coerce import RowRejectedError
from exchange.connect.convert import converter
from exchange.connect.rounding import UndeclaredLossError, coarser, declared
from exchange.contract.load import ContractError
from exchange.contract.model import Epoch, Subject
from exchange.ledger.store import _grant_row
from exchange.schema import avro
from tests.rigs import contracts
from tests.unit.test_connect_values import DATE, DECIMAL, LOCAL, MICROS, MILLIS, TIME
from tests.unit.test_connect_values import convert as exactly

ZONE = ZoneInfo("Asia/Shanghai")
LONG = "long"


def schema_of(kind: Any) -> avro.Schema:
    return avro.parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}))


def rounded(kind: Any, how: Any, value: Any) -> Any:
    schema = schema_of(kind)
    before = {"f": coarser(schema.fields["f"], how, ZONE)}
    return converter(schema, {}, timezone="Asia/Shanghai", before=before)({"f": value})["f"]


def subject(**rounding: Any) -> Subject:
    return Subject.model_validate(
        {"name": "b", "owner": "a", "title": {"zh": "a", "en": "a"}, "schema": "x", "share": "open",
         "entity": {"field": "f", "kind": "person"}, "rounded": rounding}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "how", "value", "expected"),
    [
        (MILLIS, "millis", datetime(2025, 1, 1, 0, 0, 0, 999_999, UTC), datetime(2025, 1, 1, 0, 0, 0, 999_000, UTC)),
        (MILLIS, "millis", datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
         datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)),
        (MILLIS, "seconds", datetime(2025, 1, 1, 0, 0, 0, 999_999, UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        (MILLIS, "millis", "2025-01-01 08:00:00.123456789", datetime(2025, 1, 1, 0, 0, 0, 123_000, UTC)),
        (MICROS, "micros", "2025-01-01T00:00:00.123456999Z", datetime(2025, 1, 1, 0, 0, 0, 123_456, UTC)),
        (LOCAL, "millis", datetime(2025, 1, 1, 0, 0, 0, 1_999), datetime(2025, 1, 1, 0, 0, 0, 1_000)),
        (["null", MILLIS], "millis", None, None),
        (TIME, "millis", time(1, 2, 3, 4_567), time(1, 2, 3, 4_000)),
        (TIME, "seconds", "01:02:03.9", time(1, 2, 3)),
        (DATE, "days", datetime(2025, 1, 1, 23, 59), date(2025, 1, 1)),
        (DATE, "days", datetime(2025, 1, 1, 23, 59, tzinfo=UTC), date(2025, 1, 2)),
        (DATE, "days", "2025-01-01 23:59:00", date(2025, 1, 1)),
        (DATE, "days", date(2025, 1, 1), date(2025, 1, 1)),
        (DECIMAL, 2, Decimal("0.125"), Decimal("0.13")),
        (DECIMAL, 2, Decimal("-0.125"), Decimal("-0.13")),
        (DECIMAL, 2, Decimal("0.135"), Decimal("0.14")),
        (DECIMAL, 0, Decimal("-2.5"), Decimal("-3")),
        (DECIMAL, 2, Decimal("0.1249999999999999999999999999999999999"), Decimal("0.12")),
        (DECIMAL, 2, 0.1 + 0.2, Decimal("0.30")),
        (DECIMAL, 2, "1.005", Decimal("1.01")),
        (DECIMAL, 2, 7, Decimal(7)),
        (DECIMAL, 2, Decimal("1E+3"), Decimal(1000)),
        (LONG, 0, Decimal("2.5"), 3),
        (LONG, 0, -2.5, -3),
        (LONG, 0, "7", 7),
        (LONG, 0, "0.0", 0),
    ],
)  # fmt: skip
def test_a_declared_loss(kind: Any, how: Any, value: Any, expected: Any) -> None:
    assert rounded(kind, how, value) == expected


@pytest.mark.parametrize(
    ("kind", "how", "value"),
    [
        (DECIMAL, 2, Decimal("9999.995")),  # has seven digits, rounded
        (DECIMAL, 2, Decimal("NaN")),
        (DECIMAL, 2, float("inf")),
        (DECIMAL, 2, "1.5E+999999999"),
        (DECIMAL, 2, f"1e-{10**20}"),
        (DECIMAL, 2, "a"),
        (DECIMAL, 2, None),
        (MILLIS, "millis", "2025-13-01 00:00:00.123456"),
        (MILLIS, "millis", date(2025, 1, 1)),
        (MILLIS, "millis", "2025-03-01+08:00"),
        (TIME, "millis", "25:00"),
        (TIME, "millis", "1030"),
        (DATE, "days", "yesterday evening"),
        (DATE, "days", "2025-03-01\t08:00"),
        (DATE, "days", datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
    ],
)
def test_what_does_not_fit_rounded_either_is_rejected(kind: Any, how: Any, value: Any) -> None:
    with pytest.raises(RowRejectedError):
        rounded(kind, how, value)


@given(st.one_of(st.decimals(allow_nan=False, allow_infinity=False, places=40), st.decimals(), st.floats()))
def test_without_a_declared_loss_no_decimal_is_changed(value: Any) -> None:
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 2}
    try:
        found = exactly(kind, value)
    except RowRejectedError:
        return
    assert found == (Decimal(repr(value)) if isinstance(value, float) else value)


@given(st.datetimes(timezones=st.just(UTC)))
def test_without_a_declared_loss_no_time_is_changed(value: datetime) -> None:
    try:
        assert exactly(MILLIS, value) == value
    except RowRejectedError:
        assert value.microsecond % 1000


@given(st.decimals(min_value=-9999, max_value=9999, allow_nan=False))
def test_a_rounded_decimal_is_the_nearest(value: Decimal) -> None:
    assert abs(rounded(DECIMAL, 2, value) - value) <= Decimal("0.005")


def test_a_decimal_of_many_digits_is_not_rounded_on_the_way() -> None:
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 10}
    with pytest.raises(RowRejectedError, match="more than 10 decimals"):
        exactly(kind, Decimal("12345678901234567890123456.12345678901"))


@pytest.mark.parametrize(
    ("kind", "how", "message"),
    [
        (MILLIS, "micros", "f is rounded to millis or seconds"),
        (MILLIS, 3, "f is rounded to millis or seconds"),
        (DATE, "seconds", "f is rounded to days"),
        (DECIMAL, 3, "f is rounded to a number of decimals, 2 at most"),
        (DECIMAL, "millis", "f is rounded to a number of decimals, 2 at most"),
        ("string", 2, "f is string: there is nothing to round"),
        (MILLIS, "seconds", "the contract does not say that f of a.b is rounded so"),
        (DECIMAL, 0, "the contract does not say that f of a.b is rounded so"),
    ],
)
def test_a_loss_that_cannot_be_or_is_not_in_the_contract_is_refused(kind: Any, how: Any, message: str) -> None:
    with pytest.raises(UndeclaredLossError, match=message):
        declared({"f": how}, subject(f="millis"), schema_of(kind))


def test_a_loss_that_the_contract_declares() -> None:
    declared({"f": "millis"}, subject(f="millis"), schema_of(MILLIS))


def test_a_contract_without_loss_is_published_as_before() -> None:
    assert "rounded" not in subject().model_dump_json()
    assert '"rounded":{"f":2}' in subject(f=2).model_dump_json()


def test_the_contract_names_fields_and_units_that_there_are(tmp_path: Path) -> None:
    text = contracts.CONTRACT.replace(
        "    share: conditional\n",
        "    share: conditional\n    rounded: {amount: 3, filed_on: days, status: 1, amunt: 2}\n",
    )
    with pytest.raises(ContractError) as caught:
        contracts.loaded(tmp_path, text)
    said = str(caught.value)
    assert "rounded.amount: error: amount is rounded to a number of decimals, 2 at most" in said
    assert "rounded.status: error: status is enum: there is nothing to round" in said
    assert "did you mean amount" in said
    assert "filed_on" not in said


def test_the_ledgers_contract_shows_the_loss_to_whoever_audits() -> None:
    grant = {"id": "g1", "subject": "a.b", "reader": "c", "purpose": {"code": "p", "basis": "b", "text": "t"},
             "from": date(2026, 1, 1), "until": date(2026, 12, 31)}  # fmt: skip

    def fields(**of: Any) -> Any:
        contract = {
            "version": 1, "departments": [], "subjects": [subject(f="millis", g=2)], "grants": [{**grant, **of}]
        }  # fmt: skip
        made = Epoch.model_validate(
            {"number": 1, "time": datetime(2026, 1, 1, tzinfo=UTC), "contract": contract, "writers": {"a.b": (1,)},
             "views": {}, "schemas": {}, "ledger": 2}
        )  # fmt: skip
        return json.loads(_grant_row(made, made.contract.grants[0])["fields"])

    assert fields(fields="all") == "all (f cut to millis, g rounded to 2 decimals)"
    assert fields(fields=("f", "h")) == ["f (cut to millis)", "h"]
    assert fields(fields=("f", "g"), masks={"f": "year"}) == ["f (year)", "g (rounded to 2 decimals)"]
