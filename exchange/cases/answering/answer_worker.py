"""The threads that answer questions beside a connector's sources and sinks, one for each asker."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from exchange import metrics
from exchange.cases.answering.answer_check import require_fit
from exchange.cases.answering.answer_store import AnswerStore
from exchange.cases.answering.answerer import Answerer, Treated
from exchange.cases.answering.items import Asker, askers
from exchange.connect.database import DatabaseUnavailableError, Paths
from exchange.connect.load import Connector
from exchange.connect.worker import QUICK_S, SWEEP_SHARE, Worker
from exchange.errors import ConfigError, ExchangeError, TransientError

POLL_S = 1.0  # pause after a look that found nothing to answer
COUNTED = ("answered", "queued", "failed")
OTHER = "other"  # stands for an item that is not declared: what the asker calls it could be anything


class UnansweredError(ConfigError):
    """Questions cannot be answered as connector.yaml says; the others are."""

    code = "unanswered"
    remedy = "correct each query that is named; the questions stay open, and are tried again by themselves"


class UnansweredForNowError(TransientError):
    """Questions cannot be answered now, because the database does not answer their queries."""

    code = "unanswered-for-now"
    remedy = "see what the database is busy with, or raise its `timeout_s`; the connector tries again by itself"


class AnswerWorker(Worker):
    """Answers the questions of one asker; after a pass in which some failed, it pauses as after any failure."""

    def __init__(
        self, make: Callable[[], AnswerStore], department: str, asker: Asker, stop: threading.Event, *, patient: bool
    ) -> None:
        super().__init__(department, asker.subject, "answerer", stop, has_changed=lambda: False, patient=patient)
        self._make = make
        self._asker = asker
        for case_type, item in (*asker.items, (OTHER, OTHER)):
            for outcome in COUNTED:
                metrics.CASE_QUESTIONS.labels(department, case_type, item, outcome).inc(0)

    def attempt(self) -> None:
        with closing(self._make()) as store:
            store.make()
            answerer = Answerer(store, self.department, self._asker, lambda: datetime.now(UTC))
            while self.goes_on():
                began = time.monotonic()
                failures: Counter[str] = Counter()
                treated, lasting = 0, False
                for one in answerer.answer_all():
                    self._note(one)
                    treated += one.error is None
                    if one.error is not None:
                        failures[_said(one.error)] += 1
                        lasting |= not isinstance(one.error, TransientError)
                    if not self.goes_on():
                        return
                if failures:
                    raise _unanswered(failures, lasting=lasting)
                self.succeeded(idle=treated == 0, worked=treated > 0, began_s=began)
                if treated == 0:
                    took_s = time.monotonic() - began
                    self.rest(max(POLL_S, took_s, SWEEP_SHARE * (took_s - QUICK_S)))

    def _note(self, one: Treated) -> None:
        if one.outcome in COUNTED:
            self.count(one.outcome, 1)
            case_type, item = one.type or OTHER, one.item or OTHER
            metrics.CASE_QUESTIONS.labels(self.department, case_type, item, one.outcome).inc()
            self.headway.note(1, one.outcome == "failed", None)


def workers(connector: Connector, home: Path, stop: threading.Event, *, patient: bool) -> list[Worker]:
    """The threads that answer what connector.yaml declares, not started; raises ConfigError if one could not work.

    The tables are made now, because a source reads one of them; if the database is away, a thread makes them later.
    """
    require_fit(connector)
    found = askers(connector)
    if not found:
        return []
    paths, department = Paths(connector.folder, home), connector.config.department

    def make() -> AnswerStore:
        return AnswerStore(connector, paths)

    with closing(make()) as store, suppress(DatabaseUnavailableError):
        store.make()
    return [AnswerWorker(make, department, asker, stop, patient=patient) for asker in found]


def _said(error: ExchangeError) -> str:
    return f"[{error.code}] {error.message}"


def _unanswered(failures: Counter[str], *, lasting: bool) -> ExchangeError:
    count = failures.total()
    questions = "a question is" if count == 1 else f"{count:,} questions are"
    told = "; ".join(f"{cause} ({times:,} times)" if times > 1 else cause for cause, times in failures.most_common(10))
    return (UnansweredError if lasting else UnansweredForNowError)(f"{questions} not answered: {told}")
