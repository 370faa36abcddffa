"""A source that takes the changes of a table of a real PostgreSQL, without Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from exchange.connect.cdc.capture import CaptureSource
from exchange.connect.config import Cdc, Database, SourceConfig
from exchange.connect.database import connection
from exchange.connect.source import Bad, Deleted, Page
from exchange.waiting import until
from tests.rigs.sql_source import HERE, run

PUBLICATION = "exchange_a__b"
SLOT = f"{PUBLICATION}_1"
DEADLINE_S = 30.0


def table(url: str, columns: str = "id int PRIMARY KEY, name text, amount numeric(12,2)") -> None:
    """A table `t`, ready to be captured."""
    run(url, f"CREATE TABLE t ({columns})", f"CREATE PUBLICATION {PUBLICATION} FOR TABLE t")


def capture(
    url: str, *, key: tuple[str, ...] = ("id",), snapshot: int = 1, columns: Sequence[str] | None = None, **config: Any
) -> CaptureSource:
    """A source of the table `t`; `columns` are those that are wanted, None: all."""
    cdc = Cdc(kind="postgresql", snapshot=snapshot)
    made = SourceConfig(subject="a.b", **{"table": "t", "page_rows": 100, **config}, cdc=cdc)
    return CaptureSource(made, partial(connection, Database(url=url), HERE), key, columns, look_s=0)


def commit(page: Page, progress: dict[str, bytes]) -> None:
    """Move the progress on, as a transaction on Kafka does."""
    for name, value in page.progress.items():
        if value is None:
            progress.pop(name, None)
        else:
            progress[name] = value


def follow(source: CaptureSource, progress: dict[str, bytes]) -> list[Any]:
    """All rows until nothing is left, (row) as dict and deletions as Deleted; `progress` is moved on."""
    rows: list[Any] = []

    def swept() -> bool:
        before = len(rows)
        for page in source.pages():
            rows.extend(page.rows)
            commit(page, progress)
        return len(rows) == before and source.settled()

    assert until(swept, DEADLINE_S, 0.01)
    return rows


def captured(url: str, progress: dict[str, bytes], **config: Any) -> list[Any]:
    """What a newly opened source yields until nothing is left."""
    source = capture(url, **config)
    try:
        source.open(progress)
        return follow(source, progress)
    finally:
        source.close()


class Copy:
    """What a reader's table holds, keyed by `id`, if it applies rows in order."""

    def __init__(self) -> None:
        self.rows: dict[Any, Any] = {}

    def apply(self, rows: list[Any]) -> None:
        for row in rows:
            assert not isinstance(row, Bad)
            if isinstance(row, Deleted):
                self.rows.pop(row.row["id"], None)
            else:
                self.rows[row["id"]] = row
