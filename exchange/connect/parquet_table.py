"""A folder of Parquet files in place of a sink's table: what was delivered, in files that are never written to again.

A row says of itself what it is (`_operation`: upsert, withdraw, delete) and of which record (`_partition`, `_offset`,
`_time`, `_replay`). A file holds a range of offsets of one partition, and its name says which. Rows are collected for
some minutes; then their files are written under hidden names, the offsets are moved and the names noted in one
transaction of a SQLite database in the folder, and the files get their names. What a kill interrupts before the
transaction is read from the inbox again, and after it the names are given at the next start.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exchange import private
from exchange.connect.config import Parquet
from exchange.connect.database import translated
from exchange.connect.extras import extra
from exchange.connect.held_copy import HeldCopy
from exchange.connect.offsets import OtherSinkError, making
from exchange.connect.parquet_files import FILES, REWRITTEN, UNFINISHED, ParquetFiles, writing_in
from exchange.connect.parquet_types import Adapt, ParquetTypeError, adapter, arrow_type
from exchange.connect.row_change import RecordOrigin, Refused, RowChange
from exchange.connect.sink_layout import TableMismatchError
from exchange.connect.sink_table import SinkTable
from exchange.connect.sink_values import UnstorableError
from exchange.schema.avro import Schema

STATE = ".exchange.db"
OPERATION, PARTITION, OFFSET, TIME, REPLAY = "_operation", "_partition", "_offset", "_time", "_replay"


class ParquetTable(SinkTable):
    """Collects changes, and drops them as files when `parquet` says so; `engine` is the folder's state."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        parquet: Parquet,
        key: Sequence[str],
        entity: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(engine, "parquet", key, entity)
        self._arrow, self._writer = extra("pyarrow", "parquet"), extra("pyarrow.parquet", "parquet")
        self._folder, self._parquet, self._monotonic = folder, parquet, monotonic
        self._types: dict[str, Any] = {
            OPERATION: self._arrow.string(),
            PARTITION: self._arrow.int32(),
            OFFSET: self._arrow.int64(),
            TIME: self._arrow.timestamp("ms", "UTC"),
            REPLAY: self._arrow.string(),
        }
        self._to_arrow: dict[str, Adapt] = {}
        self._changes: list[RowChange] = []
        self._moved: dict[int, tuple[int, int]] = {}
        self._topic, self._since = "", 0.0

    def takes_columns(self) -> bool:
        return False

    def copy(self, topic: str) -> HeldCopy:
        return ParquetFiles(self._engine, self._folder, topic, self._copies, self._writer)

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        self._drop()  # what is collected was read behind these offsets
        known = super().offsets(topic, partitions)
        with translated("read offsets"), writing_in(self._folder), making(self._engine) as connection:
            FILES.create(connection, checkfirst=True)
            connection.execute(sa.delete(FILES).where(FILES.c.name == ""))  # from here on nobody else changes files
            noted = set(connection.scalars(sa.select(FILES.c.name)))
            for hidden in self._folder.glob(REWRITTEN):
                hidden.unlink()
            for hidden in self._folder.glob(UNFINISHED):
                if hidden.name[1:] in noted:
                    hidden.rename(self._folder / hidden.name[1:])
                else:
                    hidden.unlink()
        return known

    def examine(self, delivered: Schema) -> None:
        """Raise what `fit` would raise."""
        for name, field in self._columns(delivered).items():
            arrow_type(field.type, name)
            if name in (OPERATION, PARTITION, OFFSET, TIME, REPLAY):
                raise ParquetTypeError(f"{name} is a column of every file", remedy="rename the field in the schema")

    def fit(self, schema: Schema) -> bool:
        """Take rows of that schema from now on; never a new table. Raises TableMismatchError if a type has changed."""
        self.examine(schema)
        for name, field in self._columns(schema).items():
            made = arrow_type(field.type, name)
            if self._types.setdefault(name, made) != made:
                raise TableMismatchError(f"{name} was {self._types[name]} and would be {made}")
            self._to_arrow[name] = adapter(field.type)
        return False

    def upsert(self, schema: Schema, record: Mapping[str, Any], origin: RecordOrigin) -> RowChange:
        return RowChange({OPERATION: "upsert"} | dict(record), origin)

    def withdraw(self, schema: Schema, name: Mapping[str, Any], origin: RecordOrigin) -> RowChange:
        return RowChange({OPERATION: "withdraw"} | dict(name), origin, is_gone=True)

    def delete(self, key: bytes, origin: RecordOrigin) -> RowChange:
        """The row that says that all of the entity with that record key is deleted."""
        try:
            text = key.decode()
            whole = self._arrow.types.is_integer(self._types[self.entity])
            return RowChange({OPERATION: "delete", self.entity: int(text) if whole else text}, origin, is_gone=True)
        except (KeyError, ValueError) as error:
            raise UnstorableError("a tombstone whose key is not an entity") from error

    def apply(
        self,
        topic: str,
        changes: Sequence[RowChange],
        moved: Mapping[int, tuple[int, int]],
        set_aside: Callable[[Refused], None],
    ) -> Refused:
        """Collect the changes; they and the offsets become durable together, when a file is due."""
        set_aside(())
        if not self._moved:
            self._topic, self._since = topic, self._monotonic()
        self._changes += changes
        self._moved |= {p: (self._moved.get(p, (at, 0))[0], after) for p, (at, after) in moved.items()}
        self.drop_if_due()
        return ()

    def drop_if_due(self) -> None:
        """Write the files if there are rows enough, or if the first ones have waited for long enough."""
        if len(self._changes) >= self._parquet.rows or self._monotonic() - self._since >= self._parquet.every_s:
            self._drop()

    def close(self) -> None:
        try:
            self._drop()
        finally:
            super().close()

    def _drop(self) -> None:
        if not self._moved:
            return
        rows: dict[int, list[RowChange]] = defaultdict(list)
        for change in self._changes:
            rows[change.origin.partition].append(change)
        with translated("write Parquet files"), writing_in(self._folder):
            files = {self._written(partition, part): len(part) for partition, part in rows.items()}
            with self._moving(self._topic, self._moved, is_change=bool(self._changes)) as connection:
                if files:
                    connection.execute(sa.insert(FILES), [{"name": n, "rows": count} for n, count in files.items()])
                if any(not (self._folder / f".{name}").exists() for name in files):
                    raise OtherSinkError("another process has cleared the folder's unfinished files")
            for name in files:
                with suppress(FileNotFoundError):  # another process that starts has given it its name
                    (self._folder / f".{name}").rename(self._folder / name)
            private.sync(self._folder)
        self._changes, self._moved = [], {}

    def _written(self, partition: int, part: Sequence[RowChange]) -> str:
        first, after = self._moved[partition]
        name = f"{partition:05d}-{first:020d}-{after:020d}.parquet"
        columns = {
            OPERATION: [change.row[OPERATION] for change in part],
            PARTITION: [partition] * len(part),
            OFFSET: [change.origin.offset for change in part],
            TIME: [datetime.fromtimestamp(change.origin.time_ms / 1000, UTC) for change in part],
            REPLAY: [change.origin.replay for change in part],
        }
        for field, to in self._to_arrow.items():
            columns[field] = [to(change.row.get(field)) for change in part]
        arrays = {name: self._arrow.array(values, self._types[name]) for name, values in columns.items()}
        hidden = self._folder / f".{name}"
        self._writer.write_table(self._arrow.table(arrays), hidden, compression="zstd")
        private.sync(hidden)
        return name
