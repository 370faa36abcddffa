"""Which entities a sink has deleted, and when, so that older records from a replay do not bring them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exchange.connect.note_types import INNODB, NAME
from exchange.connect.statement import Statement

DELETIONS = "exchange_deletions"
_AT_ONCE = 500


class Deletions:
    """A table next to the offsets, for all sinks of a database; it holds only a digest of each entity.

    `insert` is the dialect's insert; `schema` is the schema of the sink's table.
    """

    def __init__(self, schema: str | None, insert: Callable[[sa.Table], Any]) -> None:
        self._insert = insert
        self._table = sa.Table(
            DELETIONS,
            sa.MetaData(schema=schema),
            sa.Column("topic", NAME, primary_key=True),
            sa.Column("entity", NAME, primary_key=True),
            sa.Column("time_ms", sa.BigInteger, nullable=False),
            **INNODB,
        )
        names = {name: sa.bindparam(name, type_=column.type) for name, column in self._table.c.items()}
        made = self._insert(self._table).values(names)
        later = self._table.c.time_ms < made.excluded.time_ms
        keys, new = [self._table.c.topic, self._table.c.entity], {"time_ms": made.excluded.time_ms}
        self._note = Statement(made.on_conflict_do_update(index_elements=keys, set_=new, where=later))

    def create(self, connection: Connection) -> None:
        """Create the table if it is missing."""
        self._table.create(connection, checkfirst=True)

    def note(self, connection: Connection, topic: str, entities: Iterable[tuple[Any, int]]) -> None:
        """Note that the records of each entity of that time (ms since 1970) and before are deleted."""
        rows = [{"topic": topic, "entity": _digest(topic, entity), "time_ms": at_ms} for entity, at_ms in entities]
        self._note.run_each(connection, rows)

    def times(self, connection: Connection, topic: str, entities: Iterable[Any]) -> dict[Any, int]:
        """When each of these entities was deleted; entities that were not are left out."""
        known = {_digest(topic, entity): entity for entity in entities}
        digests = list(known)
        found: dict[Any, int] = {}
        t = self._table.c
        for at in range(0, len(digests), _AT_ONCE):
            some = t.entity.in_(digests[at : at + _AT_ONCE])
            rows = connection.execute(sa.select(t.entity, t.time_ms).where(t.topic == topic, some))
            found |= {known[digest]: time_ms for digest, time_ms in rows}
        return found


def _digest(topic: str, entity: Any) -> str:
    return blake2b(f"{topic}\0{entity}".encode(), digest_size=16).hexdigest()
