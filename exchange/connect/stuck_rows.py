"""The rows that a sink was to remove and could not, because a constraint or trigger of the department's refuses that.

They are noted in a table next to the rows, by the place of the record that brought each, and tried again. A row that a
later record has written anew has another place: it is not removed. A row that is gone is no longer noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exchange.connect import refusal
from exchange.connect.note_types import INNODB, NAME, TEXT
from exchange.connect.sink_layout import PLACE, TIME, Layout

STUCK = "exchange_stuck"
_AT_ONCE = 500
RAW = sa.types.NullType()


class Place(NamedTuple):
    """The record that brought a row: partition and offset in the inbox, and its time (None: not noted)."""

    partition: int
    offset: int
    time_ms: int | None


class Stuck(NamedTuple):
    """How many rows could not be removed, since when (ms since 1970), and why that is refused, in words."""

    rows: int
    since_ms: int | None = None
    reason: str = ""


NONE = Stuck(0)


class StuckRows:
    """The table, for all sinks of a database; `insert` is the dialect's, `schema` that of the sink's table."""

    def __init__(self, schema: str | None, insert: Callable[[Any], Any]) -> None:
        self._insert = insert
        self._table = sa.Table(
            STUCK,
            sa.MetaData(schema=schema),
            sa.Column("topic", NAME, primary_key=True),
            sa.Column("row_partition", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("row_offset", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("row_time_ms", sa.BigInteger),
            sa.Column("since_ms", sa.BigInteger, nullable=False),
            sa.Column("reason", TEXT, nullable=False),
            **INNODB,
        )

    def create(self, connection: Connection) -> None:
        """Create the table if it is missing."""
        self._table.create(connection, checkfirst=True)

    def note(self, connection: Connection, topic: str, places: Iterable[Place], reason: str, now_ms: int) -> None:
        """Note that the rows from these places could not be removed; `reason` has no value of theirs."""
        t = self._table.c
        for place in places:
            row = dict(zip(("topic", "row_partition", "row_offset", "row_time_ms"), (topic, *place), strict=True))
            insert = self._insert(self._table).values(**row, since_ms=now_ms, reason=reason)
            known = {"row_time_ms": place.time_ms, "reason": reason}
            place_of = [t.topic, t.row_partition, t.row_offset]
            connection.execute(insert.on_conflict_do_update(index_elements=place_of, set_=known))

    def count(self, connection: Connection, topic: str) -> Stuck:
        """How many are noted."""
        t = self._table.c
        of_topic = sa.select(sa.func.count(), sa.func.min(t.since_ms), sa.func.max(t.reason)).where(t.topic == topic)
        rows, since_ms, reason = connection.execute(of_topic).one()
        return Stuck(int(rows), since_ms, reason or "")

    def forget(self, connection: Connection, topic: str) -> None:
        """None is to be removed any more."""
        connection.execute(sa.delete(self._table).where(self._table.c.topic == topic))

    def not_noted(self, topic: str, target: sa.TableClause) -> sa.ColumnElement[bool]:
        """The condition that a row of the sink's table is not noted."""
        t = self._table.c
        here = (t.topic == topic) & (t.row_partition == target.c[PLACE[0]]) & (t.row_offset == target.c[PLACE[1]])
        return ~sa.select(t.topic).where(here).correlate(target).exists()

    def retry(self, connection: Connection, topic: str, layout: Layout, name: str) -> int:
        """Remove what the database lets go now, in a transaction of the caller's; return how many rows that were."""
        t, gone = self._table.c, 0
        noted = sa.select(t.row_partition, t.row_offset, t.row_time_ms).where(t.topic == topic)
        places = [Place(*row) for row in connection.execute(noted)]
        for at in range(0, len(places), _AT_ONCE):
            gone += self._retry(connection, topic, layout, name, set(places[at : at + _AT_ONCE]))
        return gone

    def _retry(self, connection: Connection, topic: str, layout: Layout, name: str, places: set[Place]) -> int:
        target = target_of(layout, name, self._table.schema)
        left, gone = set[Place](), 0
        wanted = sa.or_(*(_is_from(target, place) for place in places))  # not every database has pairs
        for row in connection.execute(sa.select(*target.c).where(wanted)).all():
            place = Place(*row[-3:])
            if place not in places:
                continue  # of another topic that had this name
            if remove(connection, target, row) is None:
                gone += 1
            else:
                left.add(place)
        for place in places - left:
            here = (t := self._table.c).topic == topic, t.row_partition == place.partition, t.row_offset == place.offset
            connection.execute(sa.delete(self._table).where(*here))
        return gone

    def remove_singly(
        self,
        connection: Connection,
        topic: str,
        layout: Layout,
        name: str,
        wanted: Callable[[sa.TableClause], sa.ColumnElement[bool]],
        now_ms: int,
    ) -> int:
        """Remove some of the rows that fulfil `wanted`, one by one, and note those that stay; return how many went."""
        target = target_of(layout, name, self._table.schema)
        gone = 0
        for row in connection.execute(sa.select(*target.c).where(wanted(target)).limit(_AT_ONCE)).all():
            reason = remove(connection, target, row)
            if reason is None:
                gone += 1
            else:
                self.note(connection, topic, [Place(*row[-3:])], reason, now_ms)
        return gone


def target_of(layout: Layout, name: str, schema: str | None) -> sa.TableClause:
    """The sink's table with the columns that tell its rows apart and then those of `Place`."""
    key = sorted(layout.primary or min(layout.unique, key=sorted, default=frozenset(PLACE)))
    numbers = [sa.column(column, sa.BigInteger) for column in (*PLACE, TIME)]
    others = [sa.column(column, RAW) for column in key if column not in (*PLACE, TIME)]
    return sa.table(name, *others, *numbers, schema=schema)


def _is_from(target: sa.TableClause, place: Place) -> sa.ColumnElement[bool]:
    return (target.c[PLACE[0]] == place.partition) & (target.c[PLACE[1]] == place.offset)


def remove(connection: Connection, target: sa.TableClause, row: Sequence[Any]) -> str | None:
    """Remove a row that has these values; return why the database refuses that, None if it does not."""
    same = [column.is_(None) if value is None else column == value for column, value in zip(target.c, row, strict=True)]
    try:
        with connection.begin_nested():
            if not connection.execute(sa.delete(target).where(*same)).rowcount:
                return "a trigger of the table, or somebody else who changes it, keeps them"
    except refusal.raised() as error:
        if (reason := refusal.reason(error)) is None:
            raise
        return reason
    return None
