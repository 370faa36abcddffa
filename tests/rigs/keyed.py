"""Sources of a subject with a key, without Kafka: pages as a journal takes them, with rows decoded again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from exchange.connect.column_encoder import ColumnEncoder
from exchange.connect.config import Csv, Cursor, Database, Excel, SoftDelete, SourceConfig, Sweep
from exchange.connect.convert import converter
from exchange.connect.database import Paths, engine
from exchange.connect.full_files import FullFileSource
from exchange.connect.publish import Encoder
from exchange.connect.roll_call import RollCall
from exchange.connect.row_key import RowKey
from exchange.connect.source import Deleted, Encoded, Page, Row, Source
from exchange.connect.sweep import SweptTable
from exchange.connect.testing import Journal, Origin
from exchange.contract.key import name_schema
from exchange.contract.model import Subject
from exchange.schema import avro, wire
from tests.rigs.drops import reader
from tests.rigs.sinks import schema
from tests.rigs.workbooks import write

CAR = schema(vin="string", year="int", state=["null", "string"])
SUBJECT = Subject.model_validate(
    {
        "name": "car",
        "owner": "police",
        "title": {"zh": "车", "en": "Car"},
        "schema": "x.avsc",
        "entity": {"field": "vin", "kind": "organisation"},
        "key": ["vin", "year"],
        "share": "open",
    }
)
NAMES = name_schema(CAR, SUBJECT.key)


def encoder(
    columns: Mapping[str, str] | None = None, transform: Callable[[Row], Row | None] | None = None, **changes: Any
) -> Encoder:
    subject = SUBJECT.model_copy(update=changes)
    key = RowKey(subject, NAMES, converter(NAMES, columns or {})) if subject.key else None
    in_columns = partial(ColumnEncoder, subject, 7, CAR, columns or {}, "UTC", {})
    return Encoder(subject, 7, CAR, converter(CAR, columns or {}), transform, key, in_columns)


def name(vin: str, year: int = 2020) -> bytes:
    return avro.encode(NAMES, {"vin": vin, "year": year})


def read(page: Page) -> Page:
    """The page with the rows that its records stand for."""

    def row(made: Any) -> Any:
        if not isinstance(made, Encoded):
            return made
        if made.value is None:
            assert made.name is not None
            return Deleted(avro.decode(NAMES, made.name))
        return avro.decode(CAR, wire.unpack(made.value)[1])

    return Page([row(made) for made in page.rows], page.progress, page.places, page.oldest)


class Table:
    """A SQLite table of cars, and the source that sweeps it on clocks of the test's own."""

    def __init__(self, folder: Path, *, key: str = "PRIMARY KEY (vin, year)", **config: Any) -> None:
        self.path = folder / "cars.db"
        self.now = 1_700_000_000.0
        self.keys_at_once = 7
        self.sql = sqlite3.connect(self.path, isolation_level=None)
        self.sql.execute(
            f"CREATE TABLE car (id INTEGER, vin TEXT, year INTEGER, state TEXT, at INTEGER{key and ', '}{key})"
        )
        self.config = SourceConfig(
            subject="police.car",
            table="car",
            cursor=Cursor(time="at", id="id"),
            **{"lookback_s": 0, "page_rows": 10, "sweep": Sweep(every="1h"), **config},
        )
        self._last = 0

    def source(self) -> SweptTable:
        made = engine(Database(url=f"sqlite:///{self.path}"), Paths(self.path.parent, self.path.parent))
        return SweptTable(
            self.config, made, None, (), RollCall(self.config, encoder(), lambda: self.now),
            keys_at_once=self.keys_at_once, fetch_rows=10, clock=lambda: self.now, monotonic=lambda: self.now,
        )  # fmt: skip

    def put(self, serials: Iterable[int], state: str = "normal") -> None:
        for serial in serials:
            self._last += 1
            row = [self._last, f"v{serial:04d}", 2020, state, int(self.now) + self._last]
            self.sql.execute("INSERT OR REPLACE INTO car VALUES (?, ?, ?, ?, ?)", row)

    def delete(self, serials: Iterable[int]) -> None:
        self.sql.executemany("DELETE FROM car WHERE vin = ?", [[f"v{serial:04d}"] for serial in serials])


class Cars(Origin):
    """An origin over `Table`; a source that compares its keys each time that it is asked."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.table = Table(folder, **config)

    def source(self) -> Source:
        return Readable(self.table.source())

    def add(self, serials: Iterable[int]) -> None:
        self.table.put(serials)

    def delete(self, serials: Iterable[int]) -> None:
        self.table.delete(serials)

    def serial(self, row: Row) -> int:
        return int(row["vin"][1:])


class Readable(Source):
    """Another source, with rows in place of records; its comparisons are whole when its pages end."""

    def __init__(self, inner: Source) -> None:
        super().__init__({})
        self._inner = inner

    def open(self, progress: Mapping[str, bytes]) -> None:
        self._inner.open(progress)

    def settled(self) -> bool:
        return self._inner.settled()

    def close(self) -> None:
        self._inner.close()

    def pages(self) -> Iterator[Page]:
        while True:
            yield from map(read, self._inner.pages())
            if self._inner.settled():
                return


def drained(source: Source, journal: Journal, origin: Origin) -> None:
    """Commit all that the source has."""
    source.open(dict(journal.progress))
    try:
        for page in Readable(source).pages():
            journal.commit(page, origin)
    finally:
        source.close()


class Registers(Origin):
    """A drop folder in which each file is the whole register."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.rows: dict[int, str] = {}
        self.number = 0
        self.config = SourceConfig(
            subject="police.car",
            csv=Csv(folder=str(folder), settle_s=0, mode="full"),
            **{"page_rows": 10, "brake": 1.0, **config},
        )

    def source(self) -> Source:
        roll_call = RollCall(self.config, encoder())
        return Readable(FullFileSource(self.config, self.folder, reader(self.config), None, ["vin", "year"], roll_call))

    def add(self, serials: Iterable[int]) -> None:
        self.rows |= dict.fromkeys(serials, "normal")
        self.drop()

    def delete(self, serials: Iterable[int]) -> None:
        for serial in serials:
            del self.rows[serial]
        self.drop()

    def drop(self, *more: str) -> None:
        self.number += 1
        lines = ["vin,year,state", *(f"v{serial:04d},2020,{state}" for serial, state in self.rows.items()), *more]
        part = self.folder / "x.part"
        part.write_bytes(("\n".join(lines) + "\n").encode(errors="surrogateescape"))
        part.rename(self.folder / f"{self.number:06d}.csv")

    def serial(self, row: Row) -> int:
        return int(row["vin"][1:])


class Workbooks(Registers):
    """As `Registers`, in workbooks; a car's state can be any cell."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rows: dict[int, Any] = {}
        excel = Excel(folder=str(folder), settle_s=0, mode="full")
        self.config = SourceConfig(subject="police.car", excel=excel, page_rows=10, brake=1.0)

    def drop(self, *more: str) -> None:
        self.number += 1
        rows = [[f"v{serial:04d}", 2020, state] for serial, state in self.rows.items()]
        part = write(self.folder / "x.part", [["vin", "year", "state"], *rows])
        part.rename(self.folder / f"{self.number:06d}.xlsx")


SOFT = SoftDelete(column="state", values=("sold",))
