"""`exchange connector check` names what does not let deletions be noticed, with its line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exchange.connect import load
from exchange.connect.check import check
from exchange.connect.database import Paths
from exchange.contract.load import Loaded
from tests.rigs.checked import CONTRACT, LOADED, SOURCE, problems


def deletions(folder: Path, text: str, *, keyed: bool = True) -> list[tuple[int, str, str]]:
    """Line, message and severity of what is wrong with the source's deletions; every other mistake fails the test."""
    key = ("resident_id", "year") if keyed else ()
    subjects = tuple(subject.model_copy(update={"key": key}) for subject in CONTRACT.subjects)
    contract = CONTRACT.model_copy(update={"subjects": subjects})
    (folder / "tax").mkdir(exist_ok=True)
    (folder / "tax" / "connector.yaml").write_text(text)
    with closing(sqlite3.connect(folder / "tax" / "tax.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE income (id INTEGER, id_no TEXT, year INTEGER, note TEXT, at TEXT)")
        database.execute("CREATE INDEX moments ON income (at, id)")
    loaded = Loaded(contract, LOADED.schemas, ())
    found = check(load.load(folder, "tax"), loaded, Paths(folder / "tax", folder))
    assert all(problem.remedy or problem.severity == "warning" for problem in found)
    return [(problem.line, problem.message, problem.severity) for problem in found]


UNSORTED = "no index begins with the key (id_no, year): each page of keys sorts the whole table"


def test_deletions_that_fit_have_no_problem(tmp_path: Path) -> None:
    text = SOURCE + "    deleted: {column: note, values: [gone]}\n    sweep: {every: 1h}\n"
    assert deletions(tmp_path, text) == [(9, UNSORTED, "warning")]


def test_deletions_of_a_subject_without_key_are_a_mistake(tmp_path: Path) -> None:
    text = SOURCE + "    deleted: {column: note, values: [gone]}\n    sweep: {every: 1h}\n"
    message = "tax.income has no key: its records are events, which nobody deletes"
    assert deletions(tmp_path, text, keyed=False) == [(8, message, "error"), (9, message, "error")]


def test_a_full_file_of_a_subject_without_key_is_a_mistake(tmp_path: Path) -> None:
    text = (
        'department: tax\nsources:\n  - subject: tax.income\n    csv:\n      folder: "${home}/drop"\n      mode: full\n'
    )
    found = deletions(tmp_path, text, keyed=False)
    assert (6, "tax.income has no key: its records are events, which nobody deletes", "error") in found


def test_a_column_of_deletions_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    text = SOURCE + "    deleted:\n      column: notes\n      values: [gone]\n    sweep: {every: 1h}\n"
    assert deletions(tmp_path, text) == [(9, "there is no column notes", "error"), (11, UNSORTED, "warning")]


def test_a_key_without_a_column_is_a_mistake(tmp_path: Path) -> None:
    text = SOURCE.replace("id_no", "number") + "    sweep: {every: 1h}\n"
    found = deletions(tmp_path, text)
    assert any(line == 5 and "no column number" in message for line, message, _ in found)


@pytest.mark.parametrize(
    "text",
    [
        SOURCE.replace("table: income", "query: SELECT * FROM income") + "    sweep: {every: 1h}\n",
        SOURCE + "    brake: 0.1\n",
        SOURCE + "    sweep: {every: 1h}\n    transform: transform.py:income\n",
    ],
)
def test_deletions_that_do_not_go_together_are_a_mistake_with_its_line(tmp_path: Path, text: str) -> None:
    [problem] = problems(tmp_path, text)
    assert problem.line == 4
    assert "`" in problem.message
