"""C1: a PostgreSQL table, row by row in the order of its cursor, to a topic: our connector, exactly once, and Debezium.

Beside them there is a limit: the same rows by the fastest way out of the server, and nothing done with them.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import psycopg

from exchange.names import subject_topic
from tests.bench import capture, java_peers, measure
from tests.bench.capture import DEBEZIUM, OURS, RECORD_BYTES, ROW, TABLE
from tests.bench.kafka_connect import Connect
from tests.bench.measure import CandidateFailedError, Measured
from tests.bench.results import Run
from tests.bench.rig import LOGS, Rig, rig
from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs.databases import Server, running_server
from tests.rigs.project import Project

LIMIT = "copy"
TITLES = {OURS: "connector", DEBEZIUM: "Debezium's snapshot on Kafka Connect", LIMIT: "COPY out, ordered, binary"}
TARGET = 0.125
"""Of Debezium's processor time."""
_OWNER, _READER = "registry", "reader"
_AT_ONCE = 20_000
_COPY = """
    COPY (SELECT * FROM {name} WHERE (updated, resident_id) > ('{last[0]}', '{last[1]}')
    ORDER BY updated, resident_id LIMIT {rows}) TO STDOUT (FORMAT binary)
"""
SNAPSHOT = {
    "snapshot.mode": "initial_only",
    "snapshot.fetch.size": "20000",
    "publication.autocreate.mode": "filtered",
}
_LAST = """
    SELECT * FROM (SELECT updated, resident_id FROM {name} WHERE (updated, resident_id) > ('{last[0]}', '{last[1]}')
    ORDER BY updated, resident_id LIMIT {rows}) AS part ORDER BY updated DESC, resident_id DESC LIMIT 1
"""


def measured(rounds: int, *, quick: bool) -> Iterator[Run]:
    """Every candidate on the same tables, on a broker and a server of their own."""
    rows = 300_000 if quick else 1_000_000
    java_peers.fetch_connect()
    with rig() as broker, running_server() as server:
        project = Project(broker.folder / "table", broker.cluster, _OWNER, _READER)
        project.folder.mkdir()
        names = [f"rows{turn}" for turn in range(1, rounds + 1)]
        project.apply(SCHEMA, partitions=1, subjects=tuple(names), key=(ENTITY,))
        for turn, name in enumerate(names, 1):
            fill = f"INSERT INTO {name} SELECT {ROW.format(n='n')} FROM generate_series(1::bigint, {rows}) n"
            index = f"CREATE UNIQUE INDEX ON {name} (updated, resident_id)"
            capture.execute(server, TABLE.format(name=name), fill, index, f"VACUUM ANALYZE {name}")
            ways: dict[str, Callable[[], Measured]] = {
                LIMIT: partial(_limit, server, name, rows),
                OURS: partial(_ours, broker, project, server, name, rows),
                DEBEZIUM: partial(_debezium, broker, server, name, rows),
            }
            for candidate, way in ways.items():
                try:
                    run = way()
                except CandidateFailedError as error:
                    click.echo(f"C1 round {turn}: {candidate} FAILED: {error}", err=True)
                    continue
                rate, cpu = round(run.records_per_s), round(run.cpu_s_per_million, 2)
                served, peak = round(run.server_cpu_s_per_million, 2), round(run.peak_mb)
                said = f"{cpu} s per million, {rate:,} rows/s, {served} s of the server, {peak} MB"
                click.echo(f"C1 round {turn}: {candidate} {said} (over {run.counted:,})", err=True)
                case = ("C1", RECORD_BYTES, 256, "none", 1, candidate, rate, cpu, turn)
                yield Run(*case, rows=rows, server_cpu_s_per_million=served, memory_mb=peak)


def _ours(broker: Rig, project: Project, server: Server, name: str, rows: int) -> Measured:
    subject = f"{_OWNER}.{name}"
    source = {"subject": subject, "table": name, "cursor": {"time": "updated", "id": "resident_id"}}
    project.connector(_OWNER, database=server.url(), sources=[source])
    command = [sys.executable, "-m", "exchange", "connector", "run", _OWNER]
    env = project.environment() | {"EXCHANGE_LOG_LEVEL": "WARNING"}
    return _run(broker, server, command, env, LOGS / f"{OURS}-{name}.log", subject_topic(subject), rows)


def _debezium(broker: Rig, server: Server, name: str, rows: int) -> Measured:
    """A snapshot, for which the connector was created before; until it is measured, it waits for the locked table."""
    label, topic = f"{DEBEZIUM}-{name}", f"{DEBEZIUM}.public.{name}"
    log = LOGS / f"{label}.log"
    broker.fresh([topic])
    connect = Connect(broker.cluster.bootstrap_servers, label, broker.folder, log)
    config = capture.debezium(server, name, f"{name}_publication") | SNAPSHOT
    with psycopg.connect(server.url(driver="postgresql")) as locked:
        locked.execute(f"LOCK TABLE {name}".encode())
        with connect.running() as process:
            connect.create(label, config, process)
    return _run(broker, server, connect.command, {}, log, topic, rows)


def _run(
    broker: Rig, server: Server, command: Sequence[str], env: Mapping[str, str], log: Path, topic: str, rows: int
) -> Measured:
    return measure.run(broker.cluster, command, env, log, {topic: rows}, rows, math.inf, server.pid)


def _limit(server: Server, name: str, rows: int) -> Measured:
    """All rows as they come, in parts as large as the connector's."""
    cpu, served, began = time.process_time(), measure.server_cpu_seconds(server.pid), time.monotonic()
    with psycopg.connect(server.url(driver="postgresql")) as connection, connection.cursor() as cursor:
        last: Sequence[Any] = ("-infinity", "")
        for _ in range(0, rows, _AT_ONCE):
            part = {"name": name, "last": last, "rows": _AT_ONCE}
            with cursor.copy(_COPY.format(**part).encode()) as copied:
                for _row in copied:
                    pass
            found = cursor.execute(_LAST.format(**part).encode()).fetchone()
            assert found is not None
            last = found
    took, each = time.monotonic() - began, 1e6 / rows
    costs = ((time.process_time() - cpu) * each, rows, (measure.server_cpu_seconds(server.pid) - served) * each)
    return Measured(rows / took, *costs, 0.0)
