"""The thread that works a department's cases beside its connector's sources and sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from exchange.cases.caseload import Caseload, caseload, types
from exchange.cases.question_check import require_fit
from exchange.cases.states import EventKind
from exchange.connect.load import Connector
from exchange.connect.worker import Worker
from exchange.contract.period import city_day
from exchange.errors import ConfigError, ExchangeError
from exchange.workdays import Calendar

POLL_S = 1.0  # pause after a pass in which nothing was to be done
KIND = "cases"


class CasesHeldUpError(ConfigError):
    """Some cases cannot go on; the others do."""

    code = "cases-held-up"
    remedy = "correct what is named; the cases are tried again by themselves"


class EngineWorker(Worker):
    """Does one pass of the engine after the other; after one in which a case could not go on, it pauses longer."""

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[Caseload]],
        department: str,
        stop: threading.Event,
        *,
        patient: bool,
    ) -> None:
        super().__init__(department, department, KIND, stop, has_changed=lambda: False, patient=patient)
        self._opened = opened

    def attempt(self) -> None:
        with self._opened() as its:
            while self.goes_on():
                began = time.monotonic()
                done = its.engine.work(datetime.now(UTC))
                for outcome, count in (
                    ("taken", done.events[EventKind.ANSWERED]),
                    ("found", done.events[EventKind.FOUND] + done.events[EventKind.AMENDED]),
                    ("failed", len(done.failed)),
                ):
                    self.count(outcome, count)
                if done.failed:
                    raise _held_up(done.failed) from next(iter(done.failed.values()))
                worked = bool(done.events or done.arrivals or done.moved)
                self.succeeded(idle=not worked, worked=worked, began_s=began)
                if not worked:
                    self.rest(POLL_S)


def workers(
    connector: Connector, home: Path, calendar: Calendar, stop: threading.Event, *, patient: bool
) -> list[Worker]:
    """The thread, not started, if the department has case types; raises CaseTypeError if one has mistakes.

    Raises ConnectorConfigError if questions would not go out or answers not come in.

    The tables are made now, because a source reads one of them.
    """
    department = connector.config.department

    def opened() -> AbstractContextManager[Caseload]:
        return caseload(connector, home, calendar, city_day(datetime.now(UTC)))

    known = types(connector.folder, city_day(datetime.now(UTC)))
    if not known:
        return []
    require_fit(connector, known.values())
    with opened():
        return [EngineWorker(opened, department, stop, patient=patient)]


def _held_up(failed: Mapping[str, ExchangeError]) -> CasesHeldUpError:
    causes = sorted({f"[{error.code}] {error.message}" for error in failed.values()})
    count = "a case does" if len(failed) == 1 else f"{len(failed):,} cases do"
    return CasesHeldUpError(f"{count} not go on: {'; '.join(causes[:10])}")
