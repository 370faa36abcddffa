"""Deleted rows as records: what the encoder makes of them, by every way in which a source says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exchange.connect.config import Csv, Database, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.file_source import FileSource
from exchange.connect.row_key import NoRowKeyError
from exchange.connect.source import Deleted, Page
from exchange.connect.sql_source import SqlSource
from exchange.names import ROW_HEADER
from exchange.records.build import encode_headers
from exchange.schema import wire
from tests.rigs.drops import reader
from tests.rigs.keyed import SOFT, Table, encoder, name


def test_a_deletion_names_its_row_in_a_header() -> None:
    made = encoder().encode(Page([{"vin": "a", "year": 1, "state": None}, Deleted({"vin": "a", "year": "1"})], {}))
    assert made.rejected == []
    assert made.keys.tolist() == [b"a", b"a"]
    assert made.values.tolist()[1] is None
    assert made.headers.tolist() == [b"\0", encode_headers({ROW_HEADER: wire.pack(7, name("a", 1))})]


def test_columns_name_the_key_of_a_deleted_row_too() -> None:
    made = encoder({"vin": "number"}).encode(Page([Deleted({"number": "a", "year": 1})], {}))
    assert made.keys.tolist() == [b"a"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"year": 1}, "vin: missing"),
        ({"vin": None, "year": 1}, "vin: null where a value is due"),
        ({"vin": "a", "year": "secret"}, "year: str where a whole number is due"),
        ({"vin": "\udcff", "year": 1}, "vin: text that is not valid Unicode"),
        ({"vin": "v" * 5000, "year": 1}, "a key of more than 4096 bytes"),
        ("secret", "str, not a mapping"),
    ],
)
def test_a_key_that_is_not_valid_is_rejected(row: Any, reason: str) -> None:
    made = encoder().encode(Page([Deleted(row)], {}, ["line 1"]))
    assert (made.keys.tolist(), made.rejected) == ([], [("line 1", reason)])


def test_a_transform_maps_deleted_rows_and_may_skip_them() -> None:
    def transform(row: Any) -> Any:
        return {"vin": row["no"], "year": 1} if row["no"] != "skip" else None

    made = encoder(transform=transform).encode(Page([Deleted({"no": no}) for no in ("a", "skip")] + [Deleted({})], {}))
    assert made.keys.tolist() == [b"a"]
    assert [reason for _, reason in made.rejected] == ["transform raised KeyError"]


def test_a_deletion_of_a_subject_without_key_stops_the_source() -> None:
    with pytest.raises(NoRowKeyError) as raised:
        encoder(key=()).encode(Page([Deleted({"vin": "a", "year": 1})], {}))
    assert "key: [fields]" in raised.value.remedy


def test_a_table_s_column_says_what_is_deleted(tmp_path: Path) -> None:
    table = Table(tmp_path, sweep=None, deleted=SOFT)
    table.put([1, 2, 3])
    table.put([2], "sold")
    made = engine(Database(url=f"sqlite:///{table.path}"), Paths(tmp_path, tmp_path))
    source = SqlSource(table.config, made, ("vin", "year"), clock=lambda: table.now)
    source.open({})
    rows = [row for page in source.pages() for row in page.rows]
    assert [isinstance(row, Deleted) for row in rows] == [False, False, True]
    source.close()


def test_a_file_s_operation_column_says_what_is_deleted(tmp_path: Path) -> None:
    config = SourceConfig.model_validate(
        {
            "subject": "police.car",
            "csv": {"folder": str(tmp_path), "settle_s": 0},
            "deleted": {"column": "op", "values": ["D", 9]},
        }
    )
    (tmp_path / "a.csv").write_text("vin,op\na,I\na,D\nb,9\nc,\n")
    source = FileSource(config, tmp_path, reader(config), ("vin",), ("vin",))
    source.open({})
    rows = [row for page in source.pages() for row in page.rows]
    assert [isinstance(row, Deleted) for row in rows] == [False, True, True, False]


def test_a_file_without_the_operation_column_is_refused(tmp_path: Path) -> None:
    config = SourceConfig(subject="police.car", csv=Csv(folder=str(tmp_path), settle_s=0), deleted=SOFT)
    (tmp_path / "a.csv").write_text("vin\na\n")
    source = FileSource(config, tmp_path, reader(config), ("vin",), ("vin",))
    source.open({})
    assert [row.reason for page in source.pages() for row in page.rows] == ["refused: no column state"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"query": "SELECT 1", "cursor": {"time": "a", "id": "b"}, "sweep": {"every": "1h"}}, "`sweep` goes with"),
        ({"csv": {"folder": "x"}, "sweep": {"every": "1h"}}, "`mode: full`"),
        ({"python": "a.py:A", "deleted": {"column": "a", "values": [1]}}, "say themselves what is deleted"),
        ({"csv": {"folder": "x"}, "brake": 0.1}, "`brake` goes with"),
        (
            {"table": "t", "cursor": {"time": "a", "id": "b"}, "sweep": {"every": "1h"}, "transform": "a.py:a"},
            "so no `transform`",
        ),
        ({"table": "t", "cursor": {"time": "a", "id": "b"}, "sweep": {"every": "hourly"}}, "pattern"),
    ],
)
def test_what_does_not_go_together_is_refused(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceConfig.model_validate({"subject": "a.b", **config})
