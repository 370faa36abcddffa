"""C2: records of an inbox into a PostgreSQL table: our connector, Debezium's JDBC sink, and a limit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import click
import psycopg

from exchange import names
from exchange.bus import Cluster
from exchange.bus.produce import Producer
from exchange.epochs import epoch_in_force
from exchange.records.build import pack
from exchange.schema import avro, wire
from tests.bench import arrive, daemons, java_peers, jdbc_sink, measure
from tests.bench.arrive import Arrived
from tests.bench.kafka_connect import Connect
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import LOGS, Rig, rig
from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs.databases import Server, running_server
from tests.rigs.project import Project

OURS, DEBEZIUM, LIMIT = "connector", "debezium", "limit"
TITLES = {
    OURS: "connector",
    DEBEZIUM: "Debezium's JDBC sink on Kafka Connect",
    LIMIT: "limit: COPY into a temporary table, INSERT … ON CONFLICT, 5,000 rows a transaction",
}
TARGET = 0.125
"""Of Debezium's processor time."""
FIRST_ROW_S = 1.0
"""The most from when the sink runs, with all records before it, to the first row that others see."""
RECORD_BYTES = 146
_OWNER, _READER = "registry", "reader"
_PARTITIONS = 4
_JSON_TOPIC = "bench.rows-as-json"
"""The same records as Debezium's source would write them."""
_AT_ONCE = 50_000
_LIMIT_ROWS = 5_000


def record(number: int) -> dict[str, Any]:
    """The record of that number: 12 fields, 146 bytes with the wire header."""
    return {
        "resident_id": key_of(number),
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
        "note": f"{number:<85}",
    }


def key_of(number: int) -> str:
    """The key of the record of that number."""
    return f"4401{number:014d}"


def measured(rounds: int, *, quick: bool) -> Iterator[Run]:
    """All, in each round on a table of its own."""
    records = 500_000 if quick else 1_000_000
    java_peers.fetch_connect()
    subjects = tuple(f"rows{turn}" for turn in range(1, rounds + 1))
    with rig() as broker, running_server() as server:
        project = Project(broker.folder / "sink", broker.cluster, _OWNER, _READER)
        project.folder.mkdir()
        project.apply(SCHEMA, partitions=_PARTITIONS, subjects=subjects, key=(ENTITY,))
        broker.fresh([_JSON_TOPIC], _PARTITIONS)
        _fill(broker.cluster, _JSON_TOPIC, [jdbc_sink.as_json(record(number)) for number in range(records)])
        schema = avro.parse(json.dumps(SCHEMA))
        bodies = [avro.encode(schema, record(number)) for number in range(records)]
        for turn, name in enumerate(subjects, 1):
            schema_id = epoch_in_force(project.cluster).writers[f"{_OWNER}.{name}"][-1]
            topic = names.inbox_topic(_READER, f"{_OWNER}.{name}")
            _fill(broker.cluster, topic, [wire.pack(schema_id, body) for body in bodies])
            ways: dict[str, Callable[[], tuple[float | None, Arrived]]] = {
                OURS: partial(_ours, project, server, name, records),
                DEBEZIUM: partial(_debezium, broker, server, name, records),
                LIMIT: partial(_limit, server, name, records),
            }
            for candidate, way in ways.items():
                try:
                    runs_s, got = way()
                except CandidateFailedError as error:
                    click.echo(f"C2 round {turn}: {candidate} FAILED: {error}", err=True)
                    continue
                yield _run(turn, candidate, records, runs_s, got)


def _run(turn: int, candidate: str, records: int, runs_s: float | None, got: Arrived) -> Run:
    """The run as it stands in the results; `runs_s` is after how many seconds the candidate ran."""
    served, peak = got.server_cpu_s_per_million, sum(got.peak_mb.values())
    told = f"{got.cpu:.2f} s per million, server {served:.2f}, {got.rows_per_s:,.0f} rows/s, {peak:.0f} MB"
    told += f", first row {got.first_row_s:.2f} s after its start" + (
        f", it ran after {runs_s:.2f} s" if runs_s else ""
    )
    click.echo(f"C2 round {turn}: {candidate} {told}", err=True)
    case = ("C2", RECORD_BYTES, 256, "none", 1, candidate, round(got.rows_per_s), round(got.cpu, 2), turn)
    return Run(
        *case,
        rows=records,
        server_cpu_s_per_million=round(served, 2),
        memory_mb=round(peak),
        first_row_s=round(got.first_row_s, 2),
        runs_s=runs_s and round(runs_s, 2),
    )


def _fill(cluster: Cluster, topic: str, values: Sequence[bytes]) -> None:
    """Records keyed by their numbers, over all partitions in turn: as a router brings them."""
    now = int(time.time() * 1000)  # the broker deletes what is old
    with Producer(cluster, "bench.sink", timeout_s=60) as producer:
        for at in range(0, len(values), _AT_ONCE):
            some = range(at, min(at + _AT_ONCE, len(values)))
            with producer.transaction() as transaction:
                for partition in range(_PARTITIONS):
                    mine = some[partition::_PARTITIONS]
                    keys = [key_of(number).encode() for number in mine]
                    for batch in pack(keys, [values[number] for number in mine], [now] * len(mine)):
                        transaction.send(topic, partition, [batch])


def _ours(project: Project, server: Server, name: str, records: int) -> tuple[float, Arrived]:
    project.connector(_READER, database=server.url(), sinks=[{"subject": f"{_OWNER}.{name}", "table": name}])
    log, began = LOGS / f"sink-{name}.log", time.monotonic()
    with daemons.running(project, log, "connector", "run", _READER) as process:
        return time.monotonic() - began, _watch(server, name, records, OURS, process, log, began)


def _debezium(broker: Rig, server: Server, name: str, records: int) -> tuple[float, Arrived]:
    label, table = f"{DEBEZIUM}-sink-{name}", f"{name}_{DEBEZIUM}"
    log, began = LOGS / f"{label}.log", time.monotonic()
    connect = Connect(broker.cluster.bootstrap_servers, label, broker.folder, log)
    with connect.running() as process:
        connect.create(label, jdbc_sink.config(server, "postgres", _JSON_TOPIC, table), process)
        return time.monotonic() - began, _watch(server, table, records, DEBEZIUM, process, log, began)


def _watch(
    server: Server, table: str, records: int, candidate: str, process: Popen[bytes], log: Path, began: float
) -> Arrived:
    keys = [key_of(number) for number in range(records)]
    url = server.url(driver="postgresql")
    return arrive.watch(url, table, ENTITY, keys, {candidate: process}, server.pid, log, began=began)


def _limit(server: Server, name: str, records: int) -> tuple[None, Arrived]:
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
    return None, Arrived(records / took, {LIMIT: cpu * each}, served * each, {}, first)
