"""Under which grant a sink's table holds what it holds, and whether it is to be deleted: a table next to the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exchange.connect.note_types import INNODB, LIST, NAME, TEXT
from exchange.connect.statement import Statement
from exchange.connect.stuck_rows import NONE, Stuck

COPIES = "exchange_copies"


@dataclass(frozen=True)
class Note:
    """What is noted of one inbox; times are ms since 1970.

    `grant` and `until`: the last grant in force, under the contract's `epoch` of that number. `deletes`: the rows are
    deleted when it has ended, which is due since `due_ms` and was done at `done_ms`. `fields`: what the table has
    columns for under it. `rows` were counted when the last change was that of `counted_ms`; rows last came or went at
    `changed_ms`. `stuck`: rows that could not be removed.
    """

    grant: str
    until: date
    deletes: bool
    fields: tuple[str, ...]
    epoch: int = 0
    rows: int | None = None
    counted_ms: int | None = None
    changed_ms: int | None = None
    due_ms: int | None = None
    done_ms: int | None = None
    stuck: Stuck = NONE

    @property
    def is_due(self) -> bool:
        """Whether a deletion has begun or should have, and is not done."""
        return self.due_ms is not None and self.done_ms is None


class CopyNotes:
    """The table, for all sinks of a database; `insert` is the dialect's, `schema` that of the sink's table."""

    def __init__(self, schema: str | None, insert: Callable[[sa.Table], Any]) -> None:
        self._insert = insert
        moments = ("counted_ms", "changed_ms", "due_ms", "done_ms")
        self._table = sa.Table(
            COPIES,
            sa.MetaData(schema=schema),
            sa.Column("topic", NAME, primary_key=True),
            sa.Column("grant_id", TEXT, nullable=False),
            sa.Column("until", TEXT, nullable=False),
            sa.Column("deletes", sa.Boolean, nullable=False),
            sa.Column("fields", LIST, nullable=False),
            sa.Column("epoch", sa.BigInteger, nullable=False),
            sa.Column("rows", sa.BigInteger),
            *(sa.Column(name, sa.BigInteger) for name in moments),
            **INNODB,
        )
        here = self._table.c.topic == sa.bindparam("whose", type_=NAME)
        self._change = Statement(self._table.update().where(here).values(changed_ms=sa.bindparam("now_ms")))

    def create(self, connection: Connection) -> None:
        """Create the table if it is missing."""
        self._table.create(connection, checkfirst=True)

    def read(self, connection: Connection, topic: str) -> Note | None:
        """What is noted of that inbox; None if nothing is."""
        found = connection.execute(sa.select(self._table).where(self._table.c.topic == topic)).mappings().one_or_none()
        if found is None:
            return None
        row = {name: value for name, value in found.items() if name not in ("topic", "grant_id")}
        until, fields = date.fromisoformat(found["until"]), tuple(json.loads(found["fields"]))
        return Note(**row | {"grant": found["grant_id"], "until": until, "fields": fields})

    def write(
        self,
        connection: Connection,
        topic: str,
        grant: str,
        until: date,
        fields: Iterable[str],
        *,
        epoch: int = 0,
        deletes: bool,
        due_ms: int | None = None,
    ) -> None:
        """Note the last grant in force, and since when the deletion is due, if it is; no deletion is done."""
        row = {
            "grant_id": grant, "until": until.isoformat(), "fields": json.dumps(sorted(fields)), "deletes": deletes,
            "epoch": epoch, "due_ms": due_ms, "done_ms": None,
        }  # fmt: skip
        insert = self._insert(self._table).values(topic=topic, **row)
        connection.execute(insert.on_conflict_do_update(index_elements=["topic"], set_=row))

    def change(self, connection: Connection, topic: str, now_ms: int) -> None:
        """Note that rows came or went."""
        self._change.run(connection, {"whose": topic, "now_ms": now_ms})

    def count(self, connection: Connection, topic: str, rows: int, changed_ms: int | None) -> None:
        """Note how many rows there were when the last change was that one."""
        self._update(connection, topic, rows=rows, counted_ms=changed_ms)

    def finish(self, connection: Connection, topic: str, now_ms: int) -> None:
        """Note that the deletion is done."""
        self._update(connection, topic, rows=0, done_ms=now_ms, changed_ms=now_ms, counted_ms=now_ms)

    def _update(self, connection: Connection, topic: str, **values: int | None) -> None:
        connection.execute(self._table.update().where(self._table.c.topic == topic).values(values))
