"""A CSV file's usual lines reach kernels as columns; what is odd among them is rejected as it would be alone."""

from __future__ import annotations

import json
from pathlib import Path

from exchange.connect.config import Csv, SourceConfig
from exchange.connect.csv_rows import FIELD_BYTES
from exchange.connect.file_rows import FileRows
from exchange.connect.file_source import MANY
from exchange.connect.plain_rows import PlainRows
from exchange.connect.source import Page
from exchange.schema import avro
from tests.rigs.copied import encoder
from tests.rigs.drops import Drop

FIELDS = [
    ("id", ["null", "string"]),
    ("n", ["null", "long"]),
    ("amount", ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]),
    ("good", ["null", "boolean"]),
    ("at", ["null", {"type": "long", "logicalType": "timestamp-millis"}]),
]
SCHEMA = avro.parse(
    json.dumps({"type": "record", "name": "R", "fields": [{"name": name, "type": of} for name, of in FIELDS]})
)
CONFIG = SourceConfig(subject="a.b", csv=Csv(folder=""))
HEADER = ",".join(name for name, _ in FIELDS) + "\n"
USUAL = 'a,7,1.50,true,2026-01-02 03:04:05\n"b",,"2",0,2026-01-02T03:04:05.123\n'


def page(folder: Path, text: str, end: str = "\n") -> Page:
    (folder / "a.csv").write_text((HEADER + text).replace("\n", end), newline="")
    [page] = [page for page in Drop(folder, settle_s=0, page_rows=1000).source.pages() if page.rows]
    return page


def test_kernels_write_every_usual_line(tmp_path: Path) -> None:
    rows, columns = page(tmp_path, USUAL).rows, encoder(CONFIG, SCHEMA, "id", (), {}).columns
    assert isinstance(rows, FileRows)
    assert columns is not None
    written = columns.write(rows)
    assert written is not None
    assert written.values.length.min() > 0


def test_an_odd_line_among_usual_ones_is_rejected_though_every_field_may_be_null(tmp_path: Path) -> None:
    found = page(tmp_path, f"{USUAL}\nx,1\n{USUAL}")
    made = encoder(CONFIG, SCHEMA, "id", (), {}).encode(found)
    assert isinstance(found.rows, FileRows)
    assert made.rows.tolist() == [0, 1, 3, 4]
    [(place, reason)] = made.rejected
    assert place.endswith("a.csv line 5")
    assert reason == "2 columns where the header has 5"


def test_a_value_that_is_too_long_spoils_its_row_only(tmp_path: Path) -> None:
    found = page(tmp_path, f"{USUAL}{'x' * (FIELD_BYTES + 1)},,,,\n{USUAL}")
    [(place, reason)] = encoder(CONFIG, SCHEMA, "id", (), {}).encode(found).rejected
    assert place.endswith("a.csv line 4")
    assert reason.startswith("not CSV: field larger")


def test_many_records_without_a_usual_line_are_columns_of_values(tmp_path: Path) -> None:
    """As those of a workbook."""
    found, due = page(tmp_path, USUAL * MANY, "\r"), page(tmp_path, USUAL * MANY)
    assert isinstance(found.rows, PlainRows)
    assert list(found.rows) == list(due.rows)
    made, usual = (encoder(CONFIG, SCHEMA, "id", (), {}).encode(each) for each in (found, due))
    assert made.values.tolist() == usual.values.tolist()
