"""Dropped workbooks: what their cells mean, what is rejected, and which of them are refused."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import xlwt
from xlwt.CompoundDoc import XlsDoc

from exchange.connect import extras
from exchange.connect.coerce import RowRejectedError
from exchange.connect.config import Excel
from exchange.connect.convert import converter
from exchange.connect.excel_rows import ExcelReader
from exchange.connect.source import Bad
from tests.rigs.drops import Drop
from tests.rigs.sinks import schema
from tests.rigs.workbooks import ERROR, ods, protected, write, xls

Write = Callable[..., Path]
KINDS = pytest.mark.parametrize(("kind", "make"), [("xlsx", write), ("xls", xls), ("ods", ods)])


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path, kind="excel", pattern="*.*", settle_s=0)


def reasons(rows: list[Any], **fields: Any) -> list[str]:
    """Why each row is rejected that the schema does not take; "" for the others."""
    convert = converter(schema(**fields), {})

    def reason(row: Any) -> str:
        try:
            convert(row)
        except RowRejectedError as error:
            return error.message
        return ""

    return [row.reason if isinstance(row, Bad) else reason(row) for row in rows]


@KINDS
def test_cells_are_what_the_workbook_says(drop: Drop, kind: str, make: Write) -> None:
    day, moment = date(2026, 3, 1), datetime(2026, 3, 1, 10, 20, 30)
    rows = [["id", "n", "day", "at"], ["007", 3, day, moment], [" x ", 0.5, None, None]]
    make(drop.folder / f"a.{kind}", rows)
    assert drop.take() == [
        {"id": "007", "n": 3, "day": datetime(2026, 3, 1), "at": moment},
        {"id": " x ", "n": 0.5, "day": None, "at": None},
    ]
    assert [place.partition(" ")[2] for place in drop.places] == ["sheet Sheet1 row 2", "sheet Sheet1 row 3"]


@KINDS
def test_a_number_is_never_taken_for_text(drop: Drop, kind: str, make: Write) -> None:
    make(drop.folder / f"a.{kind}", [["id"], [440106199001011234], ["440106199001011234"], [7], [0.5]])
    assert reasons(drop.take(), id="string") == [
        "id: float where text is due", "", "id: int where text is due", "id: float where text is due"]  # fmt: skip


def test_a_number_of_which_excel_keeps_a_part_is_rejected(drop: Drop) -> None:
    write(drop.folder / "a.xlsx", [["id"], [999_999_999_999_999], [1_234_567_890_123_450], [440106199001011234]])
    assert [bool(reason) for reason in reasons(drop.take(), id="long")] == [False, True, True]


@KINDS
def test_an_error_is_rejected_where_a_field_needs_the_cell(drop: Drop, kind: str, make: Write) -> None:
    make(drop.folder / f"a.{kind}", [["id", "note", "extra"], ["1", ERROR, "x"], ["2", "n", ERROR], ["3", None, None]])
    rows = drop.take()
    wanted = "note: an error, such as #N/A, where text is due"
    assert reasons(rows, id="string", note=["null", "string"]) == [wanted, "", ""]


def test_a_formula_is_its_value_and_rejected_without_one(drop: Drop) -> None:
    write(drop.folder / "a.xlsx", [["id"], ["x"], ["y"]], more=lambda _, s: s.write_formula(1, 0, '="a"', None, "a"))
    formula = drop.folder / "b.xlsx"
    write(formula, [["id", "n"], ["x", 1]], more=lambda _, s: s.write_formula(1, 1, "=1+1", None, 77))
    altered(formula, lambda data: data.replace(b"<v>77</v>", b""))
    assert reasons(drop.take(), id="string", n=["null", "int"]) == [
        "n: missing", "n: missing",
        "n: a formula that nobody has computed (open the file in Excel and save it) where a whole number is due",
    ]  # fmt: skip


def altered(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the first sheet of an .xlsx."""
    whole = path.with_name(".whole")
    path.rename(whole)
    with ZipFile(whole) as before, ZipFile(path, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, change(data) if name.endswith("sheet1.xml") else data)
    whole.unlink()


