"""The replication slots of a source: one for each number that the file has given to its `snapshot`."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.connect.cdc.captured import lsn
from exchange.connect.cdc.setup import name_of
from exchange.connect.postgres import Connection

_STATE = """
SELECT s.slot_name IS NOT NULL, s.wal_status = 'lost', pg_wal_lsn_diff(pg_current_wal_flush_lsn(), s.restart_lsn),
       pg_current_wal_flush_lsn()::text
  FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = %s
"""
_DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
_EARLIER = "SELECT slot_name FROM pg_replication_slots WHERE NOT active AND slot_name ~ %s"


@dataclass(frozen=True)
class SlotState:
    """A slot now: whether it is there and still has its changes, the bytes of log kept for it; the log's end."""

    is_there: bool
    is_lost: bool
    held_bytes: float
    flushed: int


def slot_of(subject: str, number: int) -> str:
    """The name of the slot with that number."""
    return f"{name_of(subject)}_{number}"


def state(connection: Connection, slot: str) -> SlotState:
    """The slot's state."""
    row = connection.execute(_STATE, [slot]).fetchone()
    assert row is not None
    return SlotState(row[0], bool(row[1]), float(row[2] or 0), lsn(row[3]))


def mark(connection: Connection) -> int:
    """Write something that says nothing to the log, and return where: what was committed before it, is before it."""
    row = connection.execute("SELECT pg_logical_emit_message(true, 'exchange', '')::text").fetchone()
    assert row is not None
    return lsn(row[0])


def drop(connection: Connection, slot: str) -> None:
    """Remove the slot if it is there."""
    connection.execute(_DROP, [slot])


def drop_earlier(connection: Connection, subject: str, number: int) -> None:
    """Remove the source's slots with smaller numbers, which keep the server's log for nothing."""
    for (name,) in connection.execute(_EARLIER, [f"^{name_of(subject)}_[0-9]+$"]).fetchall():
        if int(name.rpartition("_")[2]) < number:
            drop(connection, name)
