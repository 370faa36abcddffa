"""A sink's folder of Parquet files: what is in them, that they are complete, and that each record is in one of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as arrow
import pytest
from pyarrow import parquet

from exchange.connect import extras, parquet_table
from exchange.connect.config import Database, Parquet
from exchange.connect.database import Paths, engine
from exchange.connect.offsets import OtherSinkError
from exchange.connect.parquet_files import ParquetFolderError
from exchange.connect.parquet_table import STATE, ParquetTable
from exchange.connect.parquet_types import ParquetTypeError
from exchange.connect.row_change import RecordOrigin
from exchange.connect.sink_layout import TableMismatchError
from exchange.schema.avro import Schema
from tests.rigs.sinks import PLAIN, row, schema

TOPIC = "inbox.a.b"


class Drop:
    """A folder, and its table on a clock of the test's own."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder, self.now = folder, 0.0
        self._config = Parquet(folder=str(folder), **config)
        self.start()

    def start(self, of: Schema = PLAIN) -> None:
        """A new process: what the one before had not committed is forgotten."""
        state = engine(Database(url=f"sqlite:///{self.folder / STATE}"), Paths(self.folder, self.folder), writes=True)
        self.table = ParquetTable(state, self.folder, self._config, ("id",), "id", monotonic=lambda: self.now)
        self.table.fit(of)
        self.next = self.table.offsets(TOPIC, [0, 1])

    def take(self, *records: dict[str, Any], partition: int = 0, of: Schema = PLAIN) -> None:
        """Take the records in, as a sink does."""
        first = self.next[partition]
        changes = [
            self.table.upsert(of, record, RecordOrigin(partition, at, 1_700_000_000_000 + at))
            for at, record in enumerate(records, first)
        ]
        self.next[partition] = first + len(records)
        self.table.apply(TOPIC, changes, {partition: (first, self.next[partition])}, lambda _: None)

    def rows(self) -> list[dict[str, Any]]:
        """What an analyst reads: every file whose name is not hidden."""
        files = sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
        return [each for path in files for each in parquet.ParquetFile(path).read().to_pylist()]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith(STATE))


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path, rows=4, every="10m")


def test_a_file_is_written_when_rows_are_enough_or_have_waited(drop: Drop) -> None:
    drop.take(row(1), row(2))
    assert drop.names() == []
    drop.take(row(3), row(4), partition=1)
    assert drop.names() == [f"0000{p}-{0:020d}-{2:020d}.parquet" for p in (0, 1)]
    drop.take(row(5))
    drop.now = 599
    drop.table.drop_if_due()
    assert len(drop.names()) == 2
    drop.now = 600
    drop.table.drop_if_due()
    assert len(drop.rows()) == 5
    drop.take(row(6))
    drop.table.close()
    assert [each["n"] for each in drop.rows() if each["_partition"] == 0] == [1, 2, 5, 6]


def test_rows_say_what_they_are_and_of_which_record(drop: Drop) -> None:
    origin = RecordOrigin(0, 1, 1_700_000_000_123, "r1")
    gone = drop.table.withdraw(PLAIN, {"id": "x"}, origin)
    deleted = drop.table.delete(b"y", RecordOrigin(0, 2, 1_700_000_000_124))
    put = drop.table.upsert(PLAIN, row(7), RecordOrigin(0, 0, 0))
    drop.table.apply(TOPIC, [put, gone, deleted], {0: (0, 5)}, lambda _: None)
    drop.table.close()
    said = [(each["_operation"], each["_offset"], each["_replay"], each["id"], each["n"]) for each in drop.rows()]
    assert said == [
        ("upsert", 0, None, row(7)["id"], 7),
        ("withdraw", 1, "r1", "x", None),
        ("delete", 2, None, "y", None),
    ]
    assert drop.rows()[1]["_time"] == datetime.fromtimestamp(1_700_000_000.123, UTC)
    drop.start()
    assert drop.next == {0: 5, 1: 0}


def test_types_are_those_of_the_schema(tmp_path: Path) -> None:
    def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "logicalType": name, **more}

    given: dict[str, tuple[Any, Any, Any]] = {
        "id": ("string", "a", arrow.string()),
        "whole": ("int", 1, arrow.int32()),
        "long": ("long", 2**60, arrow.int64()),
        "single": ("float", 0.5, arrow.float32()),
        "double": (["null", "double"], 0.1, arrow.float64()),
        "yes": ("boolean", True, arrow.bool_()),
        "raw": ("bytes", b"\0", arrow.binary()),
        "amount": (logical("bytes", "decimal", precision=12, scale=2), Decimal("1.10"), arrow.decimal128(12, 2)),
        "wide": (logical("bytes", "decimal", precision=50, scale=2), Decimal("1.10"), arrow.decimal256(50, 2)),
        "day": (logical("int", "date"), date(2026, 3, 1), arrow.date32()),
        "clock": (logical("int", "time-millis"), time(10, 20), arrow.time32("ms")),
        "at": (logical("long", "timestamp-micros"), datetime(2026, 3, 1, tzinfo=UTC), arrow.timestamp("us", "UTC")),
        "local": (logical("long", "local-timestamp-millis"), datetime(2026, 3, 1), arrow.timestamp("ms")),
        "uuid": (logical("string", "uuid"), UUID(int=7), arrow.string()),
        "kind": ({"type": "enum", "name": "K", "symbols": ["A"]}, "A", arrow.string()),
        "list": ({"type": "array", "items": "int"}, [1], arrow.list_(arrow.int32())),
        "map": ({"type": "map", "values": "int"}, {"k": 1}, arrow.map_(arrow.string(), arrow.int32())),
    }
    of = schema(**{name: kind for name, (kind, _, _) in given.items()})
    drop = Drop(tmp_path)
    drop.start(of)
    drop.take({name: value for name, (_, value, _) in given.items()}, of=of)
    drop.table.close()
    [file] = [path for path in tmp_path.iterdir() if path.suffix == ".parquet"]
    found = parquet.read_schema(file)
    assert {name: found.field(name).type for name in given} == {name: made for name, (_, _, made) in given.items()}
    [read] = drop.rows()
    expected = {name: value for name, (_, value, _) in given.items()} | {"uuid": str(UUID(int=7)), "map": [("k", 1)]}
    assert {name: read[name] for name in given} == expected


