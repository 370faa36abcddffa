"""C3: a PostgreSQL table to another department's, through source, router, ledger and sink; beside it, Debezium's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import click
import psycopg

from tests.bench import arrive, capture, daemons, java_peers, jdbc_sink, table_source
from tests.bench.arrive import Arrived
from tests.bench.kafka_connect import Connect
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import LOGS, Rig, rig
from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs.databases import Server, running_server
from tests.rigs.project import Project

OURS, DEBEZIUM = "exchange", "debezium"
TITLES = {OURS: "source, router, ledger, sink", DEBEZIUM: "Debezium's source and JDBC sink in one worker"}
TARGET = 10.0
"""CPU seconds of all our processes per million rows."""
_OWNER, _READER = "registry", "reader"
_PARTITIONS = 4
_PROCESSES = {
    "router": ("router", "run"),
    "follower": ("ledger", "follow"),
    "sink": ("connector", "run", _READER),
    "source": ("connector", "run", _OWNER),
}
_ROW = capture.ROW.replace("clock_timestamp()", "timestamptz '2025-01-01' + ({n}) * interval '1 second'")
"""So that few of them are younger than the last one less the source's `lookback_s`, which it reads again and again."""


def measured(rounds: int, *, quick: bool) -> Iterator[Run]:
    """Both, in each round on tables of its own, on a broker and a server with a database for each department."""
    rows = 200_000 if quick else 1_000_000
    java_peers.fetch_connect()
    for turn in range(1, rounds + 1):
        with rig() as broker, running_server() as server:
            capture.execute(server, f"CREATE DATABASE {_OWNER}", f"CREATE DATABASE {_READER}")
            ways: dict[str, Callable[[], Arrived]] = {
                OURS: partial(_ours, broker, server, f"ours{turn}", rows),
                DEBEZIUM: partial(_debezium, broker, server, f"theirs{turn}", rows),
            }
            for candidate, way in ways.items():
                try:
                    got = way()
                except CandidateFailedError as error:
                    click.echo(f"C3 round {turn}: {candidate} FAILED: {error}", err=True)
                    continue
                yield _run(turn, candidate, rows, got)


def _run(turn: int, candidate: str, rows: int, got: Arrived) -> Run:
    served = got.server_cpu_s_per_million
    each = ", ".join(f"{w} {s:.2f} s {got.peak_mb[w]:.0f} MB" for w, s in got.cpu_s_per_million.items())
    told = f"{got.cpu:.2f} s per million ({each}), server {served:.2f}, {got.rows_per_s:,.0f} rows/s"
    click.echo(f"C3 round {turn}: {candidate} {told}, first row after {got.first_row_s:.2f} s", err=True)
    case = ("C3", capture.RECORD_BYTES, 256, "none", 1, candidate, round(got.rows_per_s), round(got.cpu, 2), turn)
    return Run(
        *case,
        rows=rows,
        server_cpu_s_per_million=round(served, 2),
        memory_mb=round(sum(got.peak_mb.values())),
        first_row_s=round(got.first_row_s, 2),
        processes={w: (round(s, 2), round(got.peak_mb[w])) for w, s in got.cpu_s_per_million.items()},
    )


def _ours(broker: Rig, server: Server, name: str, rows: int) -> Arrived:
    """Every process runs and has nothing to do, until all rows of a table are committed at once."""
    tables = _tables(name, rows)
    project = Project(broker.folder / name, broker.cluster, _OWNER, _READER)
    project.folder.mkdir()
    project.apply(SCHEMA, partitions=_PARTITIONS, subjects=tuple(tables), key=(ENTITY,))
    subjects = {table: f"{_OWNER}.{table}" for table in tables}
    cursor = {"time": "updated", "id": ENTITY}
    sources = [{"subject": subject, "table": table, "cursor": cursor} for table, subject in subjects.items()]
    project.connector(_OWNER, database=server.url(_OWNER), sources=sources)
    sinks = [{"subject": subject, "table": table} for table, subject in subjects.items()]
    project.connector(_READER, database=server.url(_READER), sinks=sinks)
    for table in tables:
        capture.execute(server, capture.TABLE.format(name=table), database=_OWNER)
        capture.execute(server, f"CREATE UNIQUE INDEX ON {table} (updated, {ENTITY})", database=_OWNER)
    with ExitStack() as stack:
        processes = {
            what: stack.enter_context(daemons.running(project, LOGS / f"{name}-{what}.log", *arguments))
            for what, arguments in _PROCESSES.items()
        }
        for table, count in tables.items():
            with psycopg.connect(server.url(_OWNER, "postgresql")) as connection:
                for statement in _filling(table, count):
                    connection.execute(statement.encode())
            got = _watch(server, table, count, processes)
    return got


def _debezium(broker: Rig, server: Server, name: str, rows: int) -> Arrived:
    """Snapshots by one worker, each of which waits for its locked table; its records are those that the sink takes."""
    label = f"{DEBEZIUM}-{name}"
    connect = Connect(broker.cluster.bootstrap_servers, label, broker.folder, LOGS / f"{label}.log")
    with connect.running() as process:
        for table, count in _tables(name, rows).items():
            topic = f"{DEBEZIUM}.public.{table}"
            broker.fresh([topic], _PARTITIONS)
            capture.execute(server, capture.TABLE.format(name=table), *_filling(table, count), database=_OWNER)
            with psycopg.connect(server.url(_OWNER, "postgresql")) as locked:
                locked.execute(f"LOCK TABLE {table}".encode())
                connect.create(f"{table}-sink", jdbc_sink.config(server, _READER, topic, table), process)
                connect.create(f"{table}-source", _source(server, table), process)
            got = _watch(server, table, count, {"worker": process})
    return got


def _tables(name: str, rows: int) -> dict[str, int]:
    """The tables that pass one after the other, with their rows; the last one is measured, and the first warms up."""
    return {f"{name}first": rows // 10, name: rows}


def _source(server: Server, name: str) -> dict[str, str]:
    """Debezium's snapshot, whose records are the rows alone, as the sink's converter is told them."""
    return (
        capture.debezium(server, name, f"{name}_publication")
        | table_source.SNAPSHOT
        | {
            "database.dbname": _OWNER,
            "time.precision.mode": "connect",
            "transforms": "unwrap",
            "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
        }
    )


def _watch(server: Server, table: str, rows: int, processes: arrive.Processes) -> Arrived:
    keys = [f"4401{number:014d}" for number in range(rows)]
    url, began = server.url(_READER, "postgresql"), time.monotonic()
    return arrive.watch(url, table, ENTITY, keys, processes, server.pid, LOGS, began=began, opens=0.0)


def _filling(table: str, rows: int) -> tuple[str, str]:
    fill = f"INSERT INTO {table} SELECT {_ROW.format(n='n')} FROM generate_series(0::bigint, {rows} - 1) n"
    return fill, f"ANALYZE {table}"