def test_dates_are_moments_and_days(drop: Drop) -> None:
    write(drop.folder / "a.xlsx", [["id", "day", "at"], [time(10, 20), date(2026, 3, 1), date(2026, 3, 1)]])
    [row] = drop.take()
    day = {"type": "int", "logicalType": "date"}
    at = {"type": "long", "logicalType": "timestamp-millis"}
    clock = {"type": "int", "logicalType": "time-millis"}
    convert = converter(schema(id=clock, day=day, at=at), {}, timezone="Asia/Shanghai")
    assert convert(row) == {"id": time(10, 20), "day": date(2026, 3, 1), "at": datetime(2026, 2, 28, 16, tzinfo=UTC)}


def test_hidden_rows_count_and_empty_ones_do_not(drop: Drop) -> None:
    def more(book: Any, sheet: Any) -> None:
        sheet.set_row(3, None, None, {"hidden": True})
        sheet.write_blank(9, 1, None, book.add_format({"bold": True}))

    write(drop.folder / "a.xlsx", [[], ["id"], ["1"], ["2"], [], ["3"]], more=more)
    assert [row["id"] for row in drop.take()] == ["1", "2", "3"]
    assert [place.split()[-1] for place in drop.places] == ["3", "4", "6"]


@KINDS
def test_rows_of_merged_cells_are_rejected(drop: Drop, kind: str, make: Write) -> None:
    rows = [["id", "v"], ["1", "a"], ["2", "b"], ["3", "c"]]
    if kind == "ods":
        spanned = (
            '<table:table-row><table:table-cell office:value-type="string" table:number-rows-spanned="2"><text:p>4'
        )
        spanned += "</text:p></table:table-cell></table:table-row><table:table-row><table:covered-table-cell/>"
        spanned += (
            '<table:table-cell office:value-type="string"><text:p>d</text:p></table:table-cell></table:table-row>'
        )
        ods(drop.folder / "a.ods", rows, spanned)
    elif kind == "xls":
        xls(drop.folder / "a.xls", [*rows, [], [None, "d"]], more=lambda _, sheet: sheet.write_merge(4, 5, 0, 0, "4"))
    else:
        write(drop.folder / "a.xlsx", [*rows, [], [None, "d"]], more=lambda _, s: s.merge_range(4, 0, 5, 0, "4"))
    found = drop.take()
    assert [row["id"] for row in found[:3]] == ["1", "2", "3"]
    assert found[3:] == [Bad("a part of merged cells")] * 2


def merged(book: Any, sheet: Any) -> None:
    sheet.merge_range(0, 1, 0, 2, "address")


def two_sheets(book: Any, sheet: Any) -> None:
    book.add_worksheet("Other").write(0, 0, "id")


@pytest.mark.parametrize(
    ("rows", "more", "reason"),
    [
        ([["id", None, None], [None, "city", "street"]], merged, "the header has merged cells (B1:C1)"),
        ([["id", 2026]], None, "the header's cell B1 is not text"),
        ([["id", None, "v"]], None, "the header's cell B1 is empty"),
        ([["id", "id"]], None, "two columns have one name"),
        ([["a list of cars"], ["id"]], None, "no column id"),
        ([], None, "no visible sheet has cells"),
        ([["id"], ["1"]], two_sheets, "it has the sheets Sheet1, Other: say which with `sheet`"),
        ([["id"]], lambda _, sheet: sheet.write(1_048_575, 16_383, "x"), "sheet Sheet1 reaches to row 1048576"),
    ],
)
def test_a_workbook_whose_rows_are_unclear_is_refused(
    drop: Drop, rows: list[list[Any]], more: Any, reason: str
) -> None:
    write(drop.folder / "a.xlsx", rows, more=more)
    [refused] = drop.bad()
    assert refused.startswith(f"refused: {reason}")
    assert drop.files("refused") == ["a.xlsx"]


def test_a_cell_without_a_column_name_rejects_its_row(drop: Drop) -> None:
    write(drop.folder / "a.xlsx", [["id"], ["1", "a note"], ["2"]])
    assert drop.take() == [Bad("a cell in column B, which has no name in the header"), {"id": "2"}]


