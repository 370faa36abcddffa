"""Rows that come into a table are counted once, and peers are given what our own connector is given."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from exchange.schema import avro, wire
from tests.bench import arrive, jdbc_sink, sink
from tests.bench.arrive import Arrived
from tests.bench.measure import CandidateFailedError
from tests.bench.workload import SCHEMA
from tests.rigs.databases import Server

ROWS = [f"{number:04}" for number in range(1_000)]
_FILLING = """
import sys, time, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("CREATE TABLE t (k text PRIMARY KEY)")
    for first in range(0, int(sys.argv[2]), 100):
        connection.execute(f"INSERT INTO t SELECT lpad(n::text, 4, '0') FROM generate_series({first}, {first + 99}) n")
        time.sleep(0.1)
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def filling(private_postgres: Server) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that a test starts."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def watched(server: Server, started: list[subprocess.Popen[bytes]], rows: int, stays_s: int, opens: float) -> Arrived:
    url = server.url(driver="postgresql")
    started.append(subprocess.Popen([sys.executable, "-c", _FILLING, url, str(rows), str(stays_s)]))
    began = time.monotonic()
    return arrive.watch(url, "t", "k", ROWS, {"it": started[0]}, server.pid, Path("log"), began=began, opens=opens)


@pytest.mark.parametrize("opens", [0.0, 0.2])
def test_a_window_ends_with_the_last_row(
    private_postgres: Server, filling: list[subprocess.Popen[bytes]], opens: float
) -> None:
    got = watched(private_postgres, filling, 1_000, 600, opens)
    with psycopg.connect(private_postgres.url(driver="postgresql")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(1_000,)]
    assert got.rows_per_s > 0
    assert got.first_row_s > 0
    assert set(got.cpu_s_per_million) == set(got.peak_mb) == {"it"}
    assert (got.cpu_s_per_million["it"] > 0) or opens  # its start is not in the window that opens later


def test_a_process_that_ends_too_early_is_said(
    private_postgres: Server, filling: list[subprocess.Popen[bytes]]
) -> None:
    with pytest.raises(CandidateFailedError, match="it ended with status 0, see log"):
        watched(private_postgres, filling, 900, 0, 0.2)


def test_rows_that_do_not_come_are_said(
    private_postgres: Server, filling: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrive, "PATIENCE_S", 3.0)
    with pytest.raises(CandidateFailedError, match="about 900 of 1,000 rows came, see log"):
        watched(private_postgres, filling, 900, 600, 0.2)


def test_a_record_has_the_bytes_that_are_said() -> None:
    schema = avro.parse(json.dumps(SCHEMA))
    sizes = [len(wire.pack(1, avro.encode(schema, sink.record(number)))) for number in range(0, 1_000_000, 997)]
    assert statistics.mean(sizes) == pytest.approx(sink.RECORD_BYTES, abs=1)


def test_debezium_is_told_of_every_field() -> None:
    made = json.loads(jdbc_sink.as_json(sink.record(3)))
    told = {field["field"]: field for field in json.loads(jdbc_sink.connect_schema())["fields"]}
    assert list(told) == list(made) == list(sink.record(3))
    assert [name for name, field in told.items() if field["optional"]] == ["payer"]
    assert (made["since"], made["updated"], made["payer"]) == (18_265, "2025-01-01T00:00:00.000Z", None)
