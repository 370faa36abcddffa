"""Damaged CSV files: each line is published or named in the reject file, none is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.connect.csv_rows import LINE_CHARS
from exchange.connect.source import Bad
from tests.rigs.drops import Drop


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path, settle_s=0)


def outcome(drop: Drop, data: str | bytes) -> tuple[list[str], list[str], list[str]]:
    """The ids that were published, the places that were rejected (without the name), and why."""
    (drop.folder / "a.csv").write_bytes(data.encode() if isinstance(data, str) else data)
    rows = drop.take()
    places = [place.partition("a.csv")[2].strip() for place in drop.places]
    good = [row["id"] for row in rows if not isinstance(row, Bad)]
    bad = [(place, row.reason) for place, row in zip(places, rows, strict=True) if isinstance(row, Bad)]
    return good, [place for place, _ in bad], [reason for _, reason in bad]


def lines(first: int, last: int) -> str:
    return "".join(f"{n},name {n},note {n}\n" for n in range(first, last + 1))


HEADER = "id,name,note\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (HEADER + '1,"ann,x\n' + lines(2, 5000), "lines 2 to 5001: a quote is never closed"),
        (HEADER + lines(1, 3) + '4,x,"never', "lines 5 to 5: a quote is never closed"),
        (HEADER + lines(1, 3) + '4,"ann,x\n' + lines(5, 100) + '101,"bob",x\n', "lines 5 to 102: a quote is missing"),
        # More between two quotes than a field may have: what follows would be read from the middle.
        (HEADER + '1,"ann,x\n' + lines(2, 60_000) + '60001,bob",x\n', "lines 2 to "),
        (HEADER + '1,"' + "x" * (1 << 20) + "\n" + lines(2, 9) + '10,y",z\n', "lines 2 to 2: "),
        ('id,"name,note\n' + lines(1, 50), "lines 1 to 51: a quote is never closed"),
        ('id,"name,note\n' + lines(1, 5) + '6,x",y\n', "lines 1 to 7 are one header"),
        (HEADER + lines(1, 3) + "x" * (LINE_CHARS + 1) + "\n" + lines(5, 9), "line 5 has more than"),
        (HEADER.encode() + lines(1, 3).encode() + b"\0" * (LINE_CHARS + 1), "line 5 has more than"),
    ],
)
def test_damage_over_several_lines_refuses_the_file_before_any_row(drop: Drop, data: str | bytes, said: str) -> None:
    good, _, [reason] = outcome(drop, data)
    assert good == []
    assert said in reason
    assert drop.files("refused") == ["a.csv"]
    assert "name" not in reason
    assert "ann" not in reason


@pytest.mark.parametrize("swallowed", [2, 3, 100])
def test_rows_between_two_stray_quotes_are_each_named(drop: Drop, swallowed: int) -> None:
    """As a value, they are good CSV: nothing else would tell."""
    last = 2 + swallowed
    text = HEADER + '1,x,"ann\n' + lines(2, swallowed - 1) + f'{swallowed},y,bob"\n' + lines(swallowed + 1, last)
    good, places, reasons = outcome(drop, text)
    assert good == [str(n) for n in range(swallowed + 1, last + 1)]
    assert places == [f"line {n}" for n in range(2, swallowed + 2)]
    assert set(reasons) == {
        f"lines 2 to {swallowed + 1} are one row, whose lines look like rows: a quote is missing or too many"
    }


@pytest.mark.parametrize(
    "value",
    [
        "two\nlines",
        "a\r\nb\r\nc",
        "one, two\nthree",
        "1. first,\n2. second,\n\n3. third",
        "\n",
        "x\n" * 300,
        "a,b,c\nd",
    ],
)
def test_a_value_of_several_lines_is_a_value(drop: Drop, value: str) -> None:
    (drop.folder / "a.csv").write_bytes(f'id,name,note\n1,"{value}",x\n2,y,"{value}"\n'.encode())
    assert drop.take() == [{"id": "1", "name": value, "note": "x"}, {"id": "2", "name": "y", "note": value}]


@pytest.mark.parametrize(
    ("row", "rejected"),
    [
        ('4,"quo"te,x', 1),
        ('4,"5" disk",x', 1),
        ("4,x", 1),
        ("4,x,y,z", 1),
        ('4,"two\nlines"', 1),
        ("4,ab\rcd,x", 2),
        ("4,x,y\r4,x,y", 2),
        ("4,\ufffd,x", 1),
        ('4,ab"c,x', 0),
        ('4, "a" ,x', 0),
        ("4,a\0b,x", 0),
        ("4,a\u2028b\x0bc\x85d,x", 0),
    ],
)
def test_damage_within_a_line_spoils_that_row(drop: Drop, row: str, rejected: int) -> None:
    good, places, _ = outcome(drop, HEADER + lines(1, 3) + row + "\n" + lines(5, 7))
    assert good == ["1", "2", "3", *(["4"] if rejected == 0 else []), "5", "6", "7"]
    assert len(places) == rejected
    assert drop.files("done") == ["a.csv"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_any_line_end_is_fine_if_it_is_one(drop: Drop, end: str) -> None:
    good, places, _ = outcome(drop, (HEADER + lines(1, 5)).replace("\n", end))
    assert good == ["1", "2", "3", "4", "5"]
    assert places == []


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_a_file_that_ends_within_a_character(tmp_path: Path, encoding: str) -> None:
    drop = Drop(tmp_path, settle_s=0, encoding=encoding)
    good, places, reasons = outcome(drop, "id,name\n1,穗\n2,穗".encode(encoding)[:-1])
    assert good == ["1"]
    assert places == ["line 3"]
    assert reasons == [f"not {encoding}"]


def test_a_quoted_header_behind_a_byte_order_mark(tmp_path: Path) -> None:
    drop = Drop(tmp_path, settle_s=0, encoding="utf-16-le")
    assert outcome(drop, b"\xff\xfe" + '"id",x\n1,y\n'.encode("utf-16-le"))[0] == ["1"]
