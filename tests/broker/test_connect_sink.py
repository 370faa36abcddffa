"""Sinks against a real Kafka, SQLite and PostgreSQL: every record's effect once, offsets with the rows."""

from __future__ import annotations

import copy
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.bus.admin import Admin
from exchange.connect import sink
from exchange.connect.sink_layout import TableMismatchError
from exchange.names import inbox_topic
from tests.rigs.deliveries import arrive, connect, count_steps, deliver, drain, income, rows
from tests.rigs.plain import wait_until
from tests.rigs.project import INCOME, Project

KILLS = 20

# Into MariaDB every sink writes row by row. That rows and columns make the same on one database,
# test_connect_sink_columns shows; where no statement of the database's own is at stake, one of them is enough.
EACH = ["rows-sqlite", "columns-postgresql", "rows-mariadb"]
ON_EACH, ON_SQLITE, ON_POSTGRESQL, ON_SERVERS = (
    pytest.mark.parametrize("reader_url", ways, indirect=True) for ways in (EACH, EACH[:1], EACH[1:2], EACH[1:])
)


@pytest.fixture
def url(reader_url: str) -> str:
    return reader_url


@ON_EACH
def test_upserts_deletes_and_aborts(project: Project, url: str) -> None:
    connect(project, url)
    drain(project)
    assert rows(url) == []
    deliver(project, {0: [income(1), income(2), income(1, employer="后来的")], 3: [income(3)]})
    with pytest.raises(InterruptedError):
        deliver(project, {0: [income(4)]}, fails=True)
    drain(project)
    assert rows(url, "serial, employer, _partition, _offset") == [
        (1, "后来的", 0, 2),
        (2, None, 0, 1),
        (3, None, 3, 0),
    ]
    deliver(project, {0: [(income(2)[0], None), income(5)]})
    drain(project)
    assert [row[0] for row in rows(url, "serial")] == [1, 3, 5]


@ON_POSTGRESQL
def test_what_a_poll_returns_is_taken_in_by_parts_if_it_is_much(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(project, url)
    deliver(project, *({serial % 2: [income(serial)]} for serial in range(20)))
    sizes = count_steps(monkeypatch)
    monkeypatch.setattr(sink, "AT_ONCE", 6)
    drain(project)
    drain(project)
    assert (max(sizes), sum(sizes)) == (6, 20)
    assert [row[0] for row in rows(url, "serial")] == list(range(20))


@ON_SQLITE
def test_a_sink_reads_partitions_that_were_added_by_hand(project: Project, url: str) -> None:
    connect(project, url)
    deliver(project, {0: [income(1)]})
    drain(project)
    inbox = inbox_topic(project.reader, project.subject)
    with Admin(project.cluster) as admin:
        total = admin.topics()[inbox].partitions + 2
        admin.add_partitions(inbox, total)
    deliver(project, {0: [income(2)], total - 1: [income(3)]})
    drain(project)
    assert [row[0] for row in rows(url, "serial")] == [1, 2, 3]


@ON_EACH
def test_replayed_records_of_rows_count_in_their_order_as_live_ones_do(project: Project, url: str) -> None:
    connect(project, url)
    person = income(1)[0]
    arrive(project, (200, income(1, employer="live")), (200, income(2)), (300, (income(2)[0], None)))
    arrive(project, (100, income(1, employer="replayed")), (100, income(51)), (150, (person, None)),
           (100, income(1, employer="again")), (250, income(2)), replay="r-1")  # fmt: skip
    arrive(project, (50, income(3, employer="a clock that went back")))
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, employer, _time_ms, _replay")] == [
        (1, "again", 100, "r-1"), (2, None, 250, "r-1"), (3, "a clock that went back", 50, None)
    ]  # fmt: skip


@ON_EACH
def test_a_replay_of_records_without_key_does_not_bring_back_what_was_deleted(project: Project, url: str) -> None:
    connect(project, url, key=())
    person = income(1)[0]
    arrive(project, (100, income(1)), (100, income(2)), (300, (person, None)), (400, income(51, employer="new")))
    arrive(project, (100, income(3)), (300, (income(3)[0], None)))
    arrive(project, (200, income(1)), (300, (person, None)), (350, income(101)), replay="r-1")
    arrive(project, (200, income(3)), replay="r-2")  # without the deletion, which the reader has had
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, employer, _replay")] == [
        (2, None, None), (51, "new", None), (101, None, "r-1")
    ]  # fmt: skip
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert person.decode() not in str(connection.execute(sa.text("SELECT * FROM exchange_deletions")).all())
    engine.dispose()


