"""What a connector says of itself is true while its database does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from exchange.connect import cursor, sink_worker, worker
from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, translated
from exchange.connect.runner import RunningConnector
from exchange.connect.sink import Taken
from exchange.connect.sink_worker import SinkWorker
from exchange.connect.stuck_rows import NONE, Stuck
from exchange.connect.web.errors import WebUnavailableError
from exchange.connect.worker import SourceWorker, Worker, WorkerError
from exchange.metrics import REGISTRY

SECRET = "440106199001010014"


class Task(Worker):
    """A worker whose attempts are given."""

    def __init__(self, stop: threading.Event, attempt: Callable[[], None], *, patient: bool = True) -> None:
        super().__init__("a", "a.b", "source", stop, has_changed=lambda: False, patient=patient)
        self._task = attempt

    def attempt(self) -> None:
        self._task()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WAITING_S", 0.05)


def test_a_worker_that_waits_for_its_database_says_for_what_and_since_when() -> None:
    stop, answer = threading.Event(), threading.Event()

    def attempt() -> None:
        with translated("read a.b"):
            answer.wait()
        stop.set()

    task = Task(stop, attempt)
    task.start()
    until(lambda: task.state().startswith("waiting for the database since 20"))
    assert task.state().endswith(": read a.b")
    answer.set()
    task.join()
    assert task.state() == "working"


def test_a_failure_says_why_and_since_when_until_it_is_over() -> None:
    stop = threading.Event()
    attempts = 0

    def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise DatabaseUnavailableError("read a.b: another program holds a lock")

    task = Task(stop, attempt)
    task.start()
    until(lambda: attempts >= 2)
    health = RunningConnector((task,), stop).health()
    stop.set()
    task.join()
    assert not health.ok
    said = str(health.facts["source a.b"])
    assert said.startswith("waiting since 20")
    assert said.endswith("[database-unavailable]: read a.b: another program holds a lock")


def test_what_only_a_person_can_mend_is_not_tried_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    attempts = 0

    def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise DatabaseConfigError("the login is refused")

    monkeypatch.setattr(worker, "FIRST_BACKOFF_S", 0.001)
    task = Task(stop, attempt)
    task.start()
    until(lambda: task.error is not None)
    task.join(0.3)
    stop.set()
    task.join()
    assert attempts == 1
    assert "failing since 20" in task.state()


def test_a_worker_waits_as_long_as_a_web_service_asks() -> None:
    task = Task(threading.Event(), lambda: None)
    task.error = WebUnavailableError("busy", wait_s=3600)
    assert task._pause_s() == 3600
    task.error = WebUnavailableError("busy")
    assert task._pause_s() == worker.FIRST_BACKOFF_S


@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_no_foreign_exception_leaves_a_worker(kind: type[BaseException]) -> None:
    def attempt() -> None:
        raise kind(f"cannot read {SECRET}")

    task = Task(threading.Event(), attempt, patient=False)
    task.start()
    task.join()
    assert isinstance(task.ended_with, WorkerError)
    assert SECRET not in str(task.ended_with) + task.state()


class Kept:
    """A copy of which the database kept some rows, until there is no `stuck` left."""

    def __init__(self, *stuck: Stuck) -> None:
        self.stuck = list(stuck)

    def free(self) -> Stuck:
        return self.stuck.pop(0) if self.stuck else NONE


class Held:
    """A source or sink that holds on in its database."""

    def __init__(self) -> None:
        self.held = threading.Event()

    def hold(self, *_: object) -> Any:
        with translated("read a.b"):
            self.held.wait()
        raise DatabaseUnavailableError("gone")

    open = step = hold
    copy = Kept()
    is_finished = False
    waits = True

    def close(self) -> None: ...


class NoReporter:
    def look(self, *_: object, **__: object) -> None: ...


def value(name: str, subject: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"subject": subject, **labels})


def test_a_sink_that_waits_does_not_say_that_its_lag_is_0(unique: str) -> None:
    held, stop = Held(), threading.Event()
    made: Any = lambda: (held, True)  # noqa: E731
    reporter: Any = NoReporter()
    task = SinkWorker(made, reporter, "a", unique, stop, has_changed=lambda: False, patient=True)
    task.show_lag(0, time.monotonic())
    assert value("exchange_sink_lag_records", unique, department="a") == 0
    task.start()
    until(lambda: str(value("exchange_sink_lag_records", unique, department="a")) == "nan")
    assert value("exchange_sink_lag_seconds", unique, department="a")
    stop.set()
    held.held.set()
    task.join()


class Inbox(Held):
    """A sink's part that finds one record, and then nothing; it notes how long it may wait."""

    def __init__(self, *, waits: bool, stop: threading.Event) -> None:
        self.waits, self.stop = waits, stop
        self.waited: list[float] = []

    def step(self, timeout_s: float) -> Any:
        self.waited.append(timeout_s)
        if len(self.waited) > 3:
            self.stop.set()
        return Taken(int(len(self.waited) == 1), 0, 0)

    def lag(self) -> int:
        return 0