def test_what_no_column_can_hold_is_refused(drop: Drop) -> None:
    with pytest.raises(ParquetTypeError, match="n is a union of several types"):
        drop.table.examine(schema(id="string", n=["int", "string"]))
    with pytest.raises(TableMismatchError):
        drop.table.fit(schema(id="string", n="string"))
    with pytest.raises(ParquetTypeError, match="_time is a column of every file"):
        drop.table.examine(schema(id="string", _time="string"))


class KilledError(BaseException):
    """The process ends here."""


def dying(monkeypatch: pytest.MonkeyPatch, of: Any, name: str, at: int, *, after: bool) -> Callable[[], None]:
    """Have the call number `at` of that function end the process, before or after it has its effect."""
    real, calls = getattr(of, name), 0

    def call(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            raise KilledError
        result = real(*args, **more)
        if calls == at:
            raise KilledError
        return result

    monkeypatch.setattr(of, name, call)
    return monkeypatch.undo


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("of", "name"), [
    (parquet, "write_table"), (os, "fsync"), (Path, "rename"), (parquet_table.sa, "insert"), (Path, "exists"),
])  # fmt: skip
@pytest.mark.parametrize("at", [1, 2])
def test_each_record_is_in_one_file_through_kills(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, of: Any, name: str, at: int, after: bool
) -> None:
    serial, expected = 0, 0
    for _ in range(3):
        undo = dying(monkeypatch, of, name, at, after=after)
        try:
            for partition in (0, 1):
                drop.take(row(serial), row(serial + 1), partition=partition)
                serial += 2
        except KilledError:
            pass
        undo()
        drop.start()
        for partition in (0, 1):  # what is not committed comes again
            lacking = 2 * (expected // 4 + 1) - drop.next[partition]
            drop.take(*(row(n) for n in range(lacking)), partition=partition)
        drop.table.close()
        drop.start()
        expected += 4
        places = [(each["_partition"], each["_offset"]) for each in drop.rows()]
        assert sorted(places) == [(p, n) for p in (0, 1) for n in range(expected // 2)]
        assert not [name for name in drop.names() if name.startswith(".")]


def test_of_two_processes_one_gives_way(tmp_path: Path) -> None:
    one, other = Drop(tmp_path, rows=2), Drop(tmp_path, rows=2)
    one.take(row(1))
    other.take(row(1), row(2))
    with pytest.raises(OtherSinkError):
        one.take(row(2))
    assert len(other.rows()) == 2


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_lost(drop: Drop) -> None:
    in_the_way = drop.folder / f".00000-{0:020d}-{4:020d}.parquet"
    in_the_way.mkdir()
    with pytest.raises(ParquetFolderError, match=f"{drop.folder} cannot be written: Is a directory"):
        drop.take(*map(row, range(4)))
    with pytest.raises(ParquetFolderError):
        drop.table.close()
    in_the_way.rmdir()
    drop.start()
    assert drop.next == {0: 0, 1: 0}
    drop.take(*map(row, range(4)))
    assert [each["n"] for each in drop.rows()] == [0, 1, 2, 3]


def test_files_give_up_columns_and_rows_when_the_grant_asks_for_it(drop: Drop) -> None:
    drop.take(row(1), row(2), row(3), row(4))
    copy = drop.table.copy(TOPIC)
    until = date(2026, 12, 31)
    copy.hold("g1", until, ["id", "n", "note"], ("id",), epoch=1, deletes=True)
    copy.hold("g1", until, ["id", "n"], ("id",), epoch=2, deletes=True)
    assert [(each["n"], "note" in each) for each in drop.rows()] == [(n, False) for n in (1, 2, 3, 4)]
    copy.count()
    note = copy.note()
    assert note is not None
    assert note.rows == 4
    copy.end("g1", until, deletes=True, since=0)
    while copy.delete_some():
        pass
    assert copy.finish()
    assert drop.names() == []


def test_without_the_extra_the_error_says_how_to_install_it(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(extras.MissingExtraError) as caught:
        drop.start()
    assert caught.value.remedy == "install the extra: pip install 'exchange[parquet]'"
