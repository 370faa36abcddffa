"""Fixtures that every kind of test may ask for: a Kafka cluster, a PostgreSQL server, a name of its own."""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter
from types import FrameType

import pytest

pytest_plugins = ["tests.rigs.brokers", "tests.rigs.databases"]


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl+C, so that no broker or database outlives the tests; let brokers start fast.

    Java's second compiler is for programs that run longer than a test's broker: without it one starts in half the time.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason for which tests were skipped."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.getreports("skipped"))
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"{tests} not run: {reason.removeprefix('Skipped: ')}", yellow=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def unique() -> str:
    """A name that no other test has, fit for a department: so that tests can share one cluster."""
    return f"t{uuid.uuid4().hex[:10]}"
