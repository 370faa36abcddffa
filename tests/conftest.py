"""Fixtures that every kind of test may ask for: a Kafka cluster, a PostgreSQL server, a name of its own."""

from __future__ import annotations

import signal
import uuid
from types import FrameType

import pytest

pytest_plugins = ["tests.kafka_fixtures", "tests.postgres_fixtures"]


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl+C, so that no broker or database outlives the tests."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def unique() -> str:
    """A name that no other test has, fit for a department: so that tests can share one cluster."""
    return f"t{uuid.uuid4().hex[:10]}"
