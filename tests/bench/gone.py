"""How soon a row that left its grant's filter, or that was deleted, is gone from its reader's table."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import click
import numpy as np
import psycopg

from exchange.connect.cdc.setup import name_of
from tests.bench import capture, daemons
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import LOGS, Rig, rig
from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs.databases import Server, running_server
from tests.rigs.project import Project

POLLED, LOGGED = "polled", "logged"
WAYS = {POLLED: ("is polled, `poll_s: 1`", 2000.0), LOGGED: ("is followed, `cdc: postgresql`", 500.0)}
"""Per way in which the source sees changes: its title, and the most that p99 should be, in ms."""
PER_S = 8.0
_OWNER, _READER = "registry", "reader"
_PARTITIONS = 4
_LOOK_S = 0.005
_PATIENCE_S = 60.0
_LEFT = "UPDATE {table} SET year = 2000, updated = clock_timestamp() WHERE resident_id = %s"
_DELETED = {
    POLLED: "UPDATE {table} SET is_deleted = true, updated = clock_timestamp() WHERE resident_id = %s",
    LOGGED: "DELETE FROM {table} WHERE resident_id = %s",
}
_SOURCES: Mapping[str, Mapping[str, Any]] = {
    POLLED: {
        "cursor": {"time": "updated", "id": ENTITY},
        "deleted": {"column": "is_deleted", "values": [True]},
    },
    LOGGED: {"cdc": "postgresql"},
}


def measured(rounds: int, *, quick: bool) -> Iterator[Run]:
    """Both ways, through a router with its ledger; source and reader have databases on one server."""
    changes = 50 if quick else 300
    for turn in range(1, rounds + 1):
        with rig() as broker, running_server() as server, _running(broker, server, changes, turn):
            for way in WAYS:
                what = f"gone round {turn}: {way}"
                try:
                    late = _change(server, way, changes, turn)
                except CandidateFailedError as error:
                    click.echo(f"{what} FAILED: {error}", err=True)
                    continue
                p50, p99 = (round(float(ms), 1) for ms in np.percentile(late, [50, 99]))
                click.echo(f"{what} p50 {p50} ms, p99 {p99} ms, of {changes} changes", err=True)
                case = ("gone", capture.RECORD_BYTES, 256, "none", 1, way, PER_S, 0.0, turn)
                yield Run(*case, p50_ms=p50, p99_ms=p99, rows=changes)


@contextmanager
def _running(broker: Rig, server: Server, rows: int, turn: int) -> Iterator[None]:
    """A router and the connectors of both departments, until the block ends; the reader has all rows."""
    capture.execute(server, f"CREATE DATABASE {_OWNER}", f"CREATE DATABASE {_READER}")
    project = Project(broker.folder / "gone", broker.cluster, _OWNER, _READER)
    project.folder.mkdir()
    project.apply(
        SCHEMA, partitions=_PARTITIONS, subjects=tuple(WAYS), key=(ENTITY,), grant={"where": {"year": {"ge": 2020}}}
    )
    subjects = {way: f"{_OWNER}.{way}" for way in WAYS}
    sources = [{"subject": subject, "table": way, **_SOURCES[way]} for way, subject in subjects.items()]
    project.connector(_OWNER, database=server.url(_OWNER), sources=sources)
    sinks = [{"subject": subject, "table": way} for way, subject in subjects.items()]
    project.connector(_READER, database=server.url(_READER), sinks=sinks)
    with _connected(server, _OWNER) as connection:
        for way in WAYS:
            connection.execute(capture.TABLE.format(name=way).encode())
            connection.execute(f"ALTER TABLE {way} ADD is_deleted boolean NOT NULL DEFAULT false".encode())
            connection.execute(f"CREATE INDEX ON {way} (updated, resident_id)".encode())
            row = capture.ROW.format(n="n")
            connection.execute(f"INSERT INTO {way} SELECT {row} FROM generate_series(1, {rows}) n".encode())
        connection.execute(f"CREATE PUBLICATION {name_of(subjects[LOGGED])} FOR TABLE {LOGGED}".encode())
    with ExitStack() as stack:
        for name, *arguments in (
            ("router", "router", "run"),
            ("owner", "connector", "run", _OWNER),
            ("reader", "connector", "run", _READER),
        ):
            stack.enter_context(daemons.running(project, LOGS / f"gone-{name}-{turn}.log", *arguments))
        _wait_for_rows(server, rows)
        yield


def _wait_for_rows(server: Server, rows: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    with _connected(server, _READER) as connection:
        for way in WAYS:
            while True:
                try:
                    found = connection.execute(f"SELECT count(*) FROM {way}".encode()).fetchone()
                except psycopg.errors.UndefinedTable:
                    found = None
                if found == (rows,):
                    break
                if time.monotonic() > deadline:
                    raise CandidateFailedError(f"the reader has not all rows of {way}, see {LOGS}/gone-*")
                time.sleep(0.1)


def _change(server: Server, way: str, rows: int, turn: int) -> list[float]:
    """Change each row once, at random moments; return after how many ms each was gone.

    From when the change is committed to when a query of the reader's table, asked every few ms, has it no longer.
    """
    chance = random.Random(turn)
    statements = [text.format(table=way).encode() for text in (_LEFT, _DELETED[way])]
    due = iter(f"4401{n:014d}" for n in range(1, rows + 1))
    asked = f"SELECT resident_id FROM {way} WHERE resident_id = ANY(%s)".encode()
    pending: dict[str, float] = {}
    late: list[float] = []
    with _connected(server, _OWNER) as source, _connected(server, _READER) as copy:
        following, moved = time.monotonic(), time.monotonic()
        while len(late) < rows:
            if time.monotonic() >= following and (row := next(due, None)) is not None:
                source.execute(statements[len(late) + len(pending) & 1], [row])
                pending[row] = time.monotonic()
                following += chance.expovariate(PER_S)
            if pending:
                there = {row for (row,) in copy.execute(asked, [list(pending)])}
                now = time.monotonic()
                for row in pending.keys() - there:
                    late.append((now - pending.pop(row)) * 1000)
                    moved = now
                if now > moved + _PATIENCE_S:
                    raise CandidateFailedError(f"{len(pending)} rows are not gone, see {LOGS}/gone-*")
            time.sleep(_LOOK_S)
    return late


@contextmanager
def _connected(server: Server, database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.url(database, "postgresql"), autocommit=True) as connection:
        yield connection
