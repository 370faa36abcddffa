"""C2: records of an inbox into a PostgreSQL table: our connector, and the least that such a way in costs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from typing import Any

import click
import psycopg

from exchange import names
from exchange.bus.produce import Producer
from exchange.epochs import epoch_in_force
from exchange.records.build import pack
from exchange.schema import avro, wire
from tests.bench import measure
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import LOGS, rig
from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs.databases import Server, running_server
from tests.rigs.project import Project

OURS, LIMIT = "connector", "limit"
TITLES = {
    OURS: "connector",
    LIMIT: "limit: COPY into a temporary table, INSERT … ON CONFLICT, 5,000 rows a transaction",
}
RECORD_BYTES = 146
_OWNER, _READER = "registry", "reader"
_PARTITIONS = 4
_AT_ONCE = 50_000
_LIMIT_ROWS = 5_000
_PATIENCE_S = 300.0


def record(number: int) -> dict[str, Any]:
    """The record of that number: 12 fields, 146 bytes with the wire header."""
    return {
        "resident_id": f"4401{number:014d}",
        "district": f"4401{number % 15:02d}",
        "year": 2020 + number % 6,
        "month": 1 + number % 12,
        "amount": number * 7919 % 100_000_000,
        "tax": number * 104_729 % 10_000_000,
        "paid": number % 2 == 0,
        "kind": "ABC"[number % 3],
        "payer": f"91440101{number:010d}" if number % 4 == 0 else None,
        "since": date(2020, 1, 1 + number % 28),
        "updated": datetime(2025, 1, 1, tzinfo=UTC),
        "note": f"{number:<63}",
    }


def measured(rounds: int, *, quick: bool) -> Iterator[Run]:
    """Both, in each round on a table of its own."""
    records = 200_000 if quick else 1_000_000
    subjects = tuple(f"rows{turn}" for turn in range(1, rounds + 1))
    with rig() as broker, running_server() as server:
        project = Project(broker.folder / "sink", broker.cluster, _OWNER, _READER)
        project.folder.mkdir()
        project.apply(SCHEMA, partitions=_PARTITIONS, subjects=subjects, key=(ENTITY,))
        bodies = [avro.encode(avro.parse(json.dumps(SCHEMA)), record(number)) for number in range(records)]
        for turn, name in enumerate(subjects, 1):
            _fill(project, name, bodies)
            for candidate, take in ((OURS, _ours), (LIMIT, _limit)):
                try:
                    got = take(project, server, name, records)
                except CandidateFailedError as error:
                    click.echo(f"C2 round {turn}: {candidate} FAILED: {error}", err=True)
                    continue
                rate, cpu, served, first, peak = got
                told = f"{cpu:.2f} s per million, server {served:.2f}, {rate:,.0f} rows/s, first row {first:.2f} s"
                click.echo(f"C2 round {turn}: {candidate} {told}, {peak:.0f} MB", err=True)
                case = ("C2", RECORD_BYTES, 256, "none", 1, candidate, round(rate), round(cpu, 2), turn)
                yield Run(*case, rows=records, server_cpu_s_per_million=round(served, 2), memory_mb=round(peak),
                          first_row_s=round(first, 2))  # fmt: skip


def _fill(project: Project, name: str, bodies: list[bytes]) -> None:
    """The records in the reader's inbox, as a router brings them."""
    topic = names.inbox_topic(_READER, f"{_OWNER}.{name}")
    schema_id = epoch_in_force(project.cluster).writers[f"{_OWNER}.{name}"][-1]
    with Producer(project.cluster, "bench.sink", timeout_s=60) as producer:
        for at in range(0, len(bodies), _AT_ONCE):
            some = bodies[at : at + _AT_ONCE]
            with producer.transaction() as transaction:
                for partition in range(_PARTITIONS):
                    mine = some[partition::_PARTITIONS]
                    keys = [body[1:19] for body in mine]
                    for batch in pack(keys, [wire.pack(schema_id, body) for body in mine], [0] * len(mine)):
                        transaction.send(topic, partition, [batch])