@ON_EACH
def test_a_table_of_an_earlier_version_goes_on(project: Project, url: str) -> None:
    """Its columns were fewer, and its primary key was made in the order of the record's fields."""
    connect(project, url)
    arrive(project, (100, income(1, employer="held")), (100, income(2)))
    drain(project)
    sql(url, "ALTER TABLE income DROP COLUMN _time_ms", "ALTER TABLE income DROP COLUMN _replay")
    arrive(project, (200, income(1, employer="newer")), (300, (income(2)[0], None)))
    arrive(project, (300, income(3)), replay="no id \0 of a replay")
    drain(project)
    expected = [(1, "newer", 200, None), (3, None, 300, None)]
    assert [tuple(row) for row in rows(url, "serial, employer, _time_ms, _replay")] == expected


@ON_SERVERS
def test_without_a_key_a_replay_adds_rows_that_say_so(project: Project, url: str) -> None:
    connect(project, url, key=())
    arrive(project, (100, income(1)))
    arrive(project, (100, income(1)), replay="r-1")
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, _offset, _replay")] == [(1, 0, None), (1, 2, "r-1")]


@ON_EACH
def test_values_arrive_exactly(project: Project, url: str) -> None:
    connect(project, url)
    deliver(project, {1: [income(1)]})
    drain(project)
    [row] = rows(url, "amount, paid_on, recorded_at")
    if url.startswith("sqlite"):
        assert (str(row[0]), row[1], row[2]) == ("1234567890.1", "2025-02-28", "2025-03-01 00:00:03.120000")
    else:
        assert row[0] == Decimal("1234567890.10")
        assert row[1] == date(2025, 2, 28)
        at = row[2].replace(tzinfo=UTC) if url.startswith("mysql") else row[2]
        assert at == datetime(2025, 3, 1, 0, 0, 3, 120_000, tzinfo=UTC)


def reject_file(project: Project) -> Path:
    return project.home / "rejects" / f"{inbox_topic(project.reader, project.subject)}.jsonl"


