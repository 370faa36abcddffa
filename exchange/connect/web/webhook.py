"""A sink that sends what an inbox holds to a web address, as signed events.

Each event is sent until the address has accepted it, in the order of its entity: at least once. A kill may send the
last one again, with the same `id`. Offsets are kept in a SQLite file at home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Engine

from exchange.connect.copy_notes import CopyNotes
from exchange.connect.database import translated
from exchange.connect.held_copy import HeldCopy
from exchange.connect.offsets import making
from exchange.connect.row_change import RecordOrigin, Refused, RowChange
from exchange.connect.sink_layout import TableMismatchError
from exchange.connect.sink_table import SinkTable
from exchange.connect.sink_values import UnstorableError
from exchange.connect.web.errors import WebRefusedError
from exchange.connect.web.signed_events import Hook
from exchange.gap import Gap
from exchange.schema.avro import Schema

CHANGED, WITHDRAWN = "exchange.row.changed", "exchange.row.withdrawn"
FIELDS_WITHDRAWN, ENDED = "exchange.fields.withdrawn", "exchange.grant.ended"
_OF_THE_RECORD = {400, 406, 409, 413, 415, 422}  # any other refusal is about the connector: it stops
_MAKE = (
    "CREATE TABLE IF NOT EXISTS webhook_sent "
    "(topic TEXT, part INTEGER, began INTEGER, sent INTEGER, PRIMARY KEY (topic, part))"
)
_FORGET = "DELETE FROM webhook_sent WHERE topic = ? AND part = ? AND sent <= ?"
_LAST_OFFSET = (1 << 63) - 1


class HookCopy(HeldCopy):
    """What the web address has: nobody can count it; what has to go there is said in an event, whose 2xx is the end."""

    def __init__(self, engine: Engine, topic: str, notes: CopyNotes, hook: Hook) -> None:
        super().__init__(engine, "webhook", None, topic, notes)
        self._hook, self._inbox = hook, topic

    def count(self) -> bool:
        return False

    def delete_some(self) -> int:
        return 0

    def finish(self) -> bool:
        note = self.note()
        assert note is not None
        event_id = f"{self._inbox}/ended/{note.grant}/{note.due_ms}"
        self._hook.send(event_id, ENDED, note.due_ms or 0, {"grant": note.grant, "until": note.until})
        return super().finish()

    def _empty(self, fields: Iterable[str]) -> None:
        names, now_ms = sorted(fields), self._now_ms()
        self._hook.send(f"{self._inbox}/fields/{now_ms}", FIELDS_WITHDRAWN, now_ms, {"fields": names})


class HookTable(SinkTable):
    """Takes a table's place in a sink; `engine` is that of the SQLite file with the offsets."""

    def __init__(self, engine: Engine, key: Sequence[str], entity: str, hook: Hook) -> None:
        super().__init__(engine, "webhook", key, entity)
        self._hook = hook

    def copy(self, topic: str) -> HeldCopy:
        return HookCopy(self._engine, topic, self._copies, self._hook)

    def takes_columns(self) -> bool:
        return False

    def fit(self, schema: Schema) -> bool:
        if missing := [name for name in self.key if name not in self._columns(schema)]:
            raise TableMismatchError(f"what is delivered has no {', '.join(missing)}, by which rows are told apart")
        return False

    def upsert(self, schema: Schema, record: Mapping[str, Any], origin: RecordOrigin) -> RowChange:
        return RowChange(record, origin)

    def withdraw(self, schema: Schema, name: Mapping[str, Any], origin: RecordOrigin) -> RowChange:
        return RowChange(name, origin, is_gone=True)

    def delete(self, key: bytes, origin: RecordOrigin) -> RowChange:
        try:
            return RowChange({self.entity: key.decode()}, origin, is_gone=True)
        except UnicodeDecodeError as error:
            raise UnstorableError("a tombstone whose key is not an entity") from error

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        with translated("read offsets"), making(self._engine) as connection:
            connection.exec_driver_sql(_MAKE)
        return super().offsets(topic, partitions)

    def apply(
        self,
        topic: str,
        changes: Sequence[RowChange],
        moved: Mapping[int, tuple[int, int]],
        set_aside: Callable[[Refused], None],
    ) -> Refused:
        refused: list[tuple[RecordOrigin, str]] = []
        sent = self._sent(topic, moved)
        for change in changes:
            at = change.origin
            if at.offset < sent.get(at.partition, 0):
                continue
            try:
                replay = {} if at.replay is None else {"replay": at.replay}
                kind, event_id = WITHDRAWN if change.is_gone else CHANGED, f"{topic}/{at.partition}/{at.offset}"
                self._hook.send(event_id, kind, at.time_ms, change.row, **replay)
            except WebRefusedError as error:
                if error.status not in _OF_THE_RECORD:
                    raise
                refused.append((at, f"the webhook answers {error.status}"))
            if not refused:  # what was set aside is not noted before the reject file has it
                self._note(topic, at, moved[at.partition][0])
        with translated("move offsets"), self._moving(topic, moved, is_change=bool(changes)) as connection:
            for part, (_, after) in moved.items():
                connection.exec_driver_sql(_FORGET, (topic, part, after))
            set_aside(refused)
        return refused

    def pass_over(self, gaps: Iterable[Gap], person: str, reason: str, now: datetime) -> None:
        gaps = list(gaps)
        with translated("move offsets"), self._engine.begin() as connection:
            for gap in gaps:  # behind it may be another topic of that name
                connection.exec_driver_sql(_FORGET, (gap.topic, gap.partition, _LAST_OFFSET))
        super().pass_over(gaps, person, reason, now)

    def close(self) -> None:
        self._hook.close()
        super().close()

    def _sent(self, topic: str, moved: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Up to where each partition was accepted before a failure; what is taken in now may be a part of that."""
        with translated("read offsets"), self._engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT part, began, sent FROM webhook_sent WHERE topic = ?", (topic,))
            return {part: sent for part, began, sent in rows if part in moved and began <= moved[part][0] < sent}

    def _note(self, topic: str, at: RecordOrigin, began: int) -> None:
        row = (topic, at.partition, began, at.offset + 1)
        with translated("note what was sent"), self._engine.begin() as connection:
            connection.exec_driver_sql("INSERT OR REPLACE INTO webhook_sent VALUES (?, ?, ?, ?)", row)
