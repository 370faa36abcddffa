"""Debezium's envelope becomes rows: each operation, each encoding exactly, and nothing that the log did not have."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from exchange.connect.coerce import RowRejectedError
from exchange.connect.debezium.encodings import declared, described, unavailable
from exchange.connect.debezium.envelope import Envelope
from exchange.connect.debezium.topic_config import Debezium
from exchange.connect.source import Bad, Deleted
from tests.rigs import keyed

GONE = "__debezium_unavailable_value"


def envelope(
    *, key: tuple[str, ...] | None = ("vin", "year"), numbers: tuple[str, ...] = (), **config: Any
) -> Envelope:
    its = Debezium.model_validate({"bootstrap_servers": "x:1", "topic": "t", **config})
    return Envelope(its, keyed.encoder().name, key, ("vin", "year", "state"), ("vin", "year"), numbers)


def row(vin: str = "v1", year: int = 2020, state: str | None = "on", **more: Any) -> dict[str, Any]:
    return {"vin": vin, "year": year, "state": state, **more}


def message(op: str, before: Any = None, after: Any = None, **more: Any) -> bytes:
    return json.dumps({"op": op, "before": before, "after": after, "source": {"lsn": 1}, **more}).encode()


def key(**columns: Any) -> bytes:
    return json.dumps(columns).encode()


def reason(change: Any) -> str:
    assert [type(each) for each in change] == [Bad]
    return str(change[0].reason)


@pytest.mark.parametrize("op", ["c", "r"])
def test_an_insert_and_a_snapshot_give_the_row(op: str) -> None:
    assert envelope().change(None, message(op, None, row(colour="red"))) == [row()]


def test_an_update_gives_the_row_and_deletes_the_one_of_another_key() -> None:
    read = envelope()
    assert read.change(None, message("u", row(state="off"), row())) == [row()]
    assert read.change(None, message("u", row(vin="v0"), row())) == [Deleted(row(vin="v0")), row()]


def test_an_update_without_its_row_before_needs_the_key_in_the_record_s_key() -> None:
    read = envelope()
    assert read.change(key(vin="v1", year=2020), message("u", None, row())) == [row()]
    for own in (None, key(id=5)):
        assert "REPLICA IDENTITY FULL" in reason(read.change(own, message("u", None, row())))


def test_a_deletion_names_its_row_by_what_it_has() -> None:
    read = envelope()
    assert read.change(None, message("d", row())) == [Deleted(row())]
    partly = {"vin": None, "year": 2020, "state": None}
    assert read.change(key(vin="v1", year=2020), message("d", partly)) == [
        Deleted({"year": 2020, "state": None, "vin": "v1"})
    ]
    assert "does not name its row" in reason(read.change(key(id=5), message("d", partly)))
    assert "does not name its row" in reason(read.change(None, message("d")))


def test_a_transform_s_deletion_has_all_columns_and_needs_some() -> None:
    read = envelope(key=None)
    assert read.change(None, message("d", row(colour="red"))) == [Deleted(row(colour="red"))]
    assert "does not name its row" in reason(read.change(None, message("d")))


def test_what_is_no_row_gives_none_and_truncate_says_so() -> None:
    read = envelope()
    assert read.change(key(vin="v1"), None) == []
    assert read.change(None, json.dumps({"status": "BEGIN", "id": "571"}).encode()) == []
    assert read.change(None, message("m")) == []
    assert read.change(None, message("t")) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 5_000, "not JSON"),
        (b'{"op": "c", "after": {"vin": "secret", "year": NaN}}', "not JSON"),
        (b'["secret"]', "not an envelope"),
        (b'{"vin": "secret"}', "ExtractNewRecordState"),
        (message("x"), "an operation"),
        (message("c"), "without `after`"),
        (message("c", None, {"vin": "secret"}), "no column year"),
        (
            json.dumps({"schema": {"type": "struct"}, "payload": {"op": "c", "after": row("secret")}}).encode(),
            "a schema",
        ),
    ],
)
def test_a_bad_message_is_rejected_without_its_content(value: bytes, why: str) -> None:
    said = reason(envelope().change(None, value))
    assert why in said
    assert "secret" not in said


def test_a_schema_says_how_the_columns_are_written() -> None:
    fields = [
        {"field": "vin", "type": "string"},
        {"field": "year", "type": "int32", "name": "io.debezium.time.Year"},
        {"field": "state", "type": "int64", "optional": True, "name": "io.debezium.time.MicroTimestamp"},
    ]
    struct = [{"field": part, "type": "struct", "fields": fields} for part in ("before", "after")]
    payload = json.loads(message("u", row(state=None), row(state=1)))
    read = envelope().change(None, json.dumps({"schema": {"fields": struct}, "payload": payload}).encode())
    assert read == [row(state=datetime(1970, 1, 1, 0, 0, 0, 1))]


def test_the_record_s_own_key_is_converted_by_its_schema() -> None:
    fields = [{"field": "vin", "type": "bytes"}, {"field": "year", "type": "int32"}]
    own = {
        "schema": {"type": "struct", "fields": fields},
        "payload": {"vin": base64.b64encode(b"v1").decode(), "year": 1},
    }
    assert envelope().change(json.dumps(own).encode(), message("d")) == [Deleted({"vin": b"v1", "year": 1})]


def test_without_a_schema_the_file_says_it_and_nothing_is_guessed() -> None:
    read = envelope(numbers=("year",), types={"state": "Date"})
    assert read.change(None, message("c", None, row(state=1))) == [row(state=date(1970, 1, 2))]
    assert "say under `types`" in reason(read.change(None, message("c", None, row(year="1234", state=1))))
    assert envelope(numbers=("year",), types={"year": "Decimal(0)"}).change(
        None, message("c", None, row(year="B+Q="))
    ) == [row(year=Decimal(2020))]


@pytest.mark.parametrize(
    "value", [GONE, base64.b64encode(GONE.encode()).decode(), [GONE], {GONE: GONE}, list(GONE.encode())]
)
def test_a_value_that_the_log_did_not_have_is_never_published(value: Any) -> None:
    said = reason(envelope().change(key(vin="v1", year=2020), message("u", None, row(state=value))))
    assert "REPLICA IDENTITY FULL" in said
    unneeded = message("u", None, row(note=value))
    assert envelope().change(key(vin="v1", year=2020), unneeded) == [row()], "a column that is not published may lack"
    assert envelope().change(None, message("d", row(state=value))) == [Deleted({"vin": "v1", "year": 2020})]


def test_only_the_placeholder_is_unavailable() -> None:
    is_unavailable = unavailable("gone")
    assert is_unavailable("gone")
    assert is_unavailable(["9319e1a6-47aa-3d8d-bf1d-9b0e1ee45a5f"]) is False
    for value in ("gone!", [], {}, ["gone", "there"], 0, None, [103], True):
        assert not is_unavailable(value)


LOGICAL = "org.apache.kafka.connect.data."
TIMES = "io.debezium.time."


@pytest.mark.parametrize(
    ("schema", "value", "wanted"),
    [
        ({"type": "int32", "name": TIMES + "Date"}, -1, date(1969, 12, 31)),
        ({"type": "int32", "name": LOGICAL + "Date"}, 20_000, date(2024, 10, 4)),
        ({"type": "int32", "name": TIMES + "Time"}, 86_399_999, time(23, 59, 59, 999_000)),
        ({"type": "int64", "name": TIMES + "MicroTime"}, 1, time(0, 0, 0, 1)),
        ({"type": "int64", "name": TIMES + "NanoTime"}, 1_000, time(0, 0, 0, 1)),
        ({"type": "int64", "name": TIMES + "Timestamp"}, 1_529_476_623_000, datetime(2018, 6, 20, 6, 37, 3)),
        ({"type": "int64", "name": LOGICAL + "Timestamp"}, -1, datetime(1969, 12, 31, 23, 59, 59, 999_000)),
        ({"type": "int64", "name": TIMES + "NanoTimestamp"}, 2_000, datetime(1970, 1, 1, 0, 0, 0, 2)),
        ({"type": "string", "name": TIMES + "ZonedTimestamp"}, "2018-06-20T06:37:03Z", "2018-06-20T06:37:03Z"),
        ({"type": "bytes", "name": LOGICAL + "Decimal", "parameters": {"scale": "2"}}, "AfQ=", Decimal("5.00")),
        ({"type": "bytes", "name": LOGICAL + "Decimal", "parameters": {"scale": "2"}}, "/w==", Decimal("-0.01")),
        (
            {"type": "bytes", "name": LOGICAL + "Decimal", "parameters": {"scale": "0"}},
            "1234",
            Decimal(0xD76DF8 - (1 << 24)),
        ),
        ({"type": "bytes", "name": LOGICAL + "Decimal", "parameters": {"scale": "2"}}, Decimal("5.1"), Decimal("5.1")),
        (
            {"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"},
            {"scale": 3, "value": "AQ=="},
            Decimal("0.001"),
        ),
        ({"type": "bytes"}, "AQI=", b"\1\2"),
        ({"type": "bytes", "name": "io.debezium.data.Bits"}, "AQ==", b"\1"),
        ({"type": "array", "items": {"type": "int32", "name": TIMES + "Date"}}, [0, None], [date(1970, 1, 1), None]),
        ({"type": "map", "values": {"type": "bytes"}}, {"a": "AQ=="}, {"a": b"\1"}),
        ({"type": "struct", "fields": [{"field": "wkb", "type": "bytes"}]}, {"wkb": "AQ=="}, {"wkb": b"\1"}),
        ({"type": "int64"}, 7, 7),
        ({"type": "int32", "name": TIMES + "Date"}, None, None),
    ],
)
def test_each_encoding_is_converted_exactly(schema: Mapping[str, Any], value: Any, wanted: Any) -> None:
    found = described(schema)(value)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ("Date", "2020-01-01"),
        ("Date", True),
        ("Date", 10**9),
        ("MicroTimestamp", 10**20),
        ("NanoTimestamp", 1),
        ("Time", 86_400_000),
        ("Time", -1),
        ("NanoTime", 1),
        ("Decimal(2)", "not base64"),
        ("Decimal(2)", ""),
        ("Decimal(2)", True),
        ("Decimal(2)", base64.b64encode(bytes(401)).decode()),
        ("Bytes", 1),
        ("Text", 1),
    ],
)
def test_what_is_not_so_encoded_is_rejected(how: str, value: Any) -> None:
    with pytest.raises(RowRejectedError):
        declared(how)(value)


@pytest.mark.parametrize("days", [-719_162, -1, 0, 19_000, 2_932_896])
def test_days_and_moments_agree(days: int) -> None:
    at = declared("MicroTimestamp")(days * 86_400_000_000)
    assert at.date() == declared("Date")(days)
    assert (at.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days == days
