"""Deletions against a real Kafka, from SQLite, PostgreSQL and files: each once, whatever happens to the connector."""

from __future__ import annotations

import io
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from confluent_kafka import Consumer, TopicPartition

from exchange.bus import Cluster
from exchange.cli.main import exchange
from exchange.connect import load, runner, worker
from exchange.connect.answer import NoQuestionError
from exchange.connect.roll_call import ManyDeletionsError
from exchange.names import ROW_HEADER, subject_topic
from tests.rigs.clients import librdkafka
from tests.rigs.plain import wait_until
from tests.rigs.project import INCOME, Project

KEY = ("resident_id", "serial")
ROW = fastavro.parse_schema(INCOME)
NAME = fastavro.parse_schema(
    {
        "type": "record",
        "name": "RowName",
        "fields": [{"name": "resident_id", "type": "string"}, {"name": "serial", "type": "long"}],
    }
)
Key = tuple[str, int]


@pytest.fixture
def project(own_cluster: Cluster, tmp_path: Path, unique: str) -> Project:
    made = Project(tmp_path, own_cluster, f"{unique}a", f"{unique}b")
    made.apply(key=KEY)
    return made


class Register:
    """A table in the owner's database, and the department that changes it."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        self.engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        self.clock = 1_700_000_000_000_000
        self.next = 0
        if url.startswith("sqlite"):
            self.sql("PRAGMA journal_mode=WAL")
        self.sql(
            "CREATE TABLE income (serial BIGINT, resident_id TEXT, year INTEGER, amount NUMERIC(12, 2), paid_on DATE, "
            "recorded_at TIMESTAMP, at BIGINT, state TEXT, PRIMARY KEY (resident_id, serial))"
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


@pytest.fixture(params=["sqlite", "postgresql"])
def register(project: Project, request: pytest.FixtureRequest) -> Iterator[Register]:
    url = f"sqlite:///{project.folder / 'source.db'}"
    made = Register(project, request.getfixturevalue("postgres_database") if request.param == "postgresql" else url)
    yield made
    made.engine.dispose()


def drain(project: Project) -> None:
    """Run the owner's connector in this process until there is nothing left."""
    connector = load.load(project.folder / "connectors", project.owner)
    stop = threading.Event()
    runner.start(project.cluster, connector, project.home, stop, until_idle=True).wait(until_idle=True)


def command(project: Project) -> subprocess.Popen[bytes]:
    program = str(Path(sys.executable).parent / "exchange")
    with (project.folder / "log").open("ab") as log:
        environment = {**os.environ, **project.environment()}
        return subprocess.Popen([program, "connector", "run", project.owner], env=environment, stdout=log, stderr=log)


def published(project: Project) -> int:
    """How many records were published."""
    return sum(map(len, history(project).values()))


def history(project: Project) -> dict[Key, list[str]]:
    """What was published of each row, in order: `row` or `gone`; read by another client and Avro's reference reader."""
    topic = subject_topic(project.subject)
    settings = {"group.id": "check", "enable.auto.commit": False, "isolation.level": "read_committed"}
    consumer = Consumer({**librdkafka(project.cluster), **settings, "enable.partition.eof": True})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    found: defaultdict[Key, list[str]] = defaultdict(list)
    places: dict[Key, int] = {}
    written: set[bytes] = set()
    ended = 0
    deadline = time.monotonic() + 120
    while ended < len(partitions):
        assert time.monotonic() < deadline
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            ended += 1
            continue
        value, headers = message.value(), dict(message.headers() or ())
        if value is None:
            name = headers.pop(ROW_HEADER)
            written.add(name[:5])
            record = fastavro.schemaless_reader(io.BytesIO(name[5:]), NAME)
        else:
            written.add(value[:5])
            record = fastavro.schemaless_reader(io.BytesIO(value[5:]), ROW)
        assert headers == {}
        assert message.key() == record["resident_id"].encode()
        key = (record["resident_id"], record["serial"])
        assert places.setdefault(key, message.partition()) == message.partition()
        found[key].append("gone" if value is None else "row")
    consumer.close()
    assert len(written) <= 1, "records and names of rows carry the same schema id"
    return found


def settled(project: Project) -> set[Key]:
    """The rows that are there according to what was published; each deletion follows a row."""
    found = history(project)
    for events in found.values():
        assert events[0] == "row"
        assert ("gone", "gone") not in set(itertools.pairwise(events))
    return {key for key, events in found.items() if events[-1] == "row"}


def test_a_sweep_publishes_what_is_gone_once(project: Project, register: Register) -> None:
    register.insert(200)
    drain(project)
    register.delete(3, 5, 150)
    register.sell(7)
    for _ in range(2):
        drain(project)
    found = history(project)
    assert {key for key, events in found.items() if events == ["row", "gone"]} == {
        ("r3", 3), ("r5", 5), ("r0", 150), ("r7", 7),
    }  # fmt: skip
    assert settled(project) == register.keys()