def rejected(project: Project) -> list[tuple[str, str]]:
    """(place, reason) of each line of the sink's reject file."""
    path = reject_file(project)
    written = path.read_text().splitlines(keepends=True) if path.exists() else []
    lines = [json.loads(line) for line in written if line.endswith("\n")]  # the last may be being written
    return [(line["place"], line["reason"]) for line in lines]


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def sql(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    for statement in statements:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_what_the_database_refuses_is_listed_and_the_others_go_on(project: Project, url: str) -> None:
    connect(project, url)
    drain(project)
    sql(url, "CREATE UNIQUE INDEX mine ON income (employer)")
    bad = [income(2, employer="canary-7f3a"), income(3, employer="canary-7f3a"), income(1, employer="canary-7f3a")]
    deliver(project, {0: [income(1), *bad, income(1, employer="later")], 1: [income(4), (b"\xff", None)]})
    drain(project)
    topic = inbox_topic(project.reader, project.subject)
    found = rejected(project)
    assert [place for place, _ in sorted(found)] == [
        f"{topic}/0 offset 2",
        f"{topic}/0 offset 3",
        f"{topic}/1 offset 1",
    ]
    assert "canary" not in str(found)
    assert [tuple(row) for row in rows(url, "serial, employer")] == [
        (1, "later"), (2, "canary-7f3a"), (4, None)
    ]  # fmt: skip
    drain(project)
    assert rejected(project) == found


@pytest.mark.parametrize(
    "reader_url", [pytest.param("rows-sqlite", marks=pytest.mark.siege), "columns-postgresql"], indirect=True
)
def test_records_that_are_refused_are_listed_through_kills(project: Project, url: str) -> None:
    random.seed(12)
    connect(project, url, key=())
    drain(project)
    sql(url, "CREATE UNIQUE INDEX mine ON income (employer)")
    count = 300
    for start in range(0, 2 * count, count):
        names = ["taken" if serial % 5 == 0 else None for serial in range(start, start + count)]
        deliver(project, {0: [income(start + i, employer=name) for i, name in enumerate(names)]})
        listed = size(reject_file(project))
        process = connector(project)
        wait_until(lambda listed=listed: size(reject_file(project)) > listed, "some are listed", pause_s=0.001)  # type: ignore[misc]
        time.sleep(random.choice([0, 0.01]))  # the commit is near: sometimes before it, sometimes after
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    there = [row[0] for row in rows(url, "serial")]
    assert len(there) == len(set(there))
    aside = {int(place.rsplit(" ", 1)[1]) for place, _ in rejected(project)}
    offsets = {row[0] for row in rows(url, "_offset")}
    assert offsets.isdisjoint(aside)
    assert len(offsets | aside) == 2 * count
    assert there == [serial for serial in range(2 * count) if serial % 5 or serial == 0]


@ON_SQLITE
def test_records_of_another_schema_than_the_tables_stop_the_sink_or_are_rejected(project: Project, url: str) -> None:
    """A field's type changes: the old table says so, a new one takes the new records."""
    connect(project, url)
    drain(project)
    deliver(project, {0: [income(1)]})
    grant = {"masks": {"year": {"kind": "range", "bounds": [2000]}}}
    project.apply(grant=grant)
    with pytest.raises(TableMismatchError, match=r"income: column year is BIGINT, .* string .* has to be TEXT"):
        drain(project)
    assert rows(url, "serial, year") == []
    connect(project, url, table="incomes", grant=grant)
    deliver(project, {0: [income(2, year="2000-")]}, view=True)
    drain(project)
    [(place, reason)] = rejected(project)
    assert place.endswith("/0 offset 0")
    assert "of a schema that is not delivered any more" in reason
    assert [tuple(row) for row in rows(url, "serial, year", "incomes")] == [(2, "2000-")]


@ON_POSTGRESQL
def test_without_a_key_every_record_is_kept(project: Project, url: str) -> None:
    connect(project, url, key=())
    deliver(project, {2: [income(1), income(1)]})
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, _partition, _offset")] == [(1, 2, 0), (1, 2, 1)]


def test_a_new_field_becomes_a_column(project: Project, url: str) -> None:
    connect(project, url)
    deliver(project, {0: [income(1)]})
    drain(project)
    schema = copy.deepcopy(INCOME)
    schema["fields"].append({"name": "order by", "type": ["null", "string"], "default": None})
    schema["fields"][-1]["name"] = "select"
    project.apply(schema, grant={"fields": [field["name"] for field in schema["fields"]]})
    deliver(project, {0: [income(2, select="x")]}, view=True)
    drain(project)
    assert [tuple(row) for row in rows(url, 'serial, "select"')] == [(1, None), (2, "x")]


def connector(project: Project) -> subprocess.Popen[bytes]:
    with (project.folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "exchange"), "connector", "run", project.reader],
            env={**os.environ, **project.environment()},
            stdout=log,
            stderr=log,
        )


@pytest.mark.siege
@pytest.mark.parametrize("reader_url", EACH[:2], indirect=True)
def test_kills_neither_lose_nor_repeat(project: Project, url: str) -> None:
    random.seed(11)
    connect(project, url, key=())
    drain(project)
    expected: Counter[int] = Counter()
    serial = 0
    for _ in range(KILLS):
        for _ in range(3):
            batch = {p: [income(serial + 4 * i + p) for i in range(400)] for p in range(4)}
            deliver(project, batch)
            expected.update(range(serial, serial + 1600))
            serial += 1600
        before = len(rows(url, "serial"))
        process = connector(project)
        wait_until(lambda before=before: len(rows(url, "serial")) > before, "some are taken in", 180)  # type: ignore[misc]
        time.sleep(random.random() / 20)
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    assert Counter(row[0] for row in rows(url, "serial")) == expected


@ON_SQLITE
def test_a_table_that_was_dropped_is_made_anew_and_that_is_said(
    project: Project, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    connect(project, url)
    deliver(project, {0: [income(1)]})
    drain(project)
    assert "was not there" not in caplog.text
    sql(url, "DROP TABLE income")
    deliver(project, {0: [income(2)]})
    drain(project)
    assert rows(url, "serial") == [(2,)]
    assert "the sink's table was not there and is made" in caplog.text
