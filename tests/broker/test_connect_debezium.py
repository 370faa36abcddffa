"""Changes that Debezium wrote to a real Kafka: each once, deletions too, whatever happens to the connector."""

from __future__ import annotations

import base64
import json
import random
import signal
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from exchange.bus import Cluster
from exchange.cli.main import exchange
from exchange.connect import load
from exchange.connect.check import check
from exchange.connect.columns import ColumnGoneError
from exchange.connect.config import SourceConfig
from exchange.connect.database import Paths
from exchange.connect.debezium.assembled import assembled
from exchange.connect.debezium.debezium_source import DebeziumTopicError
from exchange.connect.roll_call import ManyDeletionsError
from exchange.connect.source import Row, Source
from exchange.connect.testing import DeletionConformance, Origin
from exchange.contract.load import load as load_contract
from exchange.document.problem import Problem
from tests.broker.test_connect_source import published as records
from tests.rigs import keyed
from tests.rigs.clients import environment
from tests.rigs.debezium import Topic
from tests.rigs.deliveries import drain as run_dry
from tests.rigs.income_table import KEY, command, history, settled
from tests.rigs.plain import wait_until
from tests.rigs.project import Project

KILLS = 20
FIELDS: list[dict[str, Any]] = [
    {"field": "serial", "type": "int64"},
    {"field": "resident_id", "type": "string"},
    {"field": "employer", "type": "string", "optional": True},
    {"field": "year", "type": "int32"},
    {"field": "amount", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}},
    {"field": "paid_on", "type": "int32", "name": "io.debezium.time.Date"},
    {"field": "recorded_at", "type": "int64", "name": "io.debezium.time.MicroTimestamp"},
]


def login(cluster: Cluster, folder: Any) -> dict[str, str]:
    """`bootstrap_servers` and `login_file` of a Kafka, as connector.yaml has them."""
    found = environment(cluster, folder)
    file = {"login_file": found["EXCHANGE_CREDENTIALS"]} if "EXCHANGE_CREDENTIALS" in found else {}
    return {"bootstrap_servers": cluster.bootstrap_servers, **file}


@pytest.fixture
def project(project: Project) -> Project:
    project.apply(key=KEY)
    return project


def drain(project: Project) -> None:
    run_dry(project, project.owner)


def published(project: Project) -> int:
    """How many records were published."""
    return sum(map(len, history(project).values()))


class Cars(Origin):
    """A topic of two partitions."""

    def __init__(self, cluster: Cluster, topic: str, folder: Any) -> None:
        self.topic = Topic(cluster, topic, partitions=2)
        self._folder = folder
        its = {**login(cluster, folder), "topic": topic}
        self.config = SourceConfig.model_validate(
            {"subject": "police.car", "debezium": its, "page_rows": 10, "brake": 1.0}
        )

    def source(self) -> Source:
        columns = {name: name for name in keyed.CAR.fields}
        paths = Paths(self._folder, self._folder)
        return keyed.Readable(assembled(self.config, paths, keyed.CAR, columns, ["vin"], keyed.encoder()))

    def add(self, serials: Iterable[int]) -> None:
        for serial in serials:
            row = {"vin": f"v{serial}", "year": 2020, "state": "on"}
            self.topic.change("c", after=row, key={"vin": row["vin"], "year": 2020})
        self.topic.flush()

    def delete(self, serials: Iterable[int]) -> None:
        for serial in serials:
            key = {"vin": f"v{serial}", "year": 2020}
            self.topic.change("d", before={**key, "state": None}, key=key)
        self.topic.flush()

    def serial(self, row: Row) -> int:
        return int(row["vin"][1:])


class TestTopic(DeletionConformance):
    @pytest.fixture
    def origin(self, own_cluster: Cluster, unique: str, tmp_path: Any) -> Origin:
        return Cars(own_cluster, f"{unique}.cars", tmp_path)


class Office:
    """A department whose Debezium writes the subject's table to its own Kafka."""

    def __init__(self, project: Project, topic: str, **config: Any) -> None:
        self.project = project
        self.topic = Topic(project.cluster, topic, schemas=FIELDS)
        self.there: dict[int, dict[str, Any]] = {}
        self.next = 0
        self.configure(**config)

    def configure(self, debezium: dict[str, Any] | None = None, **config: Any) -> None:
        its = {**login(self.project.cluster, self.project.folder), "topic": self.topic.name, **(debezium or {})}
        source = {"subject": self.project.subject, "debezium": its, "page_rows": 40, "poll_s": 0.05, **config}
        self.project.connector(self.project.owner, sources=[source])

    def insert(self, count: int, op: str = "c", **columns: Any) -> None:
        for serial in range(self.next, self.next + count):
            row = {
                "serial": serial,
                "resident_id": f"r{serial % 50}",
                "employer": None,
                "year": 2024,
                "amount": base64.b64encode((1250).to_bytes(2, "big")).decode(),
                "paid_on": 20_147,
                "recorded_at": 1_740_787_200_001_000,
                **columns,
            }
            self.there[serial] = row
            self.topic.change(op, after=row, key={"serial": serial})
        self.next += count
        self.topic.flush()

    def update(self, serial: int, **columns: Any) -> None:
        before = self.there[serial]
        self.there[serial] = {**before, **columns}
        self.topic.change("u", before=before, after=self.there[serial], key={"serial": serial})
        self.topic.flush()

    def delete(self, *serials: int) -> None:
        for serial in serials:
            self.topic.change("d", before=self.there.pop(serial), key={"serial": serial})
        self.topic.flush()

    def truncate(self) -> None:
        self.there.clear()
        self.topic.change("t")
        self.topic.flush()

    def keys(self) -> set[tuple[str, int]]:
        return {(row["resident_id"], serial) for serial, row in self.there.items()}


