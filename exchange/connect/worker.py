"""A thread that runs one source, sink or answerer, keeps it going and reports its state; and that of a source."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from exchange import metrics
from exchange.bus.connection import Cluster
from exchange.bus.produce import Producer
from exchange.connect import cursor
from exchange.connect.database import waiting
from exchange.connect.headway import Headway
from exchange.connect.publish import Publisher
from exchange.connect.sink import Taken
from exchange.connect.source import Source
from exchange.connect.terms_watch import TermsChangedError
from exchange.errors import ConfigError, CorruptionError, ExchangeError, TransientError

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
LONGEST_WAIT_S = 86_400.0
LOOK_S = 0.2  # while it rests, it looks so often whether the contract has changed
WAITING_S = 2.0  # from when on a worker counts as waiting for its database
OUTCOMES = {
    "source": ("read", "published", "rejected"),
    "sink": Taken._fields,
    "answerer": ("answered", "queued", "failed"),
    "cases": ("taken", "found", "failed"),
}
QUICK_S, SWEEP_SHARE = 0.5, 10  # of a look that found nothing, each second beyond so many costs so many of a pause
_log = logging.getLogger("exchange.connect")


class WorkerError(CorruptionError):
    """A source or sink failed in a way that nobody foresaw; its log line says where."""

    code = "worker"
    remedy = "see the log for the place in the code"


class Worker(threading.Thread):
    """Runs its part until `stop`; after a failure it starts again, and whenever its terms have changed.

    It retries soon at first, then less and less often; every 30 s if only a person can help (ConfigError). `idle`:
    there is nothing to do for now. `error`: what made the last attempt fail. A CorruptionError ends the thread
    (`ended_with`); if not `patient`, so does any error that waiting cannot cure.
    """

    def __init__(
        self,
        department: str,
        subject: str,
        kind: str,
        stop: threading.Event,
        *,
        has_changed: Callable[[], bool],
        patient: bool,
    ) -> None:
        super().__init__(name=f"{kind}-{subject}", daemon=True)
        self.department = department
        self.subject = subject
        self.kind = kind
        self.idle = False
        self.error: Exception | SystemExit | None = None
        self.ended_with: ExchangeError | None = None
        self.headway = Headway()
        self.worked_s = self.looked_s = 0.0  # on the monotonic clock, see `succeeded`
        self._failing_since = 0.0
        self._stop_asked = stop
        self._has_changed = has_changed
        self._patient = patient
        self._attempt = 0
        for outcome in OUTCOMES[kind]:
            self.count(outcome, 0)

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.attempt()
            except TermsChangedError:
                continue
            except (Exception, SystemExit) as error:  # SystemExit would end the thread silently
                self._failed(error)
                if self.ended_with is not None:
                    return
                self._rest_after_failure(self._pause_s())
                self._attempt += 1

    def goes_on(self) -> bool:
        """Whether nobody asked it to stop and it works under the newest terms."""
        return not self._stop_asked.is_set() and not self._has_changed()

    def rest(self, seconds: float) -> None:
        """Wait so long, if it goes on meanwhile."""
        end = time.monotonic() + seconds
        while self.goes_on() and (left := end - time.monotonic()) > 0:
            self._stop_asked.wait(min(left, LOOK_S))

    def _rest_after_failure(self, seconds: float) -> None:
        try:
            self.rest(seconds)  # a new epoch may mend what failed
        except Exception as error:  # it cannot be seen whether there is one; the next attempt says why
            _log.warning("the contract is not known", extra={"code": getattr(error, "code", type(error).__name__)})
            self._stop_asked.wait(seconds)

    def _failed(self, error: Exception | SystemExit) -> None:
        if self.error is None:
            self._failing_since = time.time()
        self.idle = False
        self.error = error
        known = error if isinstance(error, ExchangeError) else None
        code = known.code if known else type(error).__name__
        metrics.TRANSACTION_FAILURES.labels(code).inc()
        lasting = not isinstance(error, TransientError)
        extra = {"subject": self.subject, "code": code, "reason": str(known) if known else None}
        if isinstance(error, CorruptionError) or (lasting and not self._patient):
            _log.critical(f"{self.kind} ended", extra=extra, exc_info=True)
            # An error that is not the exchange's could quote a row: only its place goes into the log.
            self.ended_with = known or WorkerError(f"{self.kind} {self.subject} failed: {code}")
            return
        _log.warning(
            f"{self.kind} failed, will try again", extra={**extra, "attempt": self._attempt + 1}, exc_info=lasting
        )

    def _pause_s(self) -> float:
        if isinstance(self.error, ConfigError):
            return LAST_BACKOFF_S
        pause_s = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(self._attempt, 10))
        return max(pause_s, min(LONGEST_WAIT_S, getattr(self.error, "wait_s", 0.0)))  # as a web service asks

    def state(self) -> str:
        """Its state in words: idle, working, waiting (for what, since when), or failing (why, since when)."""
        asked = self._waits_for()
        if asked:
            what, since = asked
            if self.error is None:
                return f"waiting for the database since {clock(since)}: {what}"
        if self.error is not None:
            code = self.error.code if isinstance(self.error, ExchangeError) else type(self.error).__name__
            why = self.error.message if isinstance(self.error, ExchangeError) else "see the log"
            if isinstance(self.error, ConfigError):
                why = str(self.error)  # a person has to act, and wants to know how
            waits = "waiting" if isinstance(self.error, TransientError) else "failing"
            return f"{waits} since {clock(self._failing_since)} [{code}]: {why}"
        return "idle" if self.idle else "working"

    def words(self) -> str:
        """Its state, and how far it has come since it began."""
        return f"{self.state()} ({self.headway})" if self.headway.rows else self.state()

    def _waits_for(self) -> tuple[str, float] | None:
        """What it has asked of its database, if the answer takes long, and since when."""
        asked = waiting(self.ident)
        return asked if asked and time.time() - asked[1] > WAITING_S else None

    def attempt(self) -> None:
        """Connect, and work until `stop`."""
        raise NotImplementedError

    def succeeded(self, *, idle: bool, worked: bool, began_s: float) -> None:
        """Note a step that succeeded, which began then: it did some work, or looked and found nothing to do."""
        self.error = None
        self._attempt = 0
        if worked:
            self.worked_s = time.monotonic()
        else:
            self.looked_s = began_s
        self.idle = idle

    def count(self, outcome: str, rows: int) -> None:
        """Add to the rows with that outcome."""
        metrics.CONNECTOR_ROWS.labels(self.department, self.subject, outcome).inc(rows)


class SourceWorker(Worker):
    """Publishes what a source has, page by page."""

    def __init__(
        self,
        cluster: Cluster,
        make: Callable[[], tuple[Source, Publisher]],
        department: str,
        subject: str,
        poll_s: float,
        stop: threading.Event,
        *,
        has_changed: Callable[[], bool],
        patient: bool,
    ) -> None:
        super().__init__(department, subject, "source", stop, has_changed=has_changed, patient=patient)
        self._cluster = cluster
        self._make = make
        self._poll_s = poll_s
        self._lag_s = 0.0
        self._looked = time.time()  # when it last began to read the database to its end; at first, when it was made
        self._looked_once = False

    def lag_s(self) -> float:
        """The age of the oldest unpublished change: as known, or since the database was last read whole."""
        if self.error is None and self._looked_once and not self._waits_for():
            return self._lag_s
        return max(self._lag_s, time.time() - self._looked)

    def attempt(self) -> None:
        metrics.SOURCE_LAG.labels(self.subject).set_function(self.lag_s)
        source, publisher = self._make()
        # Opening the producer fences a predecessor that is still alive, before its progress is read.
        try:
            with Producer(self._cluster, f"{self.department}.source.{self.subject}") as producer:
                source.open(cursor.read(self._cluster, self.department, self.subject))
                while self.goes_on():
                    self._sweep(source, publisher, producer)
        finally:
            source.close()

    def _sweep(self, source: Source, publisher: Publisher, producer: Producer) -> None:
        began, looked = time.monotonic(), time.time()
        rows = 0
        for page in source.pages():
            if page.oldest is not None:
                self._lag_s = max(0.0, time.time() - page.oldest)
            published, rejected = publisher.publish(producer, page)
            rows += len(page.rows)
            self.count("read", len(page.rows))
            self.count("published", published)
            self.count("rejected", rejected)
            self.headway.note(len(page.rows), rejected, source.left())
            self.succeeded(idle=False, worked=True, began_s=began)
            if not self.goes_on():
                return
        self._lag_s, self._looked, self._looked_once = 0.0, looked, True
        self.succeeded(idle=rows == 0 and source.settled(), worked=rows > 0, began_s=began)
        if rows == 0:
            took_s = 0.0 if source.is_told else time.monotonic() - began
            self.rest(max(self._poll_s, took_s, SWEEP_SHARE * (took_s - QUICK_S)))


def clock(moment: float) -> str:
    """A moment of Unix time in words, in the zone of this machine."""
    return datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")
