"""CSV files that are whole registers: what is missing in one is deleted, once, and a great loss is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

from exchange.connect.coerce import RowRejectedError
from exchange.connect.columns import PROGRESS
from exchange.connect.database import DatabaseUnavailableError
from exchange.connect.file_rows import Block, FileRows, FileRun
from exchange.connect.publish import Encoder
from exchange.connect.published import QUESTION, PublishedRows, others
from exchange.connect.roll_call import ManyDeletionsError, Question
from exchange.connect.soft_delete import deletes
from exchange.connect.table_transform import TableTransform
from exchange.connect.testing import MAX_PAGES, Journal, Origin, apply, drain
from exchange.records.text_table import TextTable
from tests.rigs.keyed import SOFT, Registers, Workbooks, encoder, name


@pytest.fixture
def registers(tmp_path: Path) -> Registers:
    return Registers(tmp_path)


def answer(journal: Journal) -> None:
    question = Question.among(journal.progress)
    assert question is not None
    apply(journal.progress, question.answer("ann", "really", datetime(2026, 1, 1, tzinfo=UTC)))


def through_kills(origin: Origin, journal: Journal) -> None:
    steps = 0
    while drain(origin, journal, pages=2 if steps % 2 else 1, lose_last=steps % 2 == 0):
        steps += 1
        assert steps < MAX_PAGES


def test_what_a_file_does_not_have_is_deleted_once_through_kills(registers: Registers) -> None:
    journal = Journal()
    registers.add(range(50))
    through_kills(registers, journal)
    assert sorted(journal.serials) == list(range(50))
    registers.delete(range(5, 40))
    through_kills(registers, journal)
    drain(registers, journal)
    assert sorted(journal.deleted) == list(range(5, 40))
    registers.add([7])
    through_kills(registers, journal)
    assert journal.there == {*range(5), 7, *range(40, 50)}
    assert len(journal.deleted) == 35


def test_a_workbook_is_a_whole_register_too(tmp_path: Path) -> None:
    journal, books = Journal(), Workbooks(tmp_path)
    books.add(range(50))
    through_kills(books, journal)
    books.delete(range(5, 40))
    through_kills(books, journal)
    assert sorted(journal.deleted) == list(range(5, 40))
    books.rows[3] = 7  # no text: its row is rejected, and its key says that it is there
    books.drop()
    drain(books, journal)
    assert (len(journal.deleted), journal.bad) == (35, ["state: int where text is due"])


def test_several_files_are_compared_one_after_the_other(registers: Registers) -> None:
    journal = Journal()
    registers.add(range(50))
    registers.delete(range(10))
    registers.add(range(5))
    drain(registers, journal)
    assert sorted(journal.deleted) == list(range(10))
    assert journal.there == {*range(5), *range(10, 50)}


def test_a_row_that_is_rejected_for_another_value_is_not_deleted(registers: Registers) -> None:
    journal = Journal()
    registers.add(range(10))
    drain(registers, journal)
    registers.rows[3] = "x" * 950_000
    registers.delete([4])
    drain(registers, journal)
    assert journal.deleted == [4]
    assert journal.bad == ["a record of more than 900000 bytes"]


@pytest.mark.parametrize("line", ["v0003,year,normal", "v0003,2020", ",,,", "v0003,2020,\udcff"])
def test_nothing_is_deleted_if_a_key_cannot_be_read(registers: Registers, line: str) -> None:
    journal = Journal()
    registers.add(range(10))
    drain(registers, journal)
    registers.rows.pop(3)
    registers.drop(line)
    drain(registers, journal)
    assert journal.deleted == []
    assert sum("nothing is deleted" in reason for reason in journal.bad) == 1
    registers.drop()
    drain(registers, journal)
    assert journal.deleted == [3]


def test_a_file_that_deletes_nothing_is_not_asked_about(tmp_path: Path) -> None:
    registers = Registers(tmp_path, brake=0.05)
    journal = Journal()
    registers.add(range(100))
    drain(registers, journal)
    registers.rows.clear()
    registers.rows[200] = "normal"
    registers.drop("v0003,2020")
    drain(registers, journal)
    assert journal.there == {*range(100), 200}


def test_a_row_that_says_that_it_is_deleted_is_deleted_once(tmp_path: Path) -> None:
    registers = Registers(tmp_path, deleted=SOFT)
    journal = Journal()
    registers.add(range(10))
    drain(registers, journal)
    registers.rows[3] = "sold"
    registers.drop()
    drain(registers, journal)
    assert journal.deleted == [3]


def test_nothing_of_a_file_is_published_before_its_loss_is_accepted(tmp_path: Path) -> None:
    registers = Registers(tmp_path, brake=0.05)
    journal = Journal()
    registers.add(range(100))
    drain(registers, journal)
    registers.delete(range(30))
    registers.add(range(200, 210))
    for _ in range(3):
        with pytest.raises(ManyDeletionsError, match="30 of 100"):
            drain(registers, journal)
    assert (len(journal.serials), journal.deleted) == (100, [])
    assert [name for name in others(journal.progress) if name != PROGRESS], "where the file stands is known"
    answer(journal)
    through_kills(registers, journal)
    assert sorted(journal.deleted) == list(range(30))
    assert journal.there == {*range(30, 100), *range(200, 210)}
    assert QUESTION not in journal.progress


def test_a_file_that_is_taken_away_ends_its_question(tmp_path: Path) -> None:
    registers = Registers(tmp_path, brake=0.05)
    journal = Journal()
    registers.add(range(100))
    drain(registers, journal)
    registers.rows.clear()
    registers.drop()
    with pytest.raises(ManyDeletionsError, match="100 of 100"):
        drain(registers, journal)
    [path] = (tmp_path / "taken").iterdir()
    path.unlink()
    drain(registers, journal)
    assert QUESTION not in journal.progress
    assert journal.deleted == []
    registers.add(range(99))
    drain(registers, journal)
    assert journal.deleted == [99]


def test_usual_rows_are_taken_in_columns(registers: Registers, monkeypatch: pytest.MonkeyPatch) -> None:
    singly: list[object] = []

    def by_itself(of: object, row: object) -> None:
        singly.append(row)
        raise RowRejectedError("by itself")

    monkeypatch.setattr(Encoder, "record", by_itself)
    monkeypatch.setattr(Encoder, "name", by_itself)
    journal = Journal()
    registers.add(range(30))
    drain(registers, journal)
    assert (journal.there, singly) == ({*range(30)}, [])
    registers.rows[7] = "é" * 1000
    registers.drop("v0050,twenty,normal")
    drain(registers, journal)
    assert [row["vin"] for row in singly if isinstance(row, Mapping)] == ["v0050"] * 2


def test_a_deleted_row_that_a_transform_rejects_is_no_row_whose_key_cannot_be_read() -> None:
    def income(table: Any) -> Any:
        return table.set_column(1, "year", table["year"].cast(pyarrow.int64()))

    rows = [["v1", "2020", "normal"], ["v2", "", "sold"]]
    run = FileRun(TextTable.of([cell.encode() for row in rows for cell in row], 3), np.arange(2, 4), np.ones(2, int))
    made = FileRows(["vin", "year", "state"], Block("", [run]), deletes(SOFT), SOFT.column)
    with_table = encoder(transform=TableTransform("income", income))
    assert with_table.names(made) == with_table.names(list(made)) == ([name("v1")], 0)


def test_no_room_for_the_names_of_published_rows_is_said() -> None:
    rows = PublishedRows(["vin"], {})
    rows._names.execute("PRAGMA max_page_count = 5")
    with pytest.raises(DatabaseUnavailableError, match=r"temporary file of the published rows: .* full .* TMPDIR"):
        rows.change({name(f"v{serial}"): True for serial in range(10_000)})
    rows.close()
