"""The thread of one sink: it takes in what comes, and looks after rows that are stuck and what is reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from exchange import metrics
from exchange.connect.held_copy import HeldCopy
from exchange.connect.reporter import Reporter
from exchange.connect.sink import Taken
from exchange.connect.stuck_rows import NONE
from exchange.connect.worker import LOOK_S, Worker, clock

POLL_S = 0.3  # a sink that has just taken something in waits so long for more, which the broker may be collecting
WAIT_S = 1.0  # a sink that is idle waits so long for Kafka before it looks whether it goes on
FREE_S, FREE_SHARE = 5.0, 20  # between attempts to remove what is stuck: seconds, and times the duration of one


class SinkPart(Protocol):
    """A sink under its terms: it takes in, waits for a grant, or deletes; `is_finished`: other terms apply now.

    `step` returns at once if something is there; `waits`: else it waits for it, as long as it may.
    """

    is_finished: bool
    waits: bool
    copy: HeldCopy

    def step(self, timeout_s: float) -> Taken: ...

    def lag(self) -> int | None: ...

    def close(self) -> None: ...


class SinkWorker(Worker):
    """Takes in what an inbox holds, as long as a grant gives it.

    `make` returns the part to run, and whether a grant is in force.
    """

    def __init__(
        self,
        make: Callable[[], tuple[SinkPart, bool]],
        reporter: Reporter,
        department: str,
        subject: str,
        stop: threading.Event,
        *,
        has_changed: Callable[[], bool],
        patient: bool,
    ) -> None:
        super().__init__(department, subject, "sink", stop, has_changed=has_changed, patient=patient)
        self._make = make
        self._reporter = reporter
        self._has_grant = True
        self._stuck = NONE
        self._frees_s = 0.0  # when it tries again to remove what is stuck, on the monotonic clock
        self._at_end_s: float | None = None  # on the monotonic clock
        self._lag = (0, 0.0)  # records and seconds, as last known

    def state(self) -> str:
        said = super().state()
        return said if self._has_grant or said != "idle" else "waiting for a grant"

    def words(self) -> str:
        said, (rows, since_ms, reason) = super().words(), self._stuck
        if not rows:
            return said
        since = clock((since_ms or 0) / 1000)
        return f"{said}; rows that have to go and are stuck: {rows:,} since {since}; {reason}"

    def attempt(self) -> None:
        part, self._has_grant = self._make()
        wait_s = POLL_S
        try:
            self._free(part.copy)
            self._reporter.look(part.copy, at_once=not self._has_grant)
            while self.goes_on() and not part.is_finished:
                began = time.monotonic()
                taken = part.step(wait_s)
                for outcome, records in taken._asdict().items():
                    self.count(outcome, records)
                lag = part.lag()
                self.headway.note(sum(taken), taken.rejected, lag)
                self.show_lag(lag, time.monotonic())
                self.succeeded(idle=lag == 0, worked=any(taken), began_s=began)
                self._reporter.look(part.copy, at_once=self._free(part.copy))
                wait_s = POLL_S if any(taken) else WAIT_S
                if not any(taken) and not part.waits:
                    self.rest(LOOK_S)
            self._frees_s = 0.0
            self._free(part.copy)
            self._reporter.look(part.copy, at_once=True)
        finally:
            part.close()

    def _free(self, copy: HeldCopy) -> bool:
        """If it is time, try again to remove what is stuck; return whether that is another number of rows now."""
        now = time.monotonic()
        if now < self._frees_s:
            return False
        before, self._stuck = self._stuck.rows, copy.free()
        metrics.SINK_ROWS_STUCK.labels(self.department, self.subject).set(self._stuck.rows)
        self._frees_s = now + max(FREE_S, FREE_SHARE * (time.monotonic() - now))
        return self._stuck.rows != before

    def show_lag(self, records: int | None, now_s: float) -> None:
        """Update the gauges; if it is unknown how many records are left, they keep their values."""
        if records is None:
            return
        if self._at_end_s is None:
            metrics.SINK_LAG_RECORDS.labels(self.department, self.subject).set_function(self._lag_records)
            metrics.SINK_LAG_SECONDS.labels(self.department, self.subject).set_function(self._lag_seconds)
        if records == 0 or self._at_end_s is None:
            self._at_end_s = now_s
        self._lag = (records, now_s - self._at_end_s)

    def _lag_records(self) -> float:
        """NaN while its database does not answer: a sink that is held up does not know what came meanwhile."""
        return float("nan") if self._is_held_up() else self._lag[0]

    def _lag_seconds(self) -> float:
        assert self._at_end_s is not None
        return time.monotonic() - self._at_end_s if self._is_held_up() else self._lag[1]

    def _is_held_up(self) -> bool:
        return self.error is not None or self._waits_for() is not None
