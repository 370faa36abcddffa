"""Dropped files: when they are taken, what is bad in them, and what is left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exchange.connect import file_source
from exchange.connect.drop_folder import DropFolderError
from exchange.connect.source import Bad
from exchange.connect.testing import apply
from tests.rigs.drops import Drop


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path, settle_s=0)


def test_a_file_is_taken_when_it_has_settled(tmp_path: Path) -> None:
    drop = Drop(tmp_path, settle_s=5)
    file = tmp_path / "a.csv"
    file.write_text("id\n1\n")
    assert drop.take() == []
    assert not drop.source.settled()
    drop.now = 4
    file.write_text("id\n1\n2\n")
    assert drop.take() == []
    drop.now = 8.9
    assert drop.take() == []
    drop.now = 9
    assert drop.take() == [{"id": "1"}, {"id": "2"}]
    assert drop.source.settled()
    assert drop.files("done") == ["a.csv"]


def test_a_marker_makes_it_complete_at_once(tmp_path: Path) -> None:
    drop = Drop(tmp_path, settle_s=1000)
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "a.csv.done").touch()
    assert drop.take() == [{"id": "1"}]
    assert not (tmp_path / "a.csv.done").exists()


def test_unfinished_hidden_and_other_files_are_left_alone(drop: Drop) -> None:
    for name in ("a.csv.part", ".a.csv", "a.csv.tmp", "a.txt", "x\ny.csv", "n" * 220 + ".csv"):
        (drop.folder / name).write_text("id\n1\n")
    (drop.folder / "folder.csv").mkdir()
    secret = drop.folder / "secret"
    secret.write_text("id\nsecret\n")
    (drop.folder / "link.csv").symlink_to(secret)
    (drop.folder / "link.csv.done").touch()
    os.mkfifo(drop.folder / "pipe.csv")
    assert drop.take() == []
    assert drop.files("taken") == []


@pytest.mark.parametrize("place", ["a.csv.done", "taken/20250101T000000000000-000-a.csv"])
def test_a_folder_with_the_name_of_a_marker_or_a_file_stops_no_other(drop: Drop, place: str) -> None:
    (drop.folder / place).mkdir()
    (drop.folder / "a.csv").write_text("id\n1\n")
    (drop.folder / "b.csv").write_text("id\n2\n")
    assert [row for row in drop.take() if not isinstance(row, Bad)] == [{"id": "1"}, {"id": "2"}]
    assert drop.take() == []


def test_a_file_that_goes_while_the_folder_is_read_stops_no_other(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    (drop.folder / ".b.csv").write_text("id\n2\n")
    (drop.folder / "a.csv").write_text("id\n1\n")
    scan = os.scandir

    @contextmanager
    def meanwhile(path: Path) -> Iterator[list[os.DirEntry[str]]]:
        with scan(path) as entries:
            found = list(entries)
        if path == drop.folder and (path / ".b.csv").exists():
            (path / ".b.csv").rename(path / "b.csv")  # as writers are told to
        yield found

    monkeypatch.setattr(os, "scandir", meanwhile)
    assert drop.take() == [{"id": "1"}]
    assert drop.take() == [{"id": "2"}]


def test_a_page_is_bounded_by_the_size_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "PAGE_CHARS", 1000)
    drop = Drop(tmp_path, settle_s=0, page_rows=100)
    (tmp_path / "a.csv").write_text("id,note\n" + "".join(f"{n},{'x' * 400}\n" for n in range(7)))
    assert [[row["id"] for row in page.rows] for page in drop.source.pages() if page.rows] == [
        ["0", "1", "2"], ["3", "4", "5"], ["6"]]  # fmt: skip


def test_a_link_in_taken_is_refused(drop: Drop) -> None:
    secret = drop.folder / "secret"
    secret.write_text("id\nsecret\n")
    (drop.folder / "taken" / "20250101T000000000000-000-link.csv").symlink_to(secret)
    assert drop.take() == [Bad("refused: cannot be opened: Too many levels of symbolic links")]
    assert drop.files("refused") == ["link.csv"]


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "done").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DropFolderError):
        Drop(tmp_path / "drop")


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("utf-8", "id,名\r\n1,穗\r\n".encode()),
        ("utf-8", b"\xef\xbb\xbf" + "id,名\n1,穗\n".encode()),
        ("UTF8", b"\xef\xbb\xbf" + "id,名\n1,穗".encode()),
        ("gb18030", "id,名\n1,穗\n".encode("gb18030")),
        ("utf-16", "id,名\n1,穗\n".encode("utf-16")),
        ("utf-8", '"id",名\n\n1,"穗"\n\n'.encode()),
    ],
)
def test_encodings_marks_and_line_ends(tmp_path: Path, encoding: str, data: bytes) -> None:
    drop = Drop(tmp_path, settle_s=0, encoding=encoding)
    (tmp_path / "a.csv").write_bytes(data)
    assert drop.take() == [{"id": "1", "名": "穗"}]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_bad_lines_are_set_aside_with_their_line_and_the_rest_flows(tmp_path: Path, encoding: str) -> None:
    drop = Drop(tmp_path, settle_s=0, encoding=encoding)
    lines = [
        b"id,name",
        b"1,good",
        b"2",
        b"3,a,b",
        b'4,"quo"te',
        b"5,\xff\xff",
        b'6,"two\nlines"',
        b'7,"' + b"x" * (1 << 20) + b'y"',
        b"8,good",
    ]
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    rows = drop.take()
    good = [row["id"] for row in rows if not isinstance(row, Bad)]
    bad = [place.split()[-1] for row, place in zip(rows, drop.places, strict=True) if isinstance(row, Bad)]
    assert good == ["1", "6", "8"]
    assert bad == ["3", "4", "5", "6", "9"]
    assert not any("quo" in row.reason or "xx" in row.reason for row in rows if isinstance(row, Bad))


def test_cells_are_text_whatever_they_look_like(drop: Drop) -> None:
    cells = ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\x1b[2J", "a\0b", "'; DROP TABLE x; --", "../../etc/passwd"]
    (drop.folder / "a.csv").write_text("id\n" + "".join(f'"{cell}"\n' for cell in cells))
    assert drop.take() == [{"id": cell} for cell in cells]


def test_a_name_leads_nowhere_else(drop: Drop) -> None:
    """No file system has a `/` in a name; all else that could be taken for a path or an order stays one name."""
    names = ["..csv", "~root.csv", "$(touch stolen).csv", "-rf.csv", "C:\\x.csv", "%2e%2e%2fx.csv", "*.csv"]
    for name in names:
        (drop.folder / name).write_text("id\n1\n")
    drop.take()
    assert {path.name for path in drop.folder.iterdir()} == {"..csv", "taken", "done", "refused"}
    assert drop.files("done") == sorted(set(names) - {"..csv"})


@pytest.mark.parametrize("header", [b"", b"name\n1\n", b"id,id\n1,2\n", b'"id\n1\n'])
def test_a_file_without_a_usable_header_is_refused(drop: Drop, header: bytes) -> None:
    (drop.folder / "a.csv").write_bytes(header)
    [row] = drop.take()
    assert isinstance(row, Bad)
    assert drop.files("refused") == ["a.csv"]


def test_the_same_name_again_is_another_file(drop: Drop) -> None:
    for _ in range(3):
        (drop.folder / "a.csv").write_text("id\n1\n")
        assert drop.take() == [{"id": "1"}]
    assert drop.files("done") == ["a.csv"] * 3
    assert drop.files_in_progress() == []


def test_a_kill_between_the_last_commit_and_the_move_repeats_nothing(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text("id\n1\n2\n")
    pages = drop.source.pages()
    page = next(pages)
    apply(drop.progress, page.progress)
    drop.restart()
    assert drop.take() == []
    assert drop.files("done") == ["a.csv"]
    assert drop.files_in_progress() == []


def test_a_kill_between_the_move_and_the_end_leaves_no_progress(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text("id\n1\n2\n")
    pages = drop.source.pages()
    apply(drop.progress, next(pages).progress)
    next(pages)  # the file was moved; that its progress is forgotten was not committed
    assert drop.files("done") == ["a.csv"]
    drop.restart()
    assert drop.take() == []
    assert drop.files_in_progress() == []


def test_a_header_that_no_record_of_progress_holds_is_refused(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text("id," + ",".join(f"c{n}" for n in range(40_000)) + "\n")
    assert drop.bad() == ["refused: the names of 40,001 columns have more than 200,000 characters"]


def test_a_header_of_very_many_columns_takes_no_memory_for_many_rows(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text("id" + "," * 1_000_000 + "\n")
    assert drop.bad() == ["refused: two columns have one name"]
