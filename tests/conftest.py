"""Fixtures that every kind of test may ask for: a Kafka cluster, a PostgreSQL server, a name of its own."""

from __future__ import annotations

import uuid

import pytest

pytest_plugins = ["tests.kafka_fixtures", "tests.postgres_fixtures"]


@pytest.fixture
def unique() -> str:
    """A name that no other test has, fit for a department: so that tests can share one cluster."""
    return f"t{uuid.uuid4().hex[:10]}"
