"""Rows of a page become records, are left out, or are rejected with a reason that quotes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from exchange.connect import user_code
from exchange.connect.convert import converter
from exchange.connect.page_records import Records
from exchange.connect.publish import Encoder
from exchange.connect.rejects import RejectFile
from exchange.connect.source import Bad, Page
from exchange.connect.user_code import UserCodeError
from exchange.contract.model import Subject
from exchange.schema import avro, wire

SCHEMA = avro.parse(
    json.dumps(
        {
            "type": "record",
            "name": "Income",
            "fields": [
                {"name": "resident_id", "type": ["null", "string"], "default": None},
                {"name": "year", "type": "int"},
                {"name": "note", "type": "string", "default": ""},
            ],
        }
    )
)
SUBJECT = Subject.model_validate(
    {
        "name": "income",
        "owner": "tax",
        "title": {"zh": "税", "en": "Tax"},
        "schema": "x.avsc",
        "entity": {"field": "resident_id", "kind": "person"},
        "share": "open",
    }
)


def encode(rows: list[Any], transform: Callable[[Mapping[str, Any]], Any] | None = None) -> Records:
    encoder = Encoder(SUBJECT, 7, SCHEMA, converter(SCHEMA, {}), transform)
    return encoder.encode(Page(rows, {}, [f"line {i}" for i in range(len(rows))]))


def test_a_record_has_the_entity_as_key_and_the_wire_header() -> None:
    made = encode([{"resident_id": "440106", "year": 2024}, {"resident_id": None, "year": 2025}])
    assert made.keys.tolist() == [b"440106", None]
    schema_id, body = wire.unpack(made.values.tolist()[0] or b"")
    assert schema_id == 7
    assert avro.decode(SCHEMA, body) == {"resident_id": "440106", "year": 2024, "note": ""}


def test_the_bad_are_set_aside_and_the_rest_goes_on() -> None:
    rows = [
        {"year": "secret"},
        Bad("not CSV"),
        {"year": 1, "note": "secret\udcff"},
        {"year": 1, "note": "x" * 1_000_000},
        {"year": 2},
    ]
    made = encode(rows)
    assert len(made.values.tolist()) == 1
    assert made.rejected == [
        ("line 0", "year: str where a whole number is due"),
        ("line 1", "not CSV"),
        ("line 2", "note: text that is not valid Unicode"),
        ("line 3", "a record of more than 900000 bytes"),
    ]


def test_a_transform_maps_skips_and_fails_row_by_row() -> None:
    def transform(row: Mapping[str, Any]) -> Any:
        match row["kind"]:
            case "skip":
                return None
            case "list":
                return [row]
        return {"year": 2000 + 10 / row["kind"]}

    made = encode([{"kind": k} for k in (5, "skip", 0, "list", "secret")], transform)
    assert len(made.values.tolist()) == 1
    assert made.rejected == [
        ("line 2", "transform raised ZeroDivisionError"),
        ("line 3", "transform returned list, not a mapping"),
        ("line 4", "transform raised TypeError"),
    ]


class Odd(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, name: str) -> Any:
        raise ValueError("secret")

    def __iter__(self) -> Iterator[str]:
        yield "year"

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(("made", "reason"), [(sys.exit, "SystemExit"), (lambda _: Odd(), "ValueError")])
def test_whatever_a_transform_does_concerns_that_row(made: Callable[[Any], Any], reason: str) -> None:
    assert encode([{"year": 1}], made).rejected == [("line 0", f"transform raised {reason}")]


def test_what_is_no_row_is_set_aside() -> None:
    made = encode([{"year": 1}, 7, None, ["year"]])
    assert len(made.values.tolist()) == 1
    assert [reason for _, reason in made.rejected] == [f"{kind}, not a mapping" for kind in ("int", "NoneType", "list")]


def test_an_entity_without_a_letter_is_nobody() -> None:
    reason = "resident_id: an empty text names nobody"
    assert encode([{"resident_id": "", "year": 1}]).rejected == [("line 0", reason)]


def test_a_record_is_too_long_also_by_its_key() -> None:
    assert encode([{"resident_id": "x" * 500_000, "year": 1}]).rejected == [
        ("line 0", "a record of more than 900000 bytes")
    ]


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(3)\n",
        "from exchange.connect.source import Source\nclass Own(Source): pass\n",
        "from exchange.connect.source import Source\nclass Own(Source):\n"
        "    def __init__(self, options): raise ValueError('secret')\n    open = pages = None\n",
    ],
)
def test_code_that_cannot_be_used_is_named(tmp_path: Path, code: str) -> None:
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(UserCodeError, match=r"own\.py") as caught:
        user_code.source(tmp_path, "own.py:Own", {})
    assert "secret" not in str(caught.value)


def test_code_of_the_department(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from exchange.connect.source import Page, Source\n"
        "def income(row): return row\n"
        "class Own(Source):\n"
        "    def open(self, progress): pass\n"
        "    def pages(self): yield Page([{'year': self.options['year']}], {})\n"
    )
    assert user_code.transform(tmp_path, "own.py:income")({"a": 1}) == {"a": 1}
    [page] = user_code.source(tmp_path, "own.py:Own", {"year": 7}).pages()
    assert page.rows == [{"year": 7}]
    for load in (
        lambda: user_code.source(tmp_path, "own.py:income", {}),
        lambda: user_code.load(tmp_path, "own.py:missing"),
        lambda: user_code.load(tmp_path, "other.py:f"),
    ):
        with pytest.raises(UserCodeError):
            load()


def test_the_reject_file_holds_place_and_reason(tmp_path: Path) -> None:
    file = RejectFile(tmp_path, "tax.income")
    file.write([("a\udcff.csv line 2", "名: missing")])
    file.write([("b.csv line 3", "x")])
    lines = [json.loads(line) for line in file.path.read_text(encoding="utf-8").splitlines()]
    assert [line["reason"] for line in lines] == ["名: missing", "x"]
    assert set(lines[0]) == {"time", "place", "reason"}


def test_a_line_of_the_reject_file_that_was_cut_short_stays_alone(tmp_path: Path) -> None:
    file = RejectFile(tmp_path, "tax.income")
    file.write([("a.csv line 2", "x")])
    with file.path.open("ab") as torn:
        torn.write(b'{"time": "2025')
    file.write([("a.csv line 2", "x"), ("a.csv line 3", "y")])
    lines = file.path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["place"] for line in lines if line.endswith("}")] == ["a.csv line 2"] * 2 + [
        "a.csv line 3"
    ]
    assert len(lines) == 4