def test_a_column_says_what_is_deleted(project: Project, register: Register) -> None:
    register.configure(sweep=None, deleted={"column": "state", "values": ["sold"]})
    path = project.folder / "connectors" / project.owner / "connector.yaml"
    path.write_text(path.read_text().replace('"sweep": null, "brake": 1.0, ', ""))
    register.insert(100)
    drain(project)
    register.sql("UPDATE income SET state = 'sold', at = at + 100000000 WHERE serial < 10")
    for _ in range(2):
        drain(project)
    assert len(register.keys()) == 90
    assert settled(project) == register.keys()


def test_a_great_loss_waits_for_a_person(project: Project, register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    accept = ["connector", "accept-deletions", project.owner, project.subject, "--yes", "--reason", "a register moved"]
    register.configure(brake=0.05)
    register.insert(200)
    drain(project)
    assert isinstance(CliRunner().invoke(exchange, accept).exception, NoQuestionError)
    register.delete(*range(30))
    register.insert(1)
    for _ in range(2):
        with pytest.raises(ManyDeletionsError, match=r"30 of 20[01] published rows"):
            drain(project)
    before = settled(project)
    assert len(before) >= 200
    made = CliRunner().invoke(exchange, accept)
    assert made.exit_code == 0, made.output
    assert "30 deletions" in made.output
    drain(project)
    assert settled(project) == register.keys()
    assert isinstance(CliRunner().invoke(exchange, accept).exception, NoQuestionError)


def test_a_running_source_stands_still_visibly_and_goes_on_when_its_question_is_answered(
    project: Project, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(worker, "LAST_BACKOFF_S", 0.5)
    register.configure(brake=0.05)
    register.insert(100)
    drain(project)
    connector = load.load(project.folder / "connectors", project.owner)
    stop = threading.Event()
    running = runner.start(project.cluster, connector, project.home, stop)
    register.delete(*range(25))
    wait_until(lambda: "[many-deletions]" in str(running.health().facts), "the source asks")
    assert not running.health().ok
    accept = ["connector", "accept-deletions", project.owner, project.subject, "--yes", "--reason", "a register moved"]
    assert CliRunner().invoke(exchange, accept).exit_code == 0
    wait_until(lambda: settled(project) == register.keys(), "the source goes on")
    wait_until(lambda: running.health().ok, "the source is healthy")
    stop.set()
    running.wait(until_idle=False)


@pytest.mark.parametrize("kills", [4, pytest.param(25, marks=pytest.mark.siege)])
def test_kills_neither_lose_nor_repeat_deletions(project: Project, register: Register, kills: int) -> None:
    choose = random.Random(11)
    register.insert(300)
    for _ in range(kills):
        process, before, until = command(project), published(project), math.inf
        while time.monotonic() < until:
            change(register, choose)
            if until == math.inf and published(project) > before:
                until = time.monotonic() + choose.uniform(0, 4)
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    found = history(project)
    assert sum(events.count("gone") for events in found.values()) > 20, "the test tests something"
    assert settled(project) == register.keys()


def change(register: Register, choose: random.Random) -> None:
    serials = [choose.randrange(register.next) for _ in range(5)]
    match choose.randrange(4):
        case 0:
            register.insert(3)
        case 1:
            register.delete(*serials[:2])
        case 2:
            register.sell(serials[0])
        case 3:
            register.touch(serials[0])


def test_whole_registers_as_files_under_kills(project: Project) -> None:
    choose = random.Random(5)
    folder = project.folder / "drop"
    folder.mkdir()
    source = {"subject": project.subject, "csv": {"folder": str(folder), "settle_s": 0, "mode": "full"}}
    limits = {"page_rows": 25, "poll_s": 0.05, "brake": 1.0}
    project.connector(project.owner, sources=[{**source, **limits}])
    there: set[int] = set()
    published = 0
    for number in range(5):
        there |= set(range(number * 100, number * 100 + 150))
        there -= set(choose.sample(sorted(there), 60))
        lines = [f"r{s % 50},,2024,{s}.5,2025-02-28,2025-03-01 08:00:00,{s}\n" for s in sorted(there)]
        published += len(lines)
        header = "resident_id,employer,year,amount,paid_on,recorded_at,serial\n"
        (folder / "x.part").write_text(header + "".join(lines))
        (folder / "x.part").rename(folder / f"{number}.csv")
    for _ in range(4):
        process = command(project)
        deadline, target = time.monotonic() + 120, choose.randint(1, published)
        while sum(map(len, history(project).values())) < target and time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    found = history(project)
    assert sum(events.count("row") for events in found.values()) == published
    assert settled(project) == {(f"r{serial % 50}", serial) for serial in there}
