"""What sinks send to a database that does not run in the tests: `python -m tests.rigs.recorded` records it anew.

The statements are those of the real SQLAlchemy dialect; what a server would make of them is not shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection

from exchange.connect import sink_layout
from exchange.connect.config import Database
from exchange.connect.copy_notes import CopyNotes
from exchange.connect.database import engine
from exchange.connect.deletions import Deletions
from exchange.connect.delivered import HANDLE, ROW
from exchange.connect.dialects import known
from exchange.connect.dialects.dialect import Cautions
from exchange.connect.held_copy import HeldCopy
from exchange.connect.offsets import Offsets
from exchange.connect.row_change import RecordOrigin, RowChange
from exchange.connect.sink_layout import Layout
from exchange.connect.sink_rows import SinkRows
from exchange.connect.stuck_rows import Place, StuckRows
from exchange.gap import Gap
from tests.rigs import dameng  # noqa: F401 – stands for the driver
from tests.rigs.sinks import schema
from tests.rigs.sql_source import HERE, decimal

FOLDER = Path(__file__).parent / "recorded"
RECORDED = ("kingbase", "opengauss", "oracle", "mssql", "dameng")
# What SQLAlchemy finds out with the first connection.
FOUND_OUT = {
    "dameng": {"default_schema_name": "own", "supports_native_boolean": False},
    "mssql": {"server_version_info": (13, 0), "_supports_offset_fetch": True, "deprecate_large_types": True},
    "oracle": {"server_version_info": (19, 0), "supports_native_boolean": False},
}
TOPIC = "inbox.police.tax.income"


def of(means: str, kind: str = "long") -> dict[str, str]:
    return {"type": kind, "logicalType": means}


EVERY_KIND = schema(
    id="string", part="bytes", text="string", nested={"type": "array", "items": "string"}, flag="boolean",
    small="int", number="long", ratio="double", amount=decimal(12, 2), huge=decimal(60, 2), data="bytes",
    day=of("date", "int"), clock=of("time-micros"), moment=of("timestamp-micros"), local=of("local-timestamp-micros"),
    Level="string", rows="long", file="string",
)  # fmt: skip


class Recorder(MockConnection):
    """A connection that sends nothing, and notes what it would have sent."""

    def __init__(self, real: sa.Engine) -> None:
        super().__init__(real.dialect, self._note)
        self.url = real.url
        self.said: list[str] = []

    def _note(self, statement: Any, _parameters: Any = None) -> Any:
        options = {} if isinstance(statement, sa.schema.DDLElement) else {"render_postcompile": True}
        self.say(str(statement.compile(dialect=self.dialect, compile_kwargs=options)))
        return SimpleNamespace(rowcount=1, all=list, mappings=lambda: SimpleNamespace(one_or_none=lambda: None))

    def say(self, text: str) -> None:
        self.said.append("\n".join(line.rstrip() for line in text.strip().splitlines()))

    def execute(self, statement: Any, parameters: Any = None, **_: Any) -> Any:
        return self._note(statement, parameters)

    def scalar(self, statement: Any, parameters: Any = None) -> Any:
        self._note(statement, parameters)

    def exec_driver_sql(self, statement: str) -> Any:
        self.say(statement)
        return SimpleNamespace(scalar_one=lambda: 0)


def sections(dialect: known.Dialect) -> Iterator[tuple[str, Callable[[Recorder], object]]]:
    """What is recorded, by its title."""
    schema_name, fields = "tax", EVERY_KIND.fields
    notes = [made(schema_name, dialect.insert) for made in (Offsets, Deletions, CopyNotes, StuckRows)]
    offsets, deletions, copies, stuck = notes
    yield "tables of a sink's own notes", lambda to: [each.create(to) for each in notes]  # type: ignore[attr-defined]
    yield "the first offset of a partition", lambda to: offsets.move(to, TOPIC, {0: (0, 5)})  # type: ignore[attr-defined]
    yield "the topic's id", lambda to: offsets.topic_id(to, TOPIC, "id")  # type: ignore[attr-defined]
    yield (
        "a gap that is accepted",
        lambda to: offsets.pass_over(  # type: ignore[attr-defined]
            to, Gap(TOPIC, 0, 5, 9, "id", "why"), "li", "known", datetime(2025, 3, 1, tzinfo=UTC)
        ),
    )
    yield "a deletion", lambda to: deletions.note(to, TOPIC, [("440106", 5)])  # type: ignore[attr-defined]
    yield (
        "a grant",
        lambda to: copies.write(  # type: ignore[attr-defined]
            to, TOPIC, "g", date(2025, 3, 1), ["id"], deletes=True
        ),
    )
    yield "a row that is stuck", lambda to: stuck.note(to, TOPIC, [Place(0, 5, 1)], "why", 7)  # type: ignore[attr-defined]
    yield "a table with a key of two", lambda to: sink_layout.create(to, "income", schema_name, fields, ("id", "part"))
    yield "a table without a key", lambda to: sink_layout.create(to, "income", None, schema(id="string").fields, ())
    handled = {**schema(n="long").fields, **HANDLE.fields}
    yield "a table with handles", lambda to: sink_layout.create(to, "income", None, handled, (ROW,))
    there = Layout(dialect, {"id": sa.Text()}, frozenset(), frozenset(), frozenset(), Cautions())
    yield "columns that are added", lambda to: sink_layout.grow(to, "income", schema_name, there, fields)
    yield "rows that come and go", lambda to: _rows(to, schema_name, ("id",), dialect, deletions)
    yield "rows without a key that come and go", lambda to: _rows(to, None, (), dialect, deletions)
    yield "rows of which some are deleted, or emptied", lambda to: _some(to, dialect, stuck)
    yield "how the table is", lambda to: dialect.state(to, "Income", schema_name)
    yield "before a commit", dialect.check_deferred


def _rows(to: Any, schema_name: str | None, key: Sequence[str], dialect: Any, deletions: Any) -> None:
    rows = SinkRows("income", schema_name, key, "id", dialect.insert, deletions)
    row = {"id": "a", "Level": "b", "rows": None, "_partition": 0, "_offset": 1, "_time_ms": 2, "_replay": None}
    live, again = RecordOrigin(0, 1, 2, None), RecordOrigin(0, 2, 3, "replay")
    for change in (RowChange(row, live), RowChange({"id": "a"}, live, is_gone=True)):
        rows.write(to, TOPIC, [change])
    if not key:
        rows.write(to, TOPIC, [RowChange({"id": "a"}, again, is_gone=True)])


def _some(to: Any, dialect: Any, stuck: Any) -> None:
    copy = HeldCopy.__new__(HeldCopy)
    copy._dialect, copy._name, copy._schema, copy._topic, copy._stuck = dialect, "income", "tax", TOPIC, stuck
    table = copy._target(["Level"])
    to.execute(copy._some(sa.delete(table), table, copy._free(table)))
    to.execute(copy._some(sa.update(table), table, copy._ours(table)).values({"Level": sa.null()}))
    copy._has(to, table, copy._free(table))


def record(name: str) -> str:
    """All statements of that dialect, as text."""
    dialect = known.named(name)
    assert isinstance(dialect, known.Dialect)
    made = engine(Database(url=dialect.example), HERE, writes=True)
    for attribute, value in FOUND_OUT.get(name, {}).items():
        setattr(made.dialect, attribute, value)
    parts = []
    for title, say in sections(dialect):
        to = Recorder(made)
        say(to)
        parts += [f"-- {title}", *(f"{text}\n" for text in to.said)]
    made.dispose()
    return "\n".join(parts)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in sys.argv[1:] or RECORDED:
        (FOLDER / f"{each}.sql").write_text(record(each))
