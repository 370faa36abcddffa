"""Who writes into a CSV file that was taken already: the file is published whole and once, or that is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.source import Bad, Page
from exchange.connect.testing import apply
from tests.rigs.drops import Drop

SETTLE_S = 5.0
ROWS = "id,name\n1,ann\n2,ben\n3,cid\n"


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path, settle_s=SETTLE_S)


def serials(rows: list[Any]) -> list[str]:
    return [row["id"] for row in rows if not isinstance(row, Bad)]


def wait(drop: Drop, seconds: float = SETTLE_S) -> list[Any]:
    """Look now, and when so many seconds have passed."""
    rows = drop.take()
    drop.now += seconds
    return rows + drop.take()


def taken(drop: Drop, text: str = ROWS) -> Path:
    """A file that was taken while Kafka was away: nothing of it is published yet."""
    (drop.folder / "a.csv").write_text(text)
    drop.take()
    drop.now += SETTLE_S
    return drop.take_only()


def test_a_file_that_a_program_holds_open_is_not_complete(drop: Drop) -> None:
    with (drop.folder / "a.csv").open("w") as file:
        file.write("id,name\n1,ann\n")
        file.flush()
        assert wait(drop, 1000 * SETTLE_S) == []
        assert not drop.source.settled()
        file.write("2,ben\n")
    assert serials(wait(drop)) == ["1", "2"]


@pytest.mark.parametrize("cut", ["id,name\n1,an", "id,name\n1,", "id,na", ""])
def test_a_file_whose_last_line_has_no_end_waits_longer(drop: Drop, cut: str) -> None:
    """Its writer closed it, and goes on later: half a value would be published, and the rest lost."""
    file = drop.folder / "a.csv"
    file.write_text(cut)
    assert wait(drop, 9 * SETTLE_S) == []
    file.write_text("id,name\n1,ann\n2,ben\n")
    assert serials(wait(drop)) == ["1", "2"]


def test_a_file_without_a_last_line_end_is_taken_in_the_end(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text("id\n1\n2")
    assert wait(drop) == []
    assert serials(wait(drop, 9 * SETTLE_S)) == ["1", "2"]


def test_a_marker_is_believed(drop: Drop) -> None:
    with (drop.folder / "a.csv").open("w") as file:
        file.write("id\n1")
        file.flush()
        (drop.folder / "a.csv.done").touch()
        assert serials(drop.take()) == ["1"]


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.write("4,dan\n")


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 6)


def overwrite(path: Path) -> None:
    path.write_text(ROWS.replace("ann", "eve"))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(ROWS.replace("ann", "eve"))
    other.rename(path)


def grow_with_the_old_time(path: Path) -> None:
    before = path.stat().st_mtime_ns
    grow(path)
    os.utime(path, ns=(before, before))


CHANGES = [grow, cut_off, overwrite, replace, grow_with_the_old_time]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_changes_before_anything_is_published_is_taken_again_whole(
    drop: Drop, change: Any, restart: bool
) -> None:
    path = taken(drop)
    change(path)
    expected = [line.split(",")[0] for line in path.read_text().splitlines()[1:]]
    if restart:
        drop.restart()
    assert drop.take() == []
    assert not drop.source.settled()
    assert serials(wait(drop)) == expected
    assert drop.files("done") == ["a.csv"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_changes_when_a_part_is_published_is_refused_with_that_line(
    drop: Drop, change: Any, restart: bool
) -> None:
    (drop.folder / "a.csv").write_text(ROWS)
    drop.take()
    drop.now += SETTLE_S
    pages = drop.source.pages()
    page = next(pages)
    apply(drop.progress, page.progress)
    assert serials(list(page.rows)) == ["1", "2"]
    [path] = (drop.folder / "taken").iterdir()
    change(path)
    if restart:
        drop.restart()
        pages = drop.source.pages()
    rest: list[Page] = list(pages)
    rows = [row for page in rest for row in page.rows]
    assert serials(rows) == []
    [bad] = rows
    assert "published to line 3" in bad.reason
    assert drop.files("refused") == ["a.csv"]
    for page in rest:
        apply(drop.progress, page.progress)
    assert drop.files_in_progress() == []


def test_a_change_between_the_last_page_and_the_end_is_seen(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text("id\n1\n2\n")
    drop.take()
    drop.now += SETTLE_S
    pages = drop.source.pages()
    next(pages)
    [path] = (drop.folder / "taken").iterdir()
    with path.open("a") as file:
        file.write("3\n")
    assert "published to line 3" in next(pages).rows[0].reason  # type: ignore[union-attr]


def test_a_file_that_is_written_to_after_it_was_published_is_named(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text(ROWS)
    assert serials(wait(drop)) == ["1", "2", "3"]
    [path] = (drop.folder / "done").iterdir()
    grow(path)
    [reason] = drop.bad()
    assert "written to after it was published" in reason
    assert drop.files("refused") == ["a.csv"]
    assert drop.bad() == []


def test_a_writer_that_opens_the_file_anew_makes_another_one_that_is_refused(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text(ROWS)
    assert serials(wait(drop)) == ["1", "2", "3"]
    with (drop.folder / "a.csv").open("a") as file:
        file.write("4,dan\n")
    [bad] = wait(drop)
    assert "no column id" in bad.reason


def test_a_file_that_is_archived_after_it_was_published_is_nobodys_concern(drop: Drop) -> None:
    (drop.folder / "a.csv").write_text(ROWS)
    wait(drop)
    for path in (drop.folder / "done").iterdir():
        path.unlink()
    assert drop.take() == []


@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_is_taken_away_when_a_part_is_published_is_named(drop: Drop, restart: bool) -> None:
    (drop.folder / "a.csv").write_text(ROWS)
    drop.take()
    drop.now += SETTLE_S
    pages = drop.source.pages()
    apply(drop.progress, next(pages).progress)
    for path in (drop.folder / "taken").iterdir():
        path.unlink()
    if not restart:
        with pytest.raises(Exception, match="drop folder"):
            next(pages)
    drop.restart()
    [reason] = drop.bad()
    assert "published to line 3 (2 rows)" in reason
    assert drop.files_in_progress() == []


def test_progress_from_before_the_state_was_noted_goes_on(drop: Drop) -> None:
    taken(drop)
    apply(drop.progress, next(drop.source.pages()).progress)
    [name] = drop.files_in_progress()
    drop.progress[name] = b"2"
    drop.restart()
    assert serials(wait(drop)) == ["3"]


def test_a_marker_that_outlives_a_kill_makes_no_other_file_complete(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drop.folder / "a.csv").write_text(ROWS)
    (drop.folder / "a.csv.done").touch()

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            drop.take()
    assert not (drop.folder / "a.csv.done").exists()


def test_a_restart_does_not_ask_for_a_marker_that_was_there(tmp_path: Path) -> None:
    drop = Drop(tmp_path, settle_s=1_000_000)
    (tmp_path / "a.csv").write_text(ROWS)
    (tmp_path / "a.csv.done").touch()
    drop.take_only()
    drop.restart()
    assert serials(wait(drop, 10)) == ["1", "2", "3"]


def test_what_others_left_in_taken_is_left_alone_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two sources of one folder published each other's files: births as deaths."""
    births = Drop(tmp_path, settle_s=0, pattern="births-*.csv")
    deaths = Drop(tmp_path, settle_s=0, pattern="deaths-*.csv")
    (tmp_path / "births-1.csv").write_text("id\nborn\n")
    births.take_only()
    (tmp_path / "taken" / "deaths-by-hand.csv").write_text("id\nby hand\n")
    assert deaths.take() == []
    assert deaths.take() == []
    assert [r.getMessage() for r in caplog.records if "left alone" in r.getMessage()] == [
        "2 files in taken/ are not this source's, by their names: left alone"
    ]
    assert serials(births.take()) == ["born"]


def test_what_does_not_match_the_pattern_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On Windows, `A.CSV` is what `*.csv` means."""
    drop = Drop(tmp_path, settle_s=0)
    for name in ("A.CSV", "b.txt", "c.part", ".d", "e.csv.done"):
        (tmp_path / name).write_text("id\n1\n")
    assert drop.take() == drop.take() == []
    said = [r.getMessage() for r in caplog.records]
    assert said == ["2 files do not match the pattern *.csv: left alone"]


def test_progress_of_a_file_that_is_left_alone_is_kept(tmp_path: Path) -> None:
    drop = Drop(tmp_path, settle_s=0)
    (tmp_path / "a.csv").write_text(ROWS)
    apply(drop.progress, next(drop.source.pages()).progress)
    other = Drop(tmp_path, settle_s=0, pattern="b*.csv")
    other.progress = drop.progress
    other.restart()
    assert other.take() == []
    drop.restart()
    assert serials(drop.take()) == ["3"]