Got = tuple[float, float, float, float, float]
"""Rows per second, seconds of the process and of the server per million, seconds until the first row, peak in MB."""


def _ours(project: Project, server: Server, name: str, records: int) -> Got:
    """The connector's process; rate and processor time are measured once a fifth is there, as for routers."""
    sink = {"subject": f"{_OWNER}.{name}", "table": name}
    project.connector(_READER, database=server.url(), sinks=[sink])
    command = [sys.executable, "-m", "exchange", "connector", "run", _READER]
    log = LOGS / f"sink-{name}.log"
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(server.url(driver="postgresql"), autocommit=True))
        began, first = time.monotonic(), 0.0
        env = project.environment() | {"EXCHANGE_LOG_LEVEL": "WARNING"}
        process = stack.enter_context(measure.running(command, env, log))
        opened: tuple[float, int, float, float] | None = None
        while True:
            if process.poll() is not None or time.monotonic() > began + _PATIENCE_S:
                raise CandidateFailedError(f"did not take everything in, see {log}")
            there, now, cpu = _taken(connection, name), time.monotonic(), measure.cpu_seconds(process.pid)
            if there and not first:
                first = now - began
            if opened is None and there >= measure.WARM_UP_SHARE * records:
                opened = now, there, cpu, measure.server_cpu_seconds(server.pid)
            if opened and there >= records and _count(connection, name) == records:
                break
            time.sleep(0.02)
        served, peak = measure.server_cpu_seconds(server.pid), measure.peak_mb(process.pid)
    each = 1e6 / (records - opened[1])
    return 1e6 / each / (now - opened[0]), (cpu - opened[2]) * each, (served - opened[3]) * each, first, peak


def _limit(_: Project, server: Server, name: str, records: int) -> Got:
    """This process, with rows that are ready for the COPY, into a table like the connector's."""
    columns = ", ".join(record(0))
    others = ", ".join(f"{column} = EXCLUDED.{column}" for column in record(0) if column != ENTITY)
    made = [
        f"CREATE TABLE {name}_limit (LIKE {name} INCLUDING ALL)",
        f"CREATE TEMPORARY TABLE incoming ON COMMIT DELETE ROWS AS SELECT {columns} FROM {name} WITH NO DATA",
    ]
    merge = f"INSERT INTO {name}_limit ({columns}, _partition, _offset) SELECT {columns}, 0, 0 FROM incoming"
    merge += f" ON CONFLICT ({ENTITY}) DO UPDATE SET {others}"
    lines = ["\t".join("\\N" if v is None else str(v) for v in record(n).values()) + "\n" for n in range(records)]
    parts = ["".join(lines[at : at + _LIMIT_ROWS]).encode() for at in range(0, records, _LIMIT_ROWS)]
    with psycopg.connect(server.url(driver="postgresql")) as connection:
        for statement in made:
            connection.execute(statement.encode())
        connection.commit()
        before, began, used = measure.server_cpu_seconds(server.pid), time.monotonic(), time.process_time()
        first = 0.0
        for part in parts:
            with connection.cursor() as cursor, cursor.copy("COPY incoming FROM STDIN") as copy:
                copy.write(part)
            connection.execute(merge.encode())
            connection.commit()
            first = first or time.monotonic() - began
        took, cpu = time.monotonic() - began, time.process_time() - used
        served = measure.server_cpu_seconds(server.pid) - before
    each = 1e6 / records
    return records / took, cpu * each, served * each, first, measure.peak_mb(os.getpid())


def _count(connection: psycopg.Connection, name: str) -> int:
    [found] = connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchall()
    return int(found[0])


def _taken(connection: psycopg.Connection, name: str) -> int:
    """How many offsets the sink has moved: as many as rows are visible, and markers."""
    try:
        topic = names.inbox_topic(_READER, f"{_OWNER}.{name}")
        asked = "SELECT sum(next_offset) FROM exchange_offsets WHERE topic = %s"
        found = connection.execute(asked, [topic]).fetchone()
    except psycopg.errors.UndefinedTable:
        return 0
    return int(found[0] or 0) if found else 0
