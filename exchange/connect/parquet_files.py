"""The rows that a folder of Parquet files holds: how they are counted, emptied and deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exchange import private
from exchange.connect.held_copy import HeldCopy
from exchange.errors import TransientError

FILES = sa.Table("exchange_files", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True),
                 sa.Column("rows", sa.BigInteger, nullable=False))  # fmt: skip
COMPLETE, UNFINISHED, REWRITTEN = "[!.]*.parquet", ".*.parquet", ".*.part"  # patterns of names
DELETED_AT_ONCE = 100


class ParquetFolderError(TransientError):
    """The folder of a sink's Parquet files cannot be written."""

    code = "parquet-folder"
    remedy = "make room, or let the connector's user write in the folder; the sink goes on by itself then"


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Raise ParquetFolderError for what the system refuses there."""
    try:
        yield
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else type(error).__name__
        raise ParquetFolderError(f"{folder} cannot be written: {cause}") from error


class ParquetFiles(HeldCopy):
    """The rows of one inbox in the folder's files."""

    def __init__(self, engine: Engine, folder: Path, topic: str, notes: Any, writer: Any) -> None:
        super().__init__(engine, "parquet", None, topic, notes)
        self._folder, self._writer = folder, writer

    def delete_some(self) -> int:
        with self._writing("delete Parquet files") as connection, writing_in(self._folder):
            paths = sorted(self._folder.glob(COMPLETE))[:DELETED_AT_ONCE]
            for path in paths:
                path.unlink()
            if paths:
                self._notes.change(connection, self._topic, self._now_ms())
            return len(paths)

    def count(self) -> bool:
        with self._writing("count the rows of Parquet files") as connection:
            FILES.create(connection, checkfirst=True)
            noted = self._notes.read(connection, self._topic)
            there = {path.name for path in self._folder.glob(COMPLETE)}
            rows = sum(row.rows for row in connection.execute(sa.select(FILES)) if row.name in there)
            self._notes.count(connection, self._topic, rows, noted.changed_ms if noted else None)
        return True

    def _empty(self, fields: Iterable[str]) -> None:
        """Write the files again that have these columns, without them."""
        with writing_in(self._folder):
            self._rewrite(set(fields))

    def _rewrite(self, names: set[str]) -> None:
        for path in self._folder.glob(COMPLETE):
            gone = sorted(names.intersection(self._writer.read_schema(path).names))
            if not gone:
                continue
            hidden = path.with_name(f".{path.name}.part")
            table = self._writer.ParquetFile(path).read().drop_columns(gone)
            self._writer.write_table(table, hidden, compression="zstd")
            private.sync(hidden)
            hidden.replace(path)
