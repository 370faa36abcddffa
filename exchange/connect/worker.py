"""One source or sink at work: a thread that keeps going, and says how it is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from exchange import metrics
from exchange.bus.connection import Cluster
from exchange.bus.produce import Producer
from exchange.connect import cursor
from exchange.connect.publish import Publisher
from exchange.connect.sink import Sink
from exchange.connect.source import Source
from exchange.errors import CorruptionError, ExchangeError, TransientError

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0  # of a sink that finds nothing: a fetch costs 0.5 ms of a core
POLL_S = 0.03  # longer than the broker holds back an empty answer
OUTCOMES = {"source": ("read", "published", "rejected"), "sink": ("applied", "rejected")}
SWEEP_SHARE = 10  # a sweep that found nothing is followed by a pause of so many times its duration
_log = logging.getLogger("exchange.connect")


class Worker(threading.Thread):
    """Runs one source or sink until `stop`; after a failure it begins again, later and later.

    `idle`: for now there is nothing to do. `error`: the last attempt failed with that. A
    CorruptionError ends the thread (`ended_with`); with `patient` False, so does any error that
    waiting cannot mend.
    """

    def __init__(self, department: str, subject: str, kind: str, stop: threading.Event, *, patient: bool) -> None:
        super().__init__(name=f"{kind}-{subject}", daemon=True)
        self.department = department
        self.subject = subject
        self.kind = kind
        self.idle = False
        self.error: Exception | None = None
        self.ended_with: Exception | None = None
        self._stop_asked = stop
        self._patient = patient
        self._attempt = 0
        for outcome in OUTCOMES[kind]:
            self.count(outcome, 0)

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.attempt()
            except Exception as error:
                self.idle = False
                self.error = error
                code = error.code if isinstance(error, ExchangeError) else type(error).__name__
                metrics.TRANSACTION_FAILURES.labels(code).inc()
                lasting = not isinstance(error, TransientError)
                if isinstance(error, CorruptionError) or (lasting and not self._patient):
                    _log.critical(f"{self.kind} ended", extra={"subject": self.subject, "code": code}, exc_info=True)
                    self.ended_with = error
                    return
                pause_s = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2**self._attempt)
                self._attempt += 1
                extra = {"subject": self.subject, "code": code, "attempt": self._attempt}
                _log.warning(f"{self.kind} failed, will try again", extra=extra, exc_info=lasting)
                self._stop_asked.wait(pause_s)

    def attempt(self) -> None:
        """Connect and work until `stop`."""
        raise NotImplementedError

    def succeeded(self, *, idle: bool) -> None:
        """Note a step that went well."""
        self.error = None
        self._attempt = 0
        self.idle = idle

    def count(self, outcome: str, rows: int) -> None:
        """Add to the rows of that outcome."""
        metrics.CONNECTOR_ROWS.labels(self.department, self.subject, outcome).inc(rows)


class SourceWorker(Worker):
    """Publishes what a source has, page by page."""

    def __init__(
        self,
        cluster: Cluster,
        publisher: Publisher,
        make: Callable[[], Source],
        department: str,
        subject: str,
        poll_s: float,
        stop: threading.Event,
        *,
        patient: bool,
    ) -> None:
        super().__init__(department, subject, "source", stop, patient=patient)
        self._cluster = cluster
        self._publisher = publisher
        self._make = make
        self._poll_s = poll_s

    def attempt(self) -> None:
        source = self._make()
        # Opening the producer fences a predecessor that is still alive, before its progress is read.
        try:
            with Producer(self._cluster, f"{self.department}.source.{self.subject}") as producer:
                source.open(cursor.read(self._cluster, self.department, self.subject))
                while not self._stop_asked.is_set():
                    self._sweep(source, producer)
        finally:
            source.close()

    def _sweep(self, source: Source, producer: Producer) -> None:
        began = time.monotonic()
        rows = 0
        for page in source.pages():
            if page.oldest is not None:
                metrics.SOURCE_LAG.labels(self.subject).set(max(0.0, time.time() - page.oldest))
            published, rejected = self._publisher.publish(producer, page)
            rows += len(page.rows)
            self.count("read", len(page.rows))
            self.count("published", published)
            self.count("rejected", rejected)
            self.succeeded(idle=False)
            if self._stop_asked.is_set():
                return
        metrics.SOURCE_LAG.labels(self.subject).set(0)
        self.succeeded(idle=rows == 0 and source.settled())
        if rows == 0:
            self._stop_asked.wait(max(self._poll_s, SWEEP_SHARE * (time.monotonic() - began)))


class SinkWorker(Worker):
    """Takes in what an inbox holds."""

    def __init__(
        self, make: Callable[[], Sink], department: str, subject: str, stop: threading.Event, *, patient: bool
    ) -> None:
        super().__init__(department, subject, "sink", stop, patient=patient)
        self._make = make
        self._at_end_s: float | None = None  # on the monotonic clock

    def attempt(self) -> None:
        sink = self._make()
        pause_s = FIRST_PAUSE_S
        try:
            while not self._stop_asked.is_set():
                applied, rejected = sink.step(POLL_S)
                self.count("applied", applied)
                self.count("rejected", rejected)
                lag = sink.lag()
                self.show_lag(lag, time.monotonic())
                self.succeeded(idle=lag == 0)
                pause_s = FIRST_PAUSE_S if applied + rejected else min(LAST_PAUSE_S, 2 * pause_s)
                if applied + rejected == 0:
                    self._stop_asked.wait(pause_s if lag == 0 else FIRST_PAUSE_S)
        finally:
            sink.close()

    def show_lag(self, records: int | None, now_s: float) -> None:
        """Update the gauges; where it is not known how many records are left, they stay as they were."""
        if records is None:
            return
        if records == 0 or self._at_end_s is None:
            self._at_end_s = now_s
        metrics.SINK_LAG_RECORDS.labels(self.department, self.subject).set(records)
        metrics.SINK_LAG_SECONDS.labels(self.department, self.subject).set(now_s - self._at_end_s)
