"""A drop folder and its source, for unit tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exchange.connect.columns import PROGRESS
from exchange.connect.config import Csv, SourceConfig
from exchange.connect.csv_rows import CsvReader
from exchange.connect.excel_rows import ExcelReader
from exchange.connect.file_source import FileReader, FileSource
from exchange.connect.source import Bad
from exchange.connect.testing import apply


def reader(config: SourceConfig) -> FileReader:
    """The reader of the source's kind of files."""
    return ExcelReader(config.excel) if config.excel else CsvReader(config.csv or Csv(folder=""))


class Drop:
    """A drop folder with a source on a clock of the test's own."""

    def __init__(self, folder: Path, *, page_rows: int = 2, kind: str = "csv", **options: Any) -> None:
        self.folder = folder
        self.now = 0.0
        self.progress: dict[str, bytes] = {}
        self.places: list[str] = []
        config = SourceConfig.model_validate(
            {"subject": "a.b", kind: {"folder": str(folder), **options}, "page_rows": page_rows}
        )
        self._make = lambda: FileSource(
            config, folder, reader(config), None, ["id"], clock=lambda: self.now, monotonic=lambda: self.now
        )
        self.restart()

    def restart(self) -> None:
        self.source = self._make()
        self.source.open(dict(self.progress))

    def take_only(self) -> Path:
        """Take the one file that is complete, as when the connector ends before it reads it."""
        self.source._folder.take()
        [path] = (self.folder / "taken").iterdir()
        return path

    def take(self) -> list[Any]:
        rows: list[Any] = []
        for page in self.source.pages():
            rows += page.rows
            self.places += page.places
            apply(self.progress, page.progress)
        return rows

    def bad(self) -> list[str]:
        """The reasons of what the rows now there are rejected for."""
        return [row.reason for row in self.take() if isinstance(row, Bad)]

    def files_in_progress(self) -> list[str]:
        return [name for name in self.progress if name != PROGRESS]

    def files(self, name: str) -> list[str]:
        return sorted(path.name.split("-", 2)[-1] for path in (self.folder / name).iterdir())
