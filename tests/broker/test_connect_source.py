"""Sources against a real Kafka: every row once, whatever happens to the connector."""

from __future__ import annotations

import io
import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Consumer, TopicPartition

from exchange.bus import Cluster
from exchange.connect import load, runner
from exchange.contract.names import subject_topic
from tests.connect_project import INCOME, Project

START = datetime(2025, 3, 1, 8, 0)


@pytest.fixture
def project(fresh_cluster: Cluster, tmp_path: Path, unique: str) -> Project:
    made = Project(tmp_path, fresh_cluster, f"{unique}a", f"{unique}b")
    made.apply()
    return made


@pytest.fixture
def database(project: Project) -> Iterator[sqlite3.Connection]:
    path = project.folder / "source.db"
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "CREATE TABLE income (serial INTEGER PRIMARY KEY, id_no TEXT, employer TEXT, year INTEGER, "
        "amount NUMERIC, paid_on TEXT, updated_at TEXT)"
    )
    project.connector(
        project.owner,
        database=f"sqlite:///{path}",
        sources=[
            {
                "subject": project.subject,
                "table": "income",
                "cursor": {"time": "updated_at", "id": "serial"},
                "lookback_s": 60,
                "poll_s": 0.05,
                "page_rows": 40,
                "columns": {"resident_id": "id_no", "recorded_at": "updated_at"},
            }
        ],
    )
    yield connection
    connection.close()


def insert(database: sqlite3.Connection, serials: range, *, amount: Any = 12.5, at: datetime | None = None) -> None:
    """Rows a second apart, or all of one time."""
    rows = [
        (
            serial,
            f"44010619900101{serial % 50:04d}",
            None if serial % 3 else "穗城公司",
            2024,
            amount,
            "2025-02-28",
            str(at or START + timedelta(seconds=serial)),
        )
        for serial in serials
    ]
    database.executemany("INSERT INTO income VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def drain(project: Project) -> None:
    """Run the owner's connector in this process until there is nothing left."""
    connector = load.load(project.folder / "connectors", project.owner)
    stop = threading.Event()
    runner.start(project.cluster, connector, project.home, stop, until_idle=True).wait(until_idle=True)


def published(project: Project) -> list[tuple[int, bytes | None, dict[str, Any] | None]]:
    """(partition, key, record) of all committed records, read by another client and Avro's reference reader."""
    schema = fastavro.parse_schema(INCOME)
    topic = subject_topic(project.subject)
    consumer = Consumer(
        {
            "bootstrap.servers": project.cluster.bootstrap_servers,
            "group.id": "check",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    found: list[tuple[int, bytes | None, dict[str, Any] | None]] = []
    ended: set[int] = set()
    deadline = time.monotonic() + 30
    while len(ended) < len(partitions):
        assert time.monotonic() < deadline
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            ended.add(message.partition())
            continue
        value = message.value()
        magic, _ = struct.unpack(">bI", value[:5])
        assert magic == 0
        found.append((message.partition(), message.key(), fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)))
    consumer.close()
    return found


def serials(project: Project) -> Counter[int]:
    return Counter(record["serial"] for _, _, record in published(project) if record)


def test_every_row_is_published_once_with_its_key(project: Project, database: sqlite3.Connection) -> None:
    insert(database, range(250))
    drain(project)
    drain(project)
    found = published(project)
    assert Counter(r["serial"] for _, _, r in found if r) == Counter(range(250))
    assert all(key == record["resident_id"].encode() for _, key, record in found if record and key)
    assert len({(key, partition) for partition, key, _ in found}) == 50
    first = next(record for _, _, record in found if record and record["serial"] == 3)
    assert first["employer"] == "穗城公司"
    assert first["recorded_at"] == datetime(2025, 3, 1, 0, 0, 3, tzinfo=UTC)  # 08:00:03 in Shanghai


def test_an_update_is_published_again_and_a_late_commit_is_not_missed(
    project: Project, database: sqlite3.Connection
) -> None:
    insert(database, range(100, 200))
    drain(project)
    database.execute("UPDATE income SET updated_at = ? WHERE serial = 150", [str(START + timedelta(seconds=300))])
    insert(database, range(50), at=START + timedelta(seconds=250))
    drain(project)
    assert serials(project) == Counter([*range(100, 200), 150, *range(50)])


def test_rows_that_do_not_fit_go_to_the_reject_file_once(project: Project, database: sqlite3.Connection) -> None:
    insert(database, range(30))
    insert(database, range(30, 33), amount=0.1 + 0.2)
    insert(database, range(33, 34), amount="a lot")
    drain(project)
    drain(project)
    assert serials(project) == Counter(range(30))
    lines = (project.home / "rejects" / f"{project.subject}.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert "a lot" not in "".join(lines)
    assert "44010619900101" not in "".join(lines)


def command(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **project.environment()}
    log = (project.folder / "log").open("ab")
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "exchange"), "connector", "run", project.owner, *arguments],
        env=environment,
        stdout=log,
        stderr=log,
    )


def test_kills_neither_lose_nor_repeat(project: Project, database: sqlite3.Connection) -> None:
    random.seed(7)
    insert(database, range(500))
    done, kills = 500, 0
    while kills < 5:
        process = command(project)
        deadline = time.monotonic() + 60
        target = serials(project).total() + random.randint(1, 300)
        while serials(project).total() < target and time.monotonic() < deadline:
            insert(database, range(done, done + 60))
            done += 60
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    drain(project)
    assert serials(project) == Counter(range(done))
