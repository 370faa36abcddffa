"""`exchange connector check` names every mistake of the block `answers`, with its line; a right one has none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange.cases.answering import answer_check, items
from exchange.connect import load
from exchange.connect.load import ConnectorConfigError
from tests.rigs.answering import OUTBOX, SINK, STUDY, WAGES, TaxOffice


@pytest.fixture
def office(tmp_path: Path) -> Iterator[TaxOffice]:
    made = TaxOffice(f"sqlite:///{tmp_path}/tax.db", tmp_path)
    yield made
    made.close()


def said(office: TaxOffice) -> list[tuple[str, str]]:
    found = answer_check.check(office.connector, office.folder)
    return [(problem.path, f"{problem.severity}: {problem.message}") for problem in found]


def test_a_right_block_has_no_mistakes_and_nothing_is_written(office: TaxOffice) -> None:
    before = (office.folder / "tax.db").read_bytes()
    assert said(office) == []
    assert (office.folder / "tax.db").read_bytes() == before


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}


@pytest.mark.parametrize(
    ("item", "path", "message"),
    [
        (WAGES | {"by": "person"}, "answers[0]", "give exactly one of `query` and `by: person`"),
        (without(STUDY, "by"), "answers[0]", "give exactly one of `query` and `by: person`"),
        (
            without(WAGES, "person"),
            "answers[0]",
            "`query` needs `person`, a query of the name that belongs to the number :party_id",
        ),
        (STUDY | {"unknown": "nothing_found"}, "answers[0]", "`person`, `unknown`, `as_of` and `parameters` go"),
        (STUDY | {"as_of": "SELECT 1"}, "answers[0]", "`person`, `unknown`, `as_of` and `parameters` go"),
        (WAGES | {"parameters": ["limit", "as_of"]}, "answers[0]", "every question has as_of: leave it out"),
        (without(STUDY, "answer"), "answers[0].answer", "'answer' is missing"),
        (STUDY | {"answer": {"a": {"shape": "total"}}}, "answers[0].answer.a.shape", "input should be 'value'"),
        (STUDY | {"quary": "SELECT 1"}, "answers[0].quary", "'quary' is not known here"),
        ("study", "answers[0]", "input should be a valid dictionary"),
    ],
)
def test_mistakes_of_form(office: TaxOffice, item: Any, path: str, message: str) -> None:
    office.write(item)
    [(where, what)] = said(office)
    assert where == path
    assert what.startswith(f"error: {message}")
    with pytest.raises(ConnectorConfigError):
        items.askers(office.connector)


@pytest.mark.parametrize(
    ("item", "path", "message"),
    [
        (
            WAGES | {"query": "SELECT no FROM income"},
            "query",
            "error: query of wages of household: there is no such col",
        ),
        (WAGES | {"query": "SELECT 1; SELECT 2"}, "", "error: `query` has more than one statement"),
        (WAGES | {"query": "DELETE FROM income"}, "query", "error: query of wages of household: the SQL is not valid"),
        (WAGES | {"person": "SELECT * FROM resident"}, "person", "error: `person` gives 2 columns"),
        (WAGES | {"as_of": "SELECT 1, 2"}, "as_of", "error: `as_of` gives 2 columns"),
        (
            WAGES | {"person": "SELECT name FROM resident WHERE id = :party"},
            "person",
            "error: there is no parameter :party",
        ),
        (without(WAGES, "parameters"), "query", "error: there is no parameter :limit"),
    ],
)
def test_queries_are_tried(office: TaxOffice, item: Any, path: str, message: str) -> None:
    office.write(item)
    [(where, what)] = said(office)
    assert where == ".".join(["answers[0]", *([path] if path else [])])
    assert what.startswith(message)


def test_columns_are_what_is_declared(office: TaxOffice) -> None:
    office.write(WAGES | {"query": "SELECT 1 AS total, 2 AS month, 3 AS over_limit, 'low' AS bracket"})
    assert said(office) == [
        ("answers[0].query", "warning: `answer` does not declare the column month: it is left out"),
        ("answers[0].query", "error: the query gives no column months, which `answer` declares"),
    ]


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"sinks": []}, "answers[0].question", "error: no sink takes in civil-affairs.question"),
        ({"sinks": [SINK | {"database": "sqlite:///x.db"}]}, "sinks[0].database", "error: civil-affairs.question has"),
        (
            {"sinks": [SINK | {"parquet": {"folder": "x"}}]},
            "sinks[0]",
            "error: civil-affairs.question does not go into",
        ),
        ({"sources": []}, "answers", "error: no source publishes tax.answer"),
        ({"sources": [OUTBOX | {"table": "answers"}]}, "sources[0]", "error: tax.answer does not come from the table"),
        (
            {"sources": [OUTBOX | {"cursor": {"time": "queried_at", "id": "id"}}]},
            "sources[0]",
            "error: tax.answer does not come from the table",
        ),
        ({"sources": [OUTBOX | {"database": "sqlite:///x.db"}]}, "sources[0].database", "error: tax.answer has a data"),
        ({"answers": [STUDY, STUDY]}, "answers[1].item", "error: study of household is there twice"),
        ({"database": "mysql://a@127.0.0.1/a"}, "database", "error: "),
        ({"database": "sqlite:///missing.db"}, "database", "error: there is no database file"),
        ({"database": None}, "database", "error: cases need a database"),
    ],
)
def test_what_has_to_be_beside_the_block(office: TaxOffice, changes: dict[str, Any], path: str, message: str) -> None:
    office.write(STUDY, **changes)
    found = said(office)
    assert [where for where, _ in found] == [path]
    assert found[0][1].startswith(message)


def test_without_the_block_nothing_is_looked_at(office: TaxOffice) -> None:
    office.write(**{"answers": [], "database": None})
    assert said(office) == []
    assert items.askers(load.load(office.folder, "tax")) == ()