@pytest.mark.parametrize("waits", [True, False])
def test_an_idle_sink_waits_at_the_broker_so_that_a_record_need_not_wait_for_it(
    unique: str, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    stop, rests = threading.Event(), []
    part = Inbox(waits=waits, stop=stop)
    made: Any = lambda: (part, True)  # noqa: E731
    reporter: Any = NoReporter()
    task = SinkWorker(made, reporter, "a", unique, stop, has_changed=lambda: False, patient=True)
    monkeypatch.setattr(task, "rest", rests.append)
    task.run()
    assert part.waited == [sink_worker.POLL_S, sink_worker.POLL_S, sink_worker.WAIT_S, sink_worker.WAIT_S]
    assert len(rests) == (0 if waits else 3)


def test_a_sink_says_which_rows_its_database_keeps_until_they_are_gone(
    unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, said, reports = threading.Event(), [], []
    part = Inbox(waits=True, stop=stop)
    part.copy = Kept(NONE, Stuck(2, 86_400_000, "a foreign key"))  # type: ignore[misc]
    made: Any = lambda: (part, True)  # noqa: E731
    reporter: Any = NoReporter()
    reporter.look = lambda _, at_once=False: reports.append(at_once)
    task = SinkWorker(made, reporter, "a", unique, stop, has_changed=lambda: False, patient=True)
    monkeypatch.setattr(sink_worker, "FREE_S", 0.0)
    monkeypatch.setattr(sink_worker, "FREE_SHARE", 0.0)
    succeeded = task.succeeded

    def step_is_done(**how: Any) -> None:
        succeeded(**how)
        said.append((value("exchange_sink_rows_stuck", unique, department="a"), "a foreign key" in task.words()))

    monkeypatch.setattr(task, "succeeded", step_is_done)
    task.run()
    assert said == [(0, False), (2, True), (0, False), (0, False)]
    assert reports[1:4] == [True, True, False]


class NoProducer:
    def __init__(self, *_: object) -> None: ...
    def __enter__(self) -> NoProducer:
        return self

    def __exit__(self, *_: object) -> None: ...


class Quiet(Held):
    """A source that has nothing, and looks so long."""

    def __init__(self, look_s: float, *, is_told: bool, clock: list[float]) -> None:
        self.look_s, self.is_told, self.clock = look_s, is_told, clock

    def open(self, *_: object) -> None: ...

    def pages(self) -> list[Any]:
        self.clock[0] += self.look_s
        return []

    def settled(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("look_s", "is_told", "pause_s"),
    [(2.0, True, 0.05), (2.0, False, 15.0), (0.75, False, 2.5), (0.5, False, 0.5), (0.01, False, 0.05)],
)
def test_only_slow_looks_become_rarer_and_those_that_cost_nothing_do_not(
    unique: str, monkeypatch: pytest.MonkeyPatch, look_s: float, is_told: bool, pause_s: float
) -> None:
    clock, stop, rests = [0.0], threading.Event(), []
    monkeypatch.setattr(worker, "Producer", NoProducer)
    monkeypatch.setattr(worker.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(cursor, "read", lambda *_: {})
    source, nothing = Quiet(look_s, is_told=is_told, clock=clock), cast("Any", None)
    made: Any = lambda: (source, nothing)  # noqa: E731
    task = SourceWorker(nothing, made, "a", unique, 0.05, stop, has_changed=lambda: False, patient=True)

    def rest(seconds: float) -> None:
        rests.append(seconds)
        stop.set()

    monkeypatch.setattr(task, "rest", rest)
    task.run()
    assert rests == [pause_s]


def test_a_source_that_waits_does_not_say_that_its_lag_is_0(unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "Producer", NoProducer)
    monkeypatch.setattr(cursor, "read", lambda *_: {})
    held, stop = Held(), threading.Event()
    nothing: Any = None
    made: Any = lambda: (held, nothing)  # noqa: E731
    task = SourceWorker(nothing, made, "a", unique, 1.0, stop, has_changed=lambda: False, patient=True)
    task.start()
    until(lambda: task.state().startswith("waiting"))
    first = value("exchange_source_lag_seconds", unique)
    assert first
    until(lambda: (value("exchange_source_lag_seconds", unique) or 0) > first)
    stop.set()
    held.held.set()
    task.join()
