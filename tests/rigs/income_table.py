"""A keyed table in its owner's database that changes while a connector publishes it, and what was published."""

from __future__ import annotations

import io
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import fastavro
import sqlalchemy as sa

from exchange.names import ROW_HEADER, subject_topic
from tests.rigs import plain
from tests.rigs.clients import librdkafka
from tests.rigs.project import INCOME, Project

KEY = ("resident_id", "serial")
_ROW = fastavro.parse_schema(INCOME)
_NAME = fastavro.parse_schema(
    {
        "type": "record",
        "name": "RowName",
        "fields": [{"name": "resident_id", "type": "string"}, {"name": "serial", "type": "long"}],
    }
)
_MARKERS = 10
Key = tuple[str, int]


class IncomeTable:
    """A table in the owner's database, and the department that changes it."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        self.engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        self.clock = 1_700_000_000_000_000
        self.next = 0
        if url.startswith("sqlite"):
            self.sql("PRAGMA journal_mode=WAL")
        text, moment = ("VARCHAR(20)", "DATETIME") if url.startswith("mysql") else ("TEXT", "TIMESTAMP")
        self.sql(
            f"CREATE TABLE income (serial BIGINT, resident_id {text}, year INTEGER, amount NUMERIC(12, 2), "
            f"paid_on DATE, recorded_at {moment}, at BIGINT, state TEXT, PRIMARY KEY (resident_id, serial))"
        )
        self.sql("CREATE INDEX moments ON income (at, serial)")
        self.configure()

    def configure(self, **config: Any) -> None:
        source = {
            "subject": self.project.subject,
            "table": "income",
            "cursor": {"time": "at", "id": "serial"},
            "lookback_s": 1,
            "poll_s": 0.05,
            "page_rows": 40,
            "sweep": {"every": "1s"},
            "brake": 1.0,
            **config,
        }
        url = self.engine.url.render_as_string(hide_password=False)
        self.project.connector(self.project.owner, database=url, sources=[source])

    def sql(self, statement: str, **values: Any) -> None:
        with self.engine.connect() as connection:
            connection.execute(sa.text(statement), values)

    def moment(self) -> int:
        self.clock += 1_000
        return self.clock

    def insert(self, count: int) -> None:
        insert = (
            "INSERT INTO income VALUES (:serial, :id, 2024, 1.5, '2025-02-28', '2025-03-01 08:00:00', :at, 'normal')"
        )
        rows = [{"serial": s, "id": f"r{s % 50}", "at": self.moment()} for s in range(self.next, self.next + count)]
        with self.engine.connect() as connection:
            connection.execute(sa.text(insert), rows)
        self.next += count

    def delete(self, *serials: int) -> None:
        self.sql(f"DELETE FROM income WHERE serial IN ({', '.join(map(str, serials))})")

    def sell(self, serial: int) -> None:
        """Give the row another entity."""
        self.sql("UPDATE income SET resident_id = 'new', at = :at WHERE serial = :s", at=self.moment(), s=serial)

    def touch(self, serial: int) -> None:
        self.sql("UPDATE income SET year = year + 1, at = :at WHERE serial = :s", at=self.moment(), s=serial)

    def keys(self) -> set[Key]:
        with self.engine.connect() as connection:
            query = "SELECT resident_id, serial FROM income WHERE state = 'normal'"
            return {(row[0], row[1]) for row in connection.execute(sa.text(query))}

    def change(self, choose: random.Random) -> None:
        """Any change of a row or of a few."""
        serials = [choose.randrange(self.next) for _ in range(5)]
        match choose.randrange(4):
            case 0:
                self.insert(3)
            case 1:
                self.delete(*serials[:2])
            case 2:
                self.sell(serials[0])
            case 3:
                self.touch(serials[0])

    def change_through_kills(self, kills: int, choose: random.Random) -> None:
        """Change while connectors run, of which each is killed at a random moment after it has begun to publish."""
        for _ in range(kills):
            before, until = self.project.published(), math.inf
            process = command(self.project)
            for changes in itertools.count():
                self.change(choose)
                time.sleep(0.005)
                if time.monotonic() > until:
                    break
                if until == math.inf and changes % 20 == 0 and self.project.published() > before + _MARKERS:
                    until = time.monotonic() + choose.uniform(0, 2)
            kill(process)


def command(project: Project) -> subprocess.Popen[bytes]:
    """The owner's connector as a process."""
    program = str(Path(sys.executable).parent / "exchange")
    with (project.folder / "log").open("ab") as log:
        environment = {**os.environ, **project.environment()}
        return subprocess.Popen([program, "connector", "run", project.owner], env=environment, stdout=log, stderr=log)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL; AssertionError if it had ended by itself."""
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()


def history(project: Project) -> dict[Key, list[str]]:
    """What was published of each row, in order: `row` or `gone`; read by another client and Avro's reference reader."""
    found: defaultdict[Key, list[str]] = defaultdict(list)
    places: dict[Key, int] = {}
    written: set[bytes] = set()
    for read in plain.read(librdkafka(project.cluster), subject_topic(project.subject)):
        headers = dict(read.headers)
        encoded = read.value if read.value is not None else headers.pop(ROW_HEADER) or b""
        written.add(encoded[:5])
        record: Any = fastavro.schemaless_reader(io.BytesIO(encoded[5:]), _NAME if read.value is None else _ROW)
        assert headers == {}
        assert read.key == record["resident_id"].encode()
        key = (record["resident_id"], record["serial"])
        assert places.setdefault(key, read.partition) == read.partition
        found[key].append("gone" if read.value is None else "row")
    assert len(written) <= 1, "records and names of rows carry the same schema id"
    return found


def settled(project: Project) -> set[Key]:
    """The rows that are there according to what was published; each deletion follows a row."""
    found = history(project)
    for events in found.values():
        assert events[0] == "row"
        assert ("gone", "gone") not in set(itertools.pairwise(events))
    return {key for key, events in found.items() if events[-1] == "row"}
