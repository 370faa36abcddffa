"""Every kind of source passes the conformance suite, and sources that cheat do not."""

from __future__ import annotations

import csv
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.config import Csv, Cursor, Database, Excel, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.file_source import FileSource
from exchange.connect.source import Page, Progress, Row, Source
from exchange.connect.sql_source import SqlSource
from exchange.connect.testing import Origin, SourceConformance
from tests.rigs.drops import reader
from tests.rigs.workbooks import write

HOSTILE = 'a "quoted"; DROP TABLE rows --'


class TableOrigin(Origin):
    """A SQLite table whose names would break any statement that does not quote them."""

    def __init__(self, folder: Path, *, step_s: float = 10.0, query: bool = False, fetch_rows: int = 10) -> None:
        self.path = folder / "source.db"
        self._step_s = step_s
        self.fetch_rows = fetch_rows
        self._connection = sqlite3.connect(self.path)
        name = HOSTILE.replace('"', '""')
        self._connection.execute(f'CREATE TABLE "{name}" ("select" INTEGER, "{name}" TEXT, "now()" TEXT)')
        self._insert = f'INSERT INTO "{name}" VALUES (?, ?, ?)'
        origin: dict[str, Any] = {"query": f'SELECT * FROM "{name}";'} if query else {"table": HOSTILE}
        self._config = SourceConfig(
            subject="a.b", cursor=Cursor(time="now()", id="select"), lookback_s=60, page_rows=10, **origin
        )

    def source(self) -> Source:
        made = engine(Database(url=f"sqlite:///{self.path}"), Paths(self.path.parent, self.path.parent))
        return SqlSource(self._config, made, None, fetch_rows=self.fetch_rows)

    def add(self, serials: Iterable[int]) -> None:
        start = datetime(2025, 1, 1)
        for serial in serials:
            at = start + timedelta(seconds=serial * self._step_s)
            self._connection.execute(self._insert, [serial, "x\0y\N{BELL}\n", str(at)])
        self._connection.commit()

    def serial(self, row: Row) -> int:
        assert row[HOSTILE] == "x\0y\N{BELL}\n"
        return int(row["select"])


class FolderOrigin(Origin):
    """A drop folder; every call of `add` drops one more file, always of the same name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = itertools.count()
        self._config = SourceConfig(subject="a.b", csv=Csv(folder=str(folder), settle_s=0), page_rows=10)

    def source(self) -> Source:
        return FileSource(self._config, self._folder, reader(self._config), None, ["serial"])

    def add(self, serials: Iterable[int]) -> None:
        part = self._folder / "x.part"
        with part.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["serial", "text"])
            writer.writerows([serial, 'a "b",\r\nc'] for serial in serials)
        name = "same.csv" if not (self._folder / "same.csv").exists() else f"same-{next(self._names)}.csv"
        part.rename(self._folder / name)

    def serial(self, row: Row) -> int:
        assert row["text"] == 'a "b",\r\nc'
        return int(row["serial"])


class WorkbookOrigin(FolderOrigin):
    """A drop folder of workbooks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._config = SourceConfig(subject="a.b", excel=Excel(folder=str(folder), settle_s=0), page_rows=10)

    def add(self, serials: Iterable[int]) -> None:
        part = write(self._folder / "x.part", [["serial", "text"], *([serial, HOSTILE] for serial in serials)])
        part.rename(self._folder / f"{next(self._names):04d}.xlsx")

    def serial(self, row: Row) -> int:
        assert row["text"] == HOSTILE
        return int(row["serial"])


class LinesSource(Source):
    """The example of a department's own source: lines of JSON that are only ever appended."""

    def open(self, progress: Progress) -> None:
        self._line = int(progress.get("line", b"0"))

    def pages(self) -> Iterator[Page]:
        with open(self.options["path"], encoding="utf-8") as file:
            lines = itertools.islice(file, self._line, None)
            while block := list(itertools.islice(lines, 10)):
                first, self._line = self._line, self._line + len(block)
                places = [f"line {first + i + 1}" for i in range(len(block))]
                yield Page([json.loads(line) for line in block], {"line": b"%d" % self._line}, places)


class LinesOrigin(Origin):
    kind: type[Source] = LinesSource

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lines"
        self._path.touch()

    def source(self) -> Source:
        return self.kind({"path": str(self._path)})

    def add(self, serials: Iterable[int]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"serial": serial}) + "\n" for serial in serials)

    def serial(self, row: Row) -> int:
        return int(row["serial"])


class TestTable(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return TableOrigin(tmp_path)


class TestTableWithinTheWindow(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return TableOrigin(tmp_path, step_s=0.001)


class TestTableOfOneTimestamp(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return TableOrigin(tmp_path, step_s=0)


class TestTableFetchedInLargeParts(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return TableOrigin(tmp_path, fetch_rows=35)


class TestQuery(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return TableOrigin(tmp_path, query=True)


class TestFolder(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return FolderOrigin(tmp_path)


class TestWorkbooks(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return WorkbookOrigin(tmp_path)


class TestLines(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return LinesOrigin(tmp_path)


class Forgetful(LinesSource):
    """Begins anew after every restart."""

    def open(self, progress: Progress) -> None:
        super().open({})


class Hasty(LinesSource):
    """Says that it has come further than it has."""

    def pages(self) -> Iterator[Page]:
        for page in super().pages():
            yield Page(page.rows[:-1] if len(page.rows) > 1 else page.rows, page.progress)


class Repeating(LinesSource):
    """Notes the position before the page in place of the one after."""

    def pages(self) -> Iterator[Page]:
        for page in super().pages():
            yield Page(page.rows, {"line": b"%d" % (self._line - len(page.rows))})


class Hoarding(LinesSource):
    """Remembers every page for ever."""

    def pages(self) -> Iterator[Page]:
        for page in super().pages():
            yield Page(page.rows, {**page.progress, f"page-{self._line}": b"x" * 5_000})


@pytest.mark.parametrize("kind", [Forgetful, Hasty, Repeating, Hoarding])
def test_the_suite_finds_a_source_that_cheats(kind: type[Source], tmp_path: Path) -> None:
    failed = []
    suite = SourceConformance()
    for name in (n for n in dir(suite) if n.startswith("test_")):
        folder = tmp_path / name
        folder.mkdir()
        origin = LinesOrigin(folder)
        origin.kind = kind
        try:
            getattr(suite, name)(origin)
        except AssertionError:
            failed.append(name)
    assert failed
