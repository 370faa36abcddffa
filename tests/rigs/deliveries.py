"""Records in an inbox as routers bring them, and what a sink makes of them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import sqlalchemy as sa

from exchange.bus import Cluster, consume
from exchange.bus.produce import Producer
from exchange.connect import load, runner, sink, sink_worker
from exchange.connect.load import Connector
from exchange.connect.runner import RunningConnector
from exchange.contract.key import name_schema
from exchange.names import ROW_HEADER, inbox_topic
from exchange.records.build import Values, encode_headers, join, pack
from exchange.schema import avro, wire
from tests.rigs.project import Project

KEY = ("resident_id", "serial")


def connect(project: Project, url: str, *, key: tuple[str, ...] = KEY, table: str = "income", **contract: Any) -> None:
    """Apply the contract with that key, and write a connector that takes the inbox into the table."""
    project.key = key
    project.apply(**contract)
    project.connector(project.reader, database=url, sinks=[{"subject": project.subject, "table": table}])


def deliver(
    project: Project,
    *batches: dict[int, list[tuple[bytes | None, dict[str, Any] | None]]],
    fails: bool = False,
    view: bool = False,
) -> None:
    """What a router does: batches of (key, record) into partitions of the inbox, in one transaction.

    The records are those of the grant's `view`, or as they were published.
    """
    epoch = project.epoch
    schema_id = epoch.views["g-income"] if view else epoch.writers[project.subject][-1]
    schema = avro.parse(epoch.schemas[schema_id])
    topic = inbox_topic(project.reader, project.subject)
    with (
        Producer(project.cluster, f"{project.reader}.test.router", timeout_s=2 if fails else 15) as producer,
        producer.transaction() as transaction,
    ):
        for partition, pairs in itertools.chain.from_iterable(batch.items() for batch in batches):
            keys = [key for key, _ in pairs]
            values = [None if r is None else wire.pack(schema_id, avro.encode(schema, r)) for _, r in pairs]
            transaction.send(topic, partition, pack(keys, values, [0] * len(keys)))
        if fails:
            transaction.flush()
            raise InterruptedError


def arrive(project: Project, *given: tuple[int, tuple[bytes, dict[str, Any] | None]], replay: str = "") -> None:
    """Records of partition 0, each with its time: of the live flow, or as a replay brings them."""
    epoch = project.epoch
    schema_id = epoch.writers[project.subject][-1]
    schema = avro.parse(epoch.schemas[schema_id])
    values = [None if r is None else wire.pack(schema_id, avro.encode(schema, r)) for _, (_, r) in given]
    batches = join(
        Values.of([key for _, (key, _) in given]),
        Values.of(values),
        np.array([time for time, _ in given]),
        np.arange(len(given)),
        headers=encode_headers({"exchange-replay": replay.encode()} if replay else {}),
    )
    with (
        Producer(project.cluster, f"{project.reader}.test.router") as producer,
        producer.transaction() as transaction,
    ):
        transaction.send(inbox_topic(project.reader, project.subject), 0, batches)


class Sent(NamedTuple):
    """A record of partition 0 as a router brings it: of a row with that header, or (None) the end of rows."""

    key: bytes | None
    record: dict[str, Any] | None
    row: bytes | None = None


def send(project: Project, *sent: Sent, view: bool = False) -> None:
    """The records, in one transaction; those of the grant's `view` or as they were published."""
    epoch = project.epoch
    schema_id = epoch.views["g-income"] if view else epoch.writers[project.subject][-1]
    schema = avro.parse(epoch.schemas[schema_id])
    batches = join(
        Values.of([each.key for each in sent]),
        Values.of([None if r is None else wire.pack(schema_id, avro.encode(schema, r)) for _, r, _ in sent]),
        np.zeros(len(sent), np.int64),
        np.arange(len(sent)),
        headers=Values.of([encode_headers({} if row is None else {ROW_HEADER: row}) for _, _, row in sent]),
    )
    with (
        Producer(project.cluster, f"{project.reader}.test.router") as producer,
        producer.transaction() as transaction,
    ):
        transaction.send(inbox_topic(project.reader, project.subject), 0, batches)


def row_name(project: Project, serial: int) -> bytes:
    """The name by which a row of `income` is withdrawn from those who have its key in clear."""
    epoch = project.epoch
    schema_id = epoch.writers[project.subject][-1]
    named = name_schema(avro.parse(epoch.schemas[schema_id]), project.key)
    return wire.pack(schema_id, avro.encode(named, {name: income(serial)[1][name] for name in project.key}))


def income(serial: int, **changes: Any) -> tuple[bytes, dict[str, Any]]:
    resident = f"44010619900101{serial % 50:04d}"
    record = {
        "resident_id": resident,
        "employer": None,
        "year": 2024,
        "amount": Decimal("1234567890.10"),
        "paid_on": date(2025, 2, 28),
        "recorded_at": datetime(2025, 3, 1, 0, 0, 3, 120_000, tzinfo=UTC),
        "serial": serial,
    }
    return resident.encode(), record | changes


def drain(project: Project, department: str = "") -> None:
    """Run the department's connector, which is the reader's unless said otherwise, until there is nothing left."""
    run_until_idle(
        project.cluster, load.load(project.folder / "connectors", department or project.reader), project.home
    )


def run_until_idle(cluster: Cluster, connector: Connector, home: Path) -> None:
    """Run the connector until there is nothing left."""
    with (
        # It asks for more often, and so sees soon that there is nothing left.
        mock.patch.object(consume, "IDLE_MS", 20),
        mock.patch.object(sink_worker, "WAIT_S", 0.02),
        mock.patch.object(sink_worker, "POLL_S", 0.02),
        mock.patch.object(runner, "WATCH_S", 0.02),
    ):
        runner.start(cluster, connector, home, threading.Event(), until_idle=True).wait(until_idle=True)


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each step of a sink will have taken in."""
    counts: list[int] = []
    step = sink.Sink.step

    def counted(self: sink.Sink, timeout_s: float) -> sink.Taken:
        counts.append(sum(taken := step(self, timeout_s)))
        return taken

    monkeypatch.setattr(sink.Sink, "step", counted)
    return counts


@contextmanager
def running(project: Project, department: str = "") -> Iterator[RunningConnector]:
    """That connector at work until the block ends."""
    stop = threading.Event()
    connector = load.load(project.folder / "connectors", department or project.reader)
    made = runner.start(project.cluster, connector, project.home, stop)
    try:
        yield made
    finally:
        stop.set()
        made.wait(until_idle=False)


def is_made(url: str, table: str = "income") -> bool:
    """Whether the sink has made its table."""
    engine = sa.create_engine(url)
    try:
        return bool(sa.inspect(engine).has_table(table))
    finally:
        engine.dispose()


def rows(url: str, columns: str = "*", table: str = "income") -> list[Any]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(sa.text(f"SELECT {columns} FROM {table} ORDER BY serial")).all())
    engine.dispose()
    return found
