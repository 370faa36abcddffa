"""Fixtures that every kind of test may ask for: a Kafka cluster, a PostgreSQL server, a name of its own."""

from __future__ import annotations

import signal
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from exchange.records import warm_up, warm_up_source
from exchange.waiting import until
from tests.rigs import plain

pytest_plugins = [
    "tests.rigs.brokers",
    "tests.rigs.dameng",
    "tests.rigs.databases",
    "tests.rigs.mariadb",
    "tests.rigs.oracle",
    "tests.rigs.sqlserver",
]
_workers: list[subprocess.Popen[bytes]] = []


def pytest_configure(config: pytest.Config) -> None:
    """End on SIGTERM as on Ctrl+C, so that no broker or database outlives the tests.

    Kernels are compiled once, before several workers would do it beside each other, within the deadlines of tests.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if config.getoption("numprocesses", None):  # true of the process that starts the workers
        warm_up.warm_up()
        warm_up_source.warm_up()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason for which tests were skipped."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.getreports("skipped"))
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"{tests} not run: {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Note the process of a worker, to which a SIGTERM is passed on."""
    _workers.append(node.gateway._io.popen)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for worker in _workers:
        worker.terminate()
    raise KeyboardInterrupt


@pytest.fixture
def unique() -> str:
    """A name that no other test has, fit for a department: so that tests can share one cluster."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module", autouse=True)
def _no_kafka_client_outlives_its_module() -> Iterator[None]:
    """One that a test leaves open would work on beside other tests, and complain when the broker stops."""
    there = set(threading.enumerate())

    def left() -> list[str]:
        names = [thread.name for thread in threading.enumerate() if thread not in there]
        return [name for name in names if name == "epochs" or name.startswith("kafka-io")]

    yield
    plain.close_kept()
    assert until(lambda: not left(), 10, 0.05), f"a test of this module has left open: {left()}"
