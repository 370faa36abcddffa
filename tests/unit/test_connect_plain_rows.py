"""Rows of Python's values become columns with the same records; what has no texts of one kind goes row by row."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.config import Cursor, SourceConfig
from exchange.connect.page_records import encode
from exchange.connect.plain_rows import PlainRows
from exchange.connect.soft_delete import deletes
from exchange.connect.source import Page
from exchange.connect.sql_source import MANY
from exchange.schema import avro
from tests.rigs.copied import encoder
from tests.rigs.sql_source import source

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}
FINE = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 20}
DAY = {"type": "int", "logicalType": "date"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
CLOCK = {"type": "long", "logicalType": "time-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
EAST = timezone(timedelta(hours=8))
DAYS = [
    f"{year}-{month:02}-{day}"
    for year in (1900, 2000, 2023, 2024)
    for month in range(14)
    for day in (28, 29, 30, 31, 32)
]
TIMES = [
    f"2024-01-02 {clock}" for clock in ("03:04:05", "23:59:59.999999", "24:00:00", "00:60:00", "00:00:60", "00:00:01.5")
]
NUMERALS = (
    *("7", "-7", "0", "007", "-0", "1.0", "1e5", "+1", "-", "", " 1", "٣", "9" * 19, "9" * 20, "1.", ".5", "-0.25"),
    *("NaN", "0x1", "1.5.2", "1-2", "0.125", "0.1234567890123456", "007.50"),
)
TRUTHS = ("true", "FALSE", "True", "1", "0", "t", "11", "tru", "trues", "falsy", "\x11", "\x11rue", "ſ", "")
CLOCKS = ("08:00:00", "08:00:00.5", "08:00:00.1234567", "24:00:00", "08:00", "T08:00:00", "08:00:00Z")
OTHER_TIMES = [f"2024-01-02{end}" for end in ("T03:04:05", "T03:04:05Z", " 03:04", "_03:04:05")]
CASES: dict[str, tuple[Any, str | None, Sequence[Any]]] = {
    "whole numbers": ("long", "whole", [0, -1, 2**63 - 1, 2**63, None]),
    "whole numbers for a double": ("double", "whole", [1, 2**53, 2**53 + 1, 10**15 + 1]),
    "text": ("string", "text", ["", "é𝄞", "a\0b", "\udc80", "\ud800", None]),
    "text for whole numbers": ("long", "text", NUMERALS),
    "text for doubles": ("double", "text", NUMERALS),
    "text for decimals": (DECIMAL, "text", NUMERALS),
    "text for truth": ("boolean", "text", TRUTHS),
    "times of day as text": (CLOCK, "text", CLOCKS),
    "days as text": (DAY, "text", [*DAYS, "20240101", "2024-1-01", "0000-01-01", ""]),
    "times as text": (MICROS, "text", [*TIMES, *OTHER_TIMES]),
    "local times as text": (LOCAL, "text", ["2024-01-02 03:04:05.5", "2024-01-02 03:04:05+08:00", "2024-01-02"]),
    "floats": ("double", "double", [0.1, -0.0, 0.1 + 0.2, 1e300, 5e-324, math.nan, math.inf]),
    "floats and whole numbers": ("double", "double", [0.5, 2**53, 2**53 + 1, -(2**60), 10**400]),
    "floats for decimals": (DECIMAL, "double", [0.25, 1e14, 123456789012345.6, 0.125, 1e22]),
    "floats for fine decimals": (FINE, "double", [0.1234567890123456, 0.12345678901234567, 0.1]),
    "decimals": (DECIMAL, "decimal", [*map(Decimal, ("1.20", "1E+2", "-0.00", "NaN", "0.001"))]),
    "truth": ("boolean", "boolean", [True, False, None]),
    "truth as numbers": ("boolean", "whole", [0, 1, 2]),
    "days": (DAY, "date", [date(1, 1, 1), date(9999, 12, 31)]),
    "times": (LOCAL, "moment", [datetime(2024, 1, 2, 3, 4, 5), datetime(1, 1, 1, 0, 0, 0, 7)]),
    "times with zones": (MICROS, "moment", [datetime(2024, 1, 2, tzinfo=EAST), datetime(2024, 1, 2, tzinfo=UTC)]),
    "nothing": (["null", "long"], "null", [None, None]),
    "several kinds": ("long", None, [1, "2", 3.0]),
    "bytes": ("bytes", None, [b"\xff", b""]),
}  # fmt: skip


@pytest.mark.parametrize(("of", "kind", "values"), CASES.values(), ids=CASES)
def test_columns_make_what_rows_make(of: Any, kind: str | None, values: Sequence[Any]) -> None:
    fields = [{"name": "f0", "type": "long"}, {"name": "f1", "type": of}]
    schema = avro.parse(json.dumps({"type": "record", "name": "R", "fields": fields}))
    config = SourceConfig(subject="a.b", table="t", cursor=Cursor(time="f0", id="f0"), timezone="Asia/Shanghai")
    plain = PlainRows.of(("f0", "f1"), list(enumerate(values)), deletes(None), None)
    assert plain.layout.kinds == ("whole", kind)
    places = [f"row {number}" for number in range(len(values))]
    made, due = (encode(encoder(config, schema, "f0", (), {}), Page(rows, {}, places)) for rows in (plain, [*plain]))
    assert made.values.tolist() == due.values.tolist()
    assert made.keys.tolist() == due.keys.tolist()
    assert sorted(made.rejected) == sorted(due.rejected)


@pytest.mark.parametrize("rows", [MANY - 1, MANY])
def test_a_source_makes_columns_of_many_rows_only(tmp_path: Path, rows: int) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER, at TEXT, v)")
        values = ((number, f"2025-01-01 00:00:00.{number:06}", number / 4) for number in range(rows))
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", values)
    made = source(f"sqlite:///{tmp_path}/a.db")
    made.open({})
    pages = [page.rows for page in made.pages() if page.rows]
    made.close()
    assert {isinstance(some, PlainRows) for some in pages} == {rows == MANY}
    found = [row for some in pages for row in some]
    assert found == [{"id": n, "at": f"2025-01-01 00:00:00.{n:06}", "v": n / 4} for n in range(rows)]
