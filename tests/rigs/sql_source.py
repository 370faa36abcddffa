"""A source that reads a table or query of a real database, without Kafka; `run` and `connected` are of PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from exchange.connect.coerce import RowRejectedError
from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.convert import converter
from exchange.connect.database import Paths, engine
from exchange.connect.sql_source import SqlSource
from exchange.schema import avro

SECRET = "440106199001010014"
HERE = Paths(Path(), Path())


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        yield connection


def run(url: str, *statements: str) -> None:
    with connected(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def source(url: str, *, fetch_rows: int | None = None, timeout_s: float = 300, **config: Any) -> SqlSource:
    origin = {} if "query" in config else {"table": "t"}
    usual = {"cursor": Cursor(time="at", id="id"), "page_rows": 100}
    made = SourceConfig(subject="a.b", **{**usual, **origin, **config})
    return SqlSource(made, engine(Database(url=url, timeout_s=timeout_s), HERE), None, fetch_rows=fetch_rows)


def sweep(of: SqlSource, progress: dict[str, bytes]) -> list[Any]:
    """The rows of one sweep of a newly opened source; `progress` is moved on."""
    of.open(progress)
    rows = []
    for page in of.pages():
        rows += page.rows
        for name, value in page.progress.items():
            if value is None:
                progress.pop(name, None)
            else:
                progress[name] = value
    of.close()
    return rows


def converted(kind: Any, value: Any) -> Any:
    """What a field of that Avro type makes of the value; None if the row is rejected."""
    schema = avro.parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "v", "type": kind}]}))
    try:
        return converter(schema, {}, timezone="Asia/Shanghai")({"v": value})["v"]
    except RowRejectedError:
        return None


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


_MEMORY = """
import resource, sys
from tests.rigs.sql_source import source
of = source(sys.argv[1])
of.open({})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = largest = 0
for page in of.pages():
    rows += len(page.rows)
    largest = max(largest, sum(len(row["v"]) for row in page.rows))
print(rows, largest >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def memory(url: str) -> tuple[int, int, int]:
    """What a process of its own takes to read the texts `v`: rows, MB of the largest page, MB at the peak."""
    command = [sys.executable, "-c", _MEMORY, url]
    rows, page_mb, peak_mb = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    return rows, page_mb, peak_mb
