"""Tells the auditors what a sink holds: a record in the department's cursor topic."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import publish
from exchange.connect import cursor
from exchange.connect.copy_notes import Note
from exchange.connect.held_copy import HeldCopy
from exchange.contract.period import moment_of
from exchange.copies import Copy, key_value
from exchange.errors import TransientError
from exchange.names import cursor_topic

REPORT_S = 60.0  # at most so often, but for the beginning and the end of a deletion
STILL_S = 300.0  # after this, the same is reported again: the connector is alive
COUNT_SHARE = 20  # counting takes at most so small a part of the time,
QUICK_S = 0.5  # unless it takes less than this
_log = logging.getLogger("exchange.connect")


class Reporter:
    """Reports one sink's copy when something has changed, and now and then although nothing has."""

    def __init__(
        self, cluster: Cluster, department: str, subject: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster, self._department, self._subject = cluster, department, subject
        self._clock = clock
        self._looked_s: float | None = None
        self._reported_s = 0.0
        self._reported: Note | None = None
        self._has_topic = False
        self._count_s = 0.0  # when the next count may begin

    def look(self, copy: HeldCopy, *, at_once: bool = False) -> None:
        """Report if it is time, or `at_once` if something has changed; what cannot be sent now is reported later."""
        now = self._clock()
        at_once, copy.has_ended = at_once or copy.has_ended, False
        if self._looked_s is not None and now - self._looked_s < REPORT_S and not at_once:
            return
        self._looked_s = now
        note = copy.note()
        if note is None:
            return
        if (note.rows is None or note.counted_ms != note.changed_ms) and now >= self._count_s:
            copy.count()
            took = self._clock() - now
            self._count_s = now + COUNT_SHARE * took if took > QUICK_S else now
            note = copy.note() or note
        if note == self._reported and now - self._reported_s < STILL_S:
            return
        try:
            self._send(key_value(_copy(self._subject, note)))
        except TransientError as error:
            _log.warning("what the sink holds could not be reported", extra={"code": error.code})
            return
        self._reported, self._reported_s = note, now

    def _send(self, record: tuple[bytes, bytes]) -> None:
        topic = cursor_topic(self._department)
        if not self._has_topic:
            with Consumer(self._cluster) as consumer:
                self._has_topic = bool(consumer.partitions(topic))
        if not self._has_topic:  # the contract was applied by an earlier version
            raise TransientError(f"there is no topic {topic}", remedy="run `exchange apply`")
        publish(self._cluster, topic, [record], partition=cursor.PARTITION)


def _copy(subject: str, note: Note) -> Copy:
    return Copy(
        subject=subject,
        grant=note.grant,
        until=note.until,
        deletes=note.deletes,
        rows=note.rows,
        changed=_moment(note.changed_ms),
        due=_moment(note.due_ms),
        done=_moment(note.done_ms),
        time=datetime.now(UTC),
        stuck=note.stuck.rows,
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else moment_of(ms)
