"""A PostgreSQL gives by COPY what it gives by a query: the same records, rejected rows and progress."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exchange.connect.config import Cursor, SourceConfig
from exchange.connect.copied import CopiedRows
from exchange.connect.source import Page
from exchange.connect.sql_source import SqlSource
from exchange.schema import avro
from tests.rigs.copied import encoder
from tests.rigs.sql_source import run, source

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
DAY = {"type": "int", "logicalType": "date"}
MOOD = {"type": "enum", "name": "Mood", "symbols": ["sad", "ok"]}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
TYPES: dict[str, tuple[str, Any, str]] = {
    "id": ("bigint", "long", "i"),
    "at": ("timestamptz", MICROS, "timestamptz '2026-01-01' + i * interval '1.5 s'"),
    "person": ("text", "string", "'p' || i"),
    "small": ("smallint", ["null", "int"], "CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN -32768 ELSE i END"),
    "amount": ("numeric", ["null", MONEY], "CASE i % 7 WHEN 0 THEN 'NaN' WHEN 1 THEN 1.005 ELSE i / 4.0 END"),
    "large": ("numeric(40, 2)", {**MONEY, "precision": 40}, "12345678901234567890123456789.25 * (i % 2)"),
    "single": ("real", "float", "i / 7.0::real"),
    "double": ("float8", "double", "CASE i % 9 WHEN 0 THEN 'infinity' ELSE i / 3.0::float8 END"),
    "paid": ("boolean", "boolean", "i % 2 = 0"),
    "born": ("date", DAY, "CASE i % 11 WHEN 0 THEN 'infinity' ELSE '2000-02-28'::date + i END"),
    "clock": ("time", {"type": "long", "logicalType": "time-micros"}, "time '00:00' + i * interval '1 h 0.25 s'"),
    "local": ("timestamp", MICROS, "timestamp '1899-12-31' + i * interval '10 years 1.1 s'"),
    "code": ("uuid", "string", "md5(i::text)::uuid"),
    "data": ("bytea", "bytes", "decode(md5(i::text), 'hex')"),
    "mood": ("mood", MOOD, "(ARRAY['sad', 'ok', 'new'])[1 + i % 3]::mood"),
    "note": ("text", ["null", "string"], r"E'a\tb\\n\n\u00e9' || CASE i % 13 WHEN 0 THEN repeat('x', 950000) END"),
}  # fmt: skip
SCHEMA = avro.parse(
    json.dumps({"type": "record", "name": "R", "fields": [{"name": n, "type": of} for n, (_, of, _) in TYPES.items()]})
)


def pages(of: SqlSource) -> list[Page]:
    of.open({})
    found = list(of.pages())
    of.close()
    return found


@pytest.mark.parametrize(
    ("time", "row_id"),
    [
        ("at", "id"),
        ("local", "id"),
        ("born", "id"),
        ("id", "person"),
        ("person", "id"),
        ("at", "code"),
        ("at", "amount"),
    ],
)
def test_copies_equal_queries(postgres_database: str, time: str, row_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ", ".join(f"{name} {of}" for name, (of, _, _) in TYPES.items())
    values = ", ".join(value for _, _, value in TYPES.values())
    run(
        postgres_database,
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'new')",
        f"CREATE TABLE t ({columns})",
        f"INSERT INTO t SELECT {values} FROM generate_series(1, 60) i",
        "UPDATE t SET at = '-infinity' WHERE id = 7",
        "UPDATE t SET at = '0044-03-15 BC' WHERE id = 8",
    )
    config = SourceConfig(subject="a.b", table="t", cursor=Cursor(time=time, id=row_id), timezone="Asia/Shanghai")
    writer = encoder(config, SCHEMA, "person", ("person", "id"), {})
    options: dict[str, Any] = {"cursor": config.cursor, "timezone": "Asia/Shanghai", "page_rows": 25}
    copied = pages(source(postgres_database, **options, fetch_rows=40))
    assert all(isinstance(page.rows, CopiedRows) for page in copied if page.rows)
    monkeypatch.setattr(SqlSource, "_copy", lambda *_: None)
    queried = pages(source(postgres_database, **options, fetch_rows=40))
    assert sum(len(page.rows) for page in queried) == 60
    for one, other in zip(copied, queried, strict=True):
        assert (one.progress, list(one.places), one.oldest) == (other.progress, list(other.places), other.oldest)
        made, due = writer.encode(one), writer.encode(other)
        assert sorted(made.rejected) == sorted(due.rejected)
        assert made.rows.tolist() == due.rows.tolist()
        for part in ("keys", "values", "headers"):
            assert getattr(made, part).tolist() == getattr(due, part).tolist()