@pytest.fixture
def office(project: Project, unique: str) -> Office:
    return Office(project, f"{unique}.oracle.income")


def rejected(project: Project) -> list[tuple[str, str]]:
    path = project.home / "rejects" / f"{project.subject}.jsonl"
    lines = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return list(dict.fromkeys((line["place"], line["reason"]) for line in lines))  # a failed transaction repeats them


def test_rows_keep_their_values_and_bad_messages_are_rejected_by_place(project: Project, office: Office) -> None:
    office.insert(3, "r")
    office.topic.write(b"x", b"secret")
    office.topic.write(None, json.dumps({"status": "BEGIN", "id": "1"}).encode())
    office.insert(1, employer="__debezium_unavailable_value")
    drain(project)
    drain(project)
    found = [record for _, _, record in records(project) if record]
    assert sorted(record["serial"] for record in found) == [0, 1, 2]
    assert {str(record["amount"]) for record in found} == {"12.50"}
    assert {record["paid_on"] for record in found} == {date(2025, 2, 28)}
    # A moment without a zone is in the source's, Asia/Shanghai.
    assert {record["recorded_at"] for record in found} == {datetime(2025, 2, 28, 16, 0, 0, 1000, tzinfo=UTC)}
    place = f"{office.topic.name}/0 offset"
    assert rejected(project)[0] == (f"{place} 3", "not JSON")
    assert rejected(project)[1][0] == f"{place} 5"
    assert "employer: not in the database's log" in rejected(project)[1][1]
    assert len(rejected(project)) == 2


def test_updates_and_deletions_come_once(project: Project, office: Office) -> None:
    office.insert(100)
    drain(project)
    office.delete(*range(10, 20))
    office.update(3, resident_id="new")
    office.update(4, year=2025)
    for _ in range(2):
        drain(project)
    assert settled(project) == office.keys()
    found = history(project)
    assert found["r3", 3] == ["row", "gone"]
    assert found["r4", 4] == ["row", "row"]
    assert published(project) == 100 + 10 + 2 + 1


def test_truncate_asks_and_then_deletes_all_once(
    project: Project, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    office.insert(100)
    drain(project)
    office.truncate()
    office.insert(5)
    for _ in range(2):
        with pytest.raises(ManyDeletionsError, match="100 of 100 published rows"):
            drain(project)
    assert len(settled(project)) == 100, "nothing is deleted, and nothing after it published, until a person says so"
    accept = ["connector", "accept-deletions", project.owner, project.subject, "--yes", "--reason", "a new register"]
    assert CliRunner().invoke(exchange, accept).exit_code == 0
    for _ in range(2):
        drain(project)
    assert settled(project) == office.keys()
    assert published(project) == 100 + 100 + 5


def test_truncate_in_several_partitions_stops(project: Project, unique: str) -> None:
    office = Office.__new__(Office)
    office.project, office.there, office.next = project, {}, 0
    office.topic = Topic(project.cluster, f"{unique}.two", partitions=2, schemas=FIELDS)
    office.configure()
    office.insert(10)
    office.truncate()
    with pytest.raises(DebeziumTopicError, match="2 partitions"):
        drain(project)


def test_a_column_that_vanishes_stops_the_source(project: Project, office: Office) -> None:
    office.insert(5)
    for row in FIELDS:
        assert row["field"] in next(iter(office.there.values()))
    for serial in range(5, 7):
        row = {name: value for name, value in office.there[0].items() if name != "employer"} | {"serial": serial}
        office.topic.change("c", after=row, key={"serial": serial})
    office.topic.flush()
    with pytest.raises(ColumnGoneError, match="employer"):
        drain(project)
    assert len(settled(project)) == 5
    office.configure(optional=["employer"])
    drain(project)
    assert len(settled(project)) == 7


def test_the_topic_stays_the_same_one(project: Project, office: Office) -> None:
    office.insert(30)
    drain(project)
    office.configure({"snapshot": 2})
    drain(project)
    assert published(project) == 60
    office.configure()
    with pytest.raises(DebeziumTopicError, match="`snapshot` was 2 before"):
        drain(project)
    other = Topic(project.cluster, f"{office.topic.name}.other")
    office.configure({"snapshot": 2, "topic": other.name})
    with pytest.raises(DebeziumTopicError, match="the topic was"):
        drain(project)


def problems(project: Project) -> list[Problem]:
    connector = load.load(project.folder / "connectors", project.owner)
    contract = load_contract(project.folder / "topics.yaml", date(2026, 1, 1))
    return check(connector, contract, Paths(connector.folder, project.home))


def test_check_reads_the_topic(project: Project, office: Office) -> None:
    office.insert(3)
    assert problems(project) == []
    office.topic.write(b"x", b"secret")
    office.topic.flush()
    [warning] = problems(project)
    assert warning.severity == "warning"
    assert warning.message == "1 of the first 4 rows would be rejected: not JSON"
    office.configure({"topic": "no.such"})
    [error] = problems(project)
    assert (error.path, error.severity) == ("sources[0].debezium", "error")
    assert "there is no topic no.such" in error.message


@pytest.mark.siege
def test_kills_neither_lose_nor_repeat(project: Project, office: Office) -> None:
    choose = random.Random(5)
    office.insert(300)
    changes = 300
    for _ in range(KILLS):
        process = command(project)
        target = project.published() + choose.randint(1, 200)
        for _ in range(10):
            office.insert(20)
            office.delete(*choose.sample(sorted(office.there), 5))
            office.update(choose.choice(sorted(office.there)), year=choose.randint(1, 9))
            changes += 26
        wait_until(lambda target=target: project.published() >= target, "some are published", 180)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    assert settled(project) == office.keys()
    assert published(project) == changes
