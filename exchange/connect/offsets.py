"""How far the sinks of a database have read, and which deliveries they had to leave out: tables next to the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exchange.connect.dialects import known as dialects
from exchange.connect.note_types import INNODB, MOMENT, NAME, TEXT
from exchange.connect.statement import Statement
from exchange.errors import TransientError
from exchange.gap import Gap

OFFSETS, TOPICS, GAPS = "exchange_offsets", "exchange_topics", "exchange_gaps"


@contextmanager
def making(engine: Engine) -> Iterator[Connection]:
    """A transaction that may create tables; one at a time, because the sinks of a database share some of them."""
    with dialects.of(engine).making(engine) as connection:
        yield connection


class OtherSinkError(TransientError):
    """Another process moved this sink's offsets: what was read here must be read again from there."""

    code = "other-sink"
    remedy = "see that only one connector of the department runs"


class Offsets:
    """The tables, for all sinks of a database; `insert` is the dialect's, `schema` that of the sink's table."""

    def __init__(self, schema: str | None, insert: Callable[[sa.Table], Any]) -> None:
        self._insert = insert
        self._moves: dict[int, Statement] = {}  # by how many partitions move
        metadata = sa.MetaData(schema=schema)
        self._offsets = sa.Table(
            OFFSETS,
            metadata,
            sa.Column("topic", NAME, primary_key=True),
            sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("next_offset", sa.BigInteger, nullable=False),
            **INNODB,
        )
        self._topics = sa.Table(
            TOPICS,
            metadata,
            sa.Column("topic", NAME, primary_key=True),
            sa.Column("topic_id", NAME, nullable=False),
            **INNODB,
        )
        self._gaps = sa.Table(
            GAPS,
            metadata,
            sa.Column("topic", NAME, primary_key=True),
            sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("first_offset", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("topic_id", NAME, primary_key=True),
            sa.Column("next_offset", sa.BigInteger, nullable=False),
            sa.Column("cause", TEXT, nullable=False),
            sa.Column("accepted_by", TEXT, nullable=False),
            sa.Column("reason", TEXT, nullable=False),
            sa.Column("accepted_at", MOMENT, nullable=False),
            **INNODB,
        )

    def create(self, connection: Connection) -> None:
        """Create the tables that are missing."""
        for table in (self._offsets, self._topics, self._gaps):
            table.create(connection, checkfirst=True)

    def read(self, connection: Connection, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The next offset to read in each partition; 0 if nothing was read yet."""
        known = sa.select(self._offsets.c.partition, self._offsets.c.next_offset)
        rows = connection.execute(known.where(self._offsets.c.topic == topic)).all()
        return dict.fromkeys(partitions, 0) | {row[0]: row[1] for row in rows}

    def topic_id(self, connection: Connection, topic: str, now: str) -> str:
        """The id of the topic to which these offsets belong; if none was noted before, `now` is noted and returned."""
        insert = self._insert(self._topics).values(topic=topic, topic_id=now)
        connection.execute(insert.on_conflict_do_nothing())
        return str(connection.scalar(sa.select(self._topics.c.topic_id).where(self._topics.c.topic == topic)))

    def move(self, connection: Connection, topic: str, moved: Mapping[int, tuple[int, int]]) -> None:
        """Go on in each partition → (from, to) at `to`; raises OtherSinkError if one is not at `from`."""
        if not moved:
            return
        for partition in (partition for partition, (before, _) in moved.items() if before == 0):
            start = self._insert(self._offsets).values(topic=topic, partition=partition, next_offset=0)
            connection.execute(start.on_conflict_do_nothing())
        if len(moved) not in self._moves:
            self._moves[len(moved)] = self._move(len(moved))
        values: dict[str, Any] = {"whose": topic}
        for i, (partition, (before, after)) in enumerate(moved.items()):
            values |= {f"partition{i}": partition, f"before{i}": before, f"after{i}": after}
        if self._moves[len(moved)].run(connection, values) != len(moved):
            listed = ", ".join(f"{topic}/{partition}" for partition in moved)
            raise OtherSinkError(f"the offset of {listed} was moved by another process")

    def _move(self, partitions: int) -> Statement:
        """The statement for so many partitions at once."""
        c = self._offsets.c
        places = [sa.bindparam(f"partition{i}", type_=c.partition.type) for i in range(partitions)]
        after = [sa.bindparam(f"after{i}", type_=c.next_offset.type) for i in range(partitions)]
        here = [
            (c.partition == place) & (c.next_offset == sa.bindparam(f"before{i}", type_=c.next_offset.type))
            for i, place in enumerate(places)
        ]
        to = sa.case(*((c.partition == place, offset) for place, offset in zip(places, after, strict=True)))
        whose = sa.bindparam("whose", type_=c.topic.type)
        return Statement(self._offsets.update().where(c.topic == whose, sa.or_(*here)).values(next_offset=to))

    def pass_over(self, connection: Connection, gap: Gap, person: str, reason: str, now: datetime) -> None:
        """Go on after a gap, and note who accepted it; raises OtherSinkError if the sink is not at the gap."""
        self.move(connection, gap.topic, {gap.partition: (gap.first, gap.next)})
        here = self._topics.c.topic == gap.topic
        connection.execute(self._topics.update().where(here).values(topic_id=gap.topic_id))
        accepted = {"accepted_by": person, "reason": reason, "accepted_at": now, "cause": gap.cause}
        place = {"topic": gap.topic, "partition": gap.partition, "first_offset": gap.first}
        row = place | accepted | {"topic_id": gap.topic_id, "next_offset": gap.next}
        connection.execute(self._insert(self._gaps).values(row).on_conflict_do_nothing())