def test_the_sheet_is_the_named_one_or_the_only_one_that_is_seen(tmp_path: Path) -> None:
    def more(book: Any, sheet: Any) -> None:
        book.add_worksheet("empty")
        hidden = book.add_worksheet("lists")
        hidden.write_column(0, 0, ["id", "9"])
        hidden.hide()

    for folder, sheet, expected in (("a", None, ["1"]), ("b", "lists", ["9"])):
        drop = Drop(tmp_path / folder, kind="excel", settle_s=0, sheet=sheet)
        write(drop.folder / "a.xlsx", [["id"], ["1"]], more=more)
        assert [row["id"] for row in drop.take()] == expected
    drop = Drop(tmp_path / "c", kind="excel", settle_s=0, sheet="list")
    write(drop.folder / "a.xlsx", [["id"], ["1"]], more=more)
    assert drop.bad() == ["refused: no sheet list (it has Sheet1, empty, lists)"]


def test_protected_workbooks_are_refused_with_words(drop: Drop) -> None:
    protected(write(drop.folder / "a.xlsx", [["id"], ["1"]]))
    book = xlwt.Workbook()
    book.add_sheet("s").write(0, 0, "id")
    data = book.get_biff_data()
    first = 4 + int.from_bytes(data[2:4], "little")
    filepass = b"\x2f\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    XlsDoc().save(str(drop.folder / "b.xls"), data[:first] + filepass + data[first:])
    assert drop.bad() == ["refused: protected by a password: save it without one"] * 2


@pytest.mark.parametrize(
    "data", [b"", b"id,name\n1,2\n", b"PK\x03\x04" + b"x" * 100, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
)
def test_what_is_no_workbook_is_refused(drop: Drop, data: bytes) -> None:
    (drop.folder / "a.xlsx").write_bytes(data)
    (drop.folder / "a.xlsx.done").touch()
    assert drop.bad() == ["refused: damaged, or no workbook"]


@KINDS
def test_no_damage_stops_the_source(tmp_path: Path, kind: str, make: Write) -> None:
    rows = [["id", "v"], *([str(n), n] for n in range(30)), ["x", ERROR]]
    whole = make(tmp_path / f"whole.{kind}", rows).read_bytes()
    chance = random.Random(13)
    for number in range(150):
        drop = Drop(tmp_path / f"{number}", kind="excel", pattern="*.*", settle_s=0, page_rows=1000)
        data = bytearray(whole)
        for _ in range(chance.choice((0, 1, 3, 20))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        damaged = drop.folder / f"a.{kind}"
        damaged.write_bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])
        (drop.folder / f"{damaged.name}.done").touch()
        drop.take()
        assert sorted(drop.files("done") + drop.files("refused")) == [damaged.name]
        shutil.rmtree(drop.folder)


@pytest.mark.parametrize("damage", [(6, 148), (10, 77)], ids=["version", "compression"])
def test_what_no_reader_of_archives_knows_is_refused(drop: Drop, damage: tuple[int, int]) -> None:
    """As bytes of the central directory's entries: the version that is needed, the compression."""
    data = bytearray(write(drop.folder / ".whole", [["id"], ["1"]]).read_bytes())
    place, value = damage
    at = 0
    while (at := data.find(b"PK\1\2", at)) >= 0:
        data[at + place] = value
        at += 4
    (drop.folder / "a.xlsx").write_bytes(data)
    (drop.folder / "a.xlsx.done").touch()
    assert drop.bad() == ["refused: damaged, or no workbook"]


def test_half_a_workbook_waits_for_its_end(tmp_path: Path) -> None:
    drop = Drop(tmp_path, kind="excel", settle_s=5)
    data = write(tmp_path / ".whole", [["id"], ["1"]]).read_bytes()
    file = tmp_path / "a.xlsx"
    file.write_bytes(data[:-100])
    for drop.now in (0, 6, 12):
        assert drop.take() == []
    file.write_bytes(data)
    assert drop.take() == []
    drop.now = 18
    assert drop.take() == [{"id": "1"}]


def test_what_excel_puts_beside_an_open_file_is_left_alone(drop: Drop) -> None:
    (drop.folder / "~$a.xlsx").write_bytes(b"\5clerk")
    assert drop.take() == []


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(extras.MissingExtraError) as caught:
        ExcelReader(Excel(folder="x"))
    assert caught.value.remedy == "install the extra: pip install 'exchange[excel]'"
