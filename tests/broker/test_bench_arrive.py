"""Rows that come into a table are counted once, and peers are given what our own connector is given."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from exchange.schema import avro, wire
from tests.bench import arrive, jdbc_sink, sink
from tests.bench.arrive import Arrived
from tests.bench.measure import CandidateFailedError
from tests.bench.workload import SCHEMA
from tests.rigs.databases import Server

ROWS = [f"{number:04}" for number in range(1_000)]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that does nothing, until the test ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


@pytest.fixture
def watch(
    private_postgres: Server, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, float], Arrived]:
    """Watches a table into which 100 rows come after each look, until there are so many."""
    url = private_postgres.url(driver="postgresql")
    monkeypatch.setattr(arrive, "SHARP_S", math.inf)

    def watched(rows: int, opens: float) -> Arrived:
        with psycopg.connect(url, autocommit=True) as connection:
            parts = iter(range(0, rows, 100))

            def insert(_: float) -> None:
                if (first := next(parts, None)) is not None:
                    connection.execute("CREATE TABLE IF NOT EXISTS t (k text PRIMARY KEY)")
                    some = "SELECT lpad(n::text, 4, '0') FROM generate_series(%s::int, %s) n"
                    connection.execute(f"INSERT INTO t {some}".encode(), [first, first + 99])
                else:
                    monkeypatch.setattr(arrive, "PATIENCE_S", 0.0)

            clock = SimpleNamespace(monotonic=time.monotonic, sleep=insert)
            monkeypatch.setattr(arrive, "time", clock)
            began = time.monotonic()
            it = {"it": process}
            return arrive.watch(url, "t", "k", ROWS, it, private_postgres.pid, Path("log"), began=began, opens=opens)

    return watched


@pytest.mark.parametrize("opens", [0.0, 0.2])
def test_a_window_ends_with_the_last_row(watch: Callable[[int, float], Arrived], opens: float) -> None:
    got = watch(1_000, opens)
    assert got.rows_per_s > 0
    assert got.first_row_s > 0
    assert set(got.cpu_s_per_million) == set(got.peak_mb) == {"it"}


def test_a_window_does_not_open_with_the_last_row(watch: Callable[[int, float], Arrived]) -> None:
    with pytest.raises(CandidateFailedError, match="all rows came at once: too few to measure"):
        watch(1_000, 1.0)


def test_a_process_that_ends_too_early_is_said(
    watch: Callable[[int, float], Arrived], process: subprocess.Popen[bytes]
) -> None:
    process.kill()
    process.wait()
    with pytest.raises(CandidateFailedError, match="it ended with status -9, see log"):
        watch(1_000, 0.2)


def test_rows_that_do_not_come_are_said(watch: Callable[[int, float], Arrived]) -> None:
    with pytest.raises(CandidateFailedError, match="about 900 of 1,000 rows came, see log"):
        watch(900, 0.2)


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
