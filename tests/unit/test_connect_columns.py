"""A column that was there and is gone stops its source; only one that never was may take the field's default."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.assembly import Assembly
from exchange.connect.config import Database, SourceConfig
from exchange.connect.database import DatabaseConfigError, Paths
from exchange.connect.source import Bad
from exchange.connect.testing import apply
from exchange.errors import ConfigError
from exchange.schema import avro

SCHEMA = avro.parse(
    json.dumps(
        {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": "id", "type": "long"},
                {"name": "Note", "type": ["null", "string"], "default": None},
                {"name": "remark", "type": ["null", "string"], "default": None},
            ],
        }
    )
)


class Table:
    """A table on SQLite, published by a source that is made anew as after a restart."""

    def __init__(self, folder: Path, origin: dict[str, Any]) -> None:
        self._folder = folder
        self.database = sqlite3.connect(folder / "x.db", isolation_level=None)
        self.database.execute('CREATE TABLE t (id INTEGER, "Note" TEXT, at TEXT)')
        self._number = 0
        self.origin = origin
        self.progress: dict[str, bytes] = {}

    def insert(self) -> None:
        self._number += 1
        at = f"2025-01-01 00:00:{self._number:02d}"
        self.database.execute("INSERT INTO t (id, at) VALUES (?, ?)", [self._number, at])

    def pages(self, **options: Any) -> Iterator[list[Any]]:
        config = SourceConfig(subject="a.b", cursor={"time": "at", "id": "id"}, **self.origin, **options)
        parts = Assembly(Paths(self._folder, self._folder), Database(url="sqlite:///x.db"))
        with closing(parts.source(config, SCHEMA)) as source:
            source.open(dict(self.progress))
            for page in source.pages():
                apply(self.progress, page.progress)
                yield list(page.rows)

    def take(self, **options: Any) -> list[Any]:
        return [row for page in self.pages(**options) for row in page]


ORIGINS: list[dict[str, Any]] = [{"table": "t"}, {"query": "SELECT * FROM t"}]


@pytest.fixture(params=ORIGINS, ids=["table", "query"])
def table(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Table]:
    made = Table(tmp_path, request.param)
    yield made
    made.database.close()


@pytest.mark.parametrize("new_rows", [True, False])
@pytest.mark.parametrize("change", ["DROP COLUMN Note", "RENAME COLUMN Note TO other"])
def test_a_column_that_goes_stops_the_source(table: Table, change: str, new_rows: bool) -> None:
    table.insert()
    assert len(table.take()) == 1
    table.database.execute(f"ALTER TABLE t {change}")
    if new_rows:
        table.insert()
    with pytest.raises(ConfigError, match="no longer has column Note") as raised:
        table.take()
    assert "optional: [Note]" in str(raised.value)
    assert len(table.take(optional=["Note"])) == int(new_rows)


def test_a_column_that_goes_between_two_looks_is_not_read_as_its_name(tmp_path: Path) -> None:
    """SQLite takes a quoted name that is no column for a text: each row would have had the value `Note`."""
    table = Table(tmp_path, {"table": "t"})
    config = SourceConfig(subject="a.b", cursor={"time": "at", "id": "id"}, table="t")
    parts = Assembly(Paths(tmp_path, tmp_path), Database(url="sqlite:///x.db"))
    table.insert()
    with closing(parts.source(config, SCHEMA)) as source:
        source.open({})
        assert sum(len(page.rows) for page in source.pages()) == 1
        table.database.execute("ALTER TABLE t RENAME COLUMN Note TO other")
        table.insert()
        with pytest.raises(ConfigError):
            list(source.pages())
    table.database.close()


def test_what_was_published_before_there_was_this_guard_is_noted_without_new_rows(table: Table) -> None:
    table.insert()
    table.take()
    del table.progress["columns"]
    assert list(table.pages()) == [[]]
    assert list(table.pages()) == []
    table.database.execute("ALTER TABLE t DROP COLUMN Note")
    with pytest.raises(ConfigError, match="no longer has column Note"):
        table.take()


def test_a_column_that_never_was_takes_the_default(table: Table) -> None:
    table.insert()
    assert table.take() == [{"id": 1, "Note": None, "at": "2025-01-01 00:00:01"}]
    table.database.execute("ALTER TABLE t ADD COLUMN remark TEXT")
    table.insert()
    assert table.take() == [{"id": 2, "Note": None, "remark": None, "at": "2025-01-01 00:00:02"}]
    table.database.execute("ALTER TABLE t DROP COLUMN remark")
    with pytest.raises(ConfigError, match="no longer has column remark"):
        table.take()


def test_a_column_under_a_new_name_is_named_in_the_file(table: Table) -> None:
    table.insert()
    table.take()
    table.database.execute("ALTER TABLE t RENAME COLUMN Note TO text")
    table.insert()
    assert [row["text"] for row in table.take(columns={"Note": "text"})] == [None]


def test_a_column_that_the_file_names_has_to_be_there(table: Table) -> None:
    """A slip of the pen, after a column was renamed, must not publish nulls."""
    table.insert()
    with pytest.raises(DatabaseConfigError, match="no column txet"):
        table.take(columns={"Note": "txet"})
    assert len(table.take(columns={"Note": "txet"}, optional=["txet"])) == 1


def test_behind_a_transform_every_column_counts(table: Table, tmp_path: Path) -> None:
    (tmp_path / "transform.py").write_text("def t(row):\n    return row\n")
    table.database.execute("ALTER TABLE t ADD COLUMN of_the_transform TEXT")
    table.insert()
    table.take(transform="transform.py:t")
    table.database.execute("ALTER TABLE t DROP COLUMN of_the_transform")
    table.insert()
    with pytest.raises(ConfigError, match="no longer has column of_the_transform"):
        table.take(transform="transform.py:t")
    # Without the transform, nobody wants it.
    assert len(table.take()) == 1


class Folder:
    """A drop folder, published by a source that is made anew for each file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.progress: dict[str, bytes] = {}

    def take(self, text: str, **options: Any) -> list[Any]:
        (self._folder / "a.csv").write_text(text)
        config = SourceConfig(subject="a.b", csv={"folder": ".", "settle_s": 0}, **options)
        source = Assembly(Paths(self._folder, self._folder), None).source(config, SCHEMA)
        source.open(dict(self.progress))
        rows: list[Any] = []
        for page in source.pages():
            apply(self.progress, page.progress)
            rows += page.rows
        return rows


def test_a_file_that_lacks_a_column_of_the_files_before_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.take("id,Note\n1,x\n") == [{"id": "1", "Note": "x"}]
    [bad] = folder.take("id\n2\n")
    assert isinstance(bad, Bad)
    assert re.search("no column Note, which files before had.*optional", bad.reason)
    assert len(list((tmp_path / "refused").iterdir())) == 1
    assert folder.take("id\n2\n", optional=["Note"]) == [{"id": "2"}]
    assert folder.take("Note,id\nx,3\n") == [{"Note": "x", "id": "3"}]


def test_a_column_that_no_file_had_and_one_that_nobody_wants(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.take("id,other\n1,x\n") == [{"id": "1", "other": "x"}]
    assert folder.take("id\n2\n") == [{"id": "2"}]
    [bad] = folder.take("id\n3\n", columns={"Note": "txet"})
    assert isinstance(bad, Bad)
    assert folder.take("id\n3\n", columns={"Note": "txet"}, optional=["txet"]) == [{"id": "3"}]
