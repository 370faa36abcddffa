"""Sources against a real Kafka: every row once, whatever happens to the connector."""

from __future__ import annotations

import io
import itertools
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import fastavro
import pytest
import sqlalchemy as sa

from exchange.connect.columns import ColumnGoneError
from exchange.connect.config import SourceConfig
from exchange.connect.database import DatabaseConfigError
from exchange.connect.sql_source import SqlSource
from exchange.connect.testing import apply
from exchange.names import subject_topic
from tests.rigs import plain
from tests.rigs.clients import librdkafka
from tests.rigs.deliveries import drain
from tests.rigs.income_table import command, kill
from tests.rigs.project import INCOME, Project
from tests.rigs.remotes import Sftp, running
from tests.rigs.workbooks import write

KILLS = 20
START = datetime(2025, 3, 1, 8, 0)


@pytest.fixture
def project(project: Project) -> Project:
    project.apply()
    return project


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


def insert(
    database: sqlite3.Connection, serials: Iterable[int], *, amount: Any = 12.5, at: datetime | None = None
) -> None:
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


def published(project: Project) -> list[tuple[int, bytes | None, dict[str, Any] | None]]:
    """(partition, key, record) of all committed records, read by another client and Avro's reference reader."""
    schema = fastavro.parse_schema(INCOME)
    found: list[tuple[int, bytes | None, dict[str, Any] | None]] = []
    for read in plain.read(librdkafka(project.cluster), subject_topic(project.subject)):
        assert read.value is not None
        assert read.value[0] == 0
        record: Any = fastavro.schemaless_reader(io.BytesIO(read.value[5:]), schema)
        found.append((read.partition, read.key, record))
    return found


def serials(project: Project) -> Counter[int]:
    return Counter(record["serial"] for _, _, record in published(project) if record)


def test_every_row_is_published_once_with_its_key(project: Project, database: sqlite3.Connection) -> None:
    insert(database, range(250))
    drain(project, project.owner)
    drain(project, project.owner)
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
    drain(project, project.owner)
    database.execute("UPDATE income SET updated_at = ? WHERE serial = 150", [str(START + timedelta(seconds=300))])
    insert(database, range(50), at=START + timedelta(seconds=250))
    drain(project, project.owner)
    assert serials(project) == Counter([*range(100, 200), 150, *range(50)])


def test_rows_that_do_not_fit_go_to_the_reject_file_once(project: Project, database: sqlite3.Connection) -> None:
    insert(database, range(30))
    insert(database, range(30, 33), amount=0.1 + 0.2)
    insert(database, range(33, 34), amount="a lot")
    drain(project, project.owner)
    drain(project, project.owner)
    assert serials(project) == Counter(range(30))
    lines = (project.home / "rejects" / f"{project.subject}.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert "a lot" not in "".join(lines)
    assert "44010619900101" not in "".join(lines)


def test_several_sources_and_a_failing_one_side_by_side(project: Project, database: sqlite3.Connection) -> None:
    subjects = ("income", "other", "broken")
    project.apply(subjects=subjects)
    cursor = {"time": "updated_at", "id": "serial"}
    columns = {"resident_id": "id_no", "recorded_at": "updated_at"}
    tables = {"income": "income", "other": "income", "broken": "missing"}
    project.connector(
        project.owner,
        database=f"sqlite:///{project.folder}/source.db",
        sources=[
            {"subject": f"{project.owner}.{name}", "table": tables[name], "cursor": cursor, "columns": columns}
            for name in subjects
        ],
    )
    insert(database, range(100))
    with pytest.raises(DatabaseConfigError):
        drain(project, project.owner)
    assert serials(project) == Counter(range(100))
    project.subject = f"{project.owner}.other"
    assert serials(project) == Counter(range(100))


def test_a_table_on_postgresql(project: Project, postgres_database: str) -> None:
    engine = sa.create_engine(postgres_database)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA tax"))
        connection.execute(
            sa.text(
                'CREATE TABLE tax."Income" (serial uuid PRIMARY KEY, resident_id text, year smallint, '
                "amount numeric(14, 4), paid_on date, recorded_at timestamptz, no serial)"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO tax.\"Income\" SELECT gen_random_uuid(), i % 7, 2024, i + 0.5, date '2025-02-28', "
                "timestamptz '2025-03-01 08:00+08' + i / 3 * interval '1 ms', i FROM generate_series(1, 200) i"
            )
        )
    project.connector(
        project.owner,
        database=postgres_database,
        sources=[
            {
                "subject": project.subject,
                "table": "tax.Income",
                "cursor": {"time": "recorded_at", "id": "serial"},
                "page_rows": 30,
                "columns": {"serial": "no"},
            }
        ],
    )
    drain(project, project.owner)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE tax.\"Income\" SET recorded_at = recorded_at + interval '1 s' WHERE no = 5"))
    drain(project, project.owner)
    engine.dispose()
    assert serials(project) == Counter([*range(1, 201), 5])
    record = next(record for _, _, record in published(project) if record and record["serial"] == 30)
    assert record["amount"] == Decimal("30.50")
    assert record["recorded_at"] == datetime(2025, 3, 1, 0, 0, 0, 10_000, tzinfo=UTC)


def test_a_column_that_goes_stops_its_source_before_a_null_and_after_a_restart(
    project: Project, database: sqlite3.Connection
) -> None:
    insert(database, range(10))
    drain(project, project.owner)
    database.execute("ALTER TABLE income RENAME COLUMN employer TO company")
    insert(database, range(10, 20))
    for _ in range(2):
        with pytest.raises(ColumnGoneError, match="no longer has column employer"):
            drain(project, project.owner)
    assert serials(project) == Counter(range(10))
    path = project.folder / "connectors" / project.owner / "connector.yaml"
    path.write_text(path.read_text().replace('"columns": {', '"columns": {"employer": "company", '))
    drain(project, project.owner)
    assert serials(project) == Counter(range(20))
    employers = {record["serial"]: record["employer"] for _, _, record in published(project) if record}
    assert employers[3] == employers[12] == "穗城公司"


def test_a_column_that_goes_on_postgresql(postgres_database: str, tmp_path: Path) -> None:
    engine = sa.create_engine(postgres_database, isolation_level="AUTOCOMMIT")
    config = SourceConfig(subject="a.b", table='odd."t', cursor={"time": "at", "id": "id"})
    progress: dict[str, bytes] = {}
    with engine.connect() as connection:
        connection.exec_driver_sql('CREATE SCHEMA odd; CREATE TABLE odd."""t" (id serial, "Note" text, at timestamptz)')
        insert = 'INSERT INTO odd."""t" ("Note", at) VALUES (\'x\', now())'
        connection.exec_driver_sql(insert)
        made = partial(SqlSource, config, engine, ["Note", "id"], ["id"])
        source = made()
        source.open({})
        for page in source.pages():
            apply(progress, page.progress)
        connection.exec_driver_sql('ALTER TABLE odd."""t" RENAME COLUMN "Note" TO other')
        with pytest.raises(DatabaseConfigError):
            list(source.pages())
        with pytest.raises(ColumnGoneError, match="no longer has column Note"):
            made().open(dict(progress))
    engine.dispose()


def test_dropped_files_under_kills(project: Project) -> None:
    folder = project.folder / "drop"
    folder.mkdir()
    project.connector(
        project.owner,
        sources=[
            {"subject": project.subject, "csv": {"folder": str(folder), "settle_s": 0}, "page_rows": 25, "poll_s": 0.05}
        ],
    )
    header = "resident_id,employer,year,amount,paid_on,recorded_at,serial\n"
    done = 0
    for number in range(6):
        lines = [f"4401{s % 9:014d},,2024,{s}.5,2025-02-28,2025-03-01 08:00:00,{s}\n" for s in range(done, done + 200)]
        done += 200
        (folder / "x.part").write_text(header + "bad line\n" + "".join(lines))
        (folder / "x.part").rename(folder / f"{number}.csv")
    publish_through_kills(project, 2, random.Random(5))
    drain(project, project.owner)
    assert serials(project) == Counter(range(done))
    assert len(list((folder / "done").iterdir())) == 6
    assert not list((folder / "taken").iterdir())
    lines = (project.home / "rejects" / f"{project.subject}.jsonl").read_text().splitlines()
    assert len({line.split('"place"')[1] for line in lines}) == 6


def test_workbooks_on_a_server_under_kills(project: Project, tmp_path: Path) -> None:
    header = ["resident_id", "employer", "year", "amount", "paid_on", "recorded_at", "serial"]
    day, moment = date(2025, 2, 28), datetime(2025, 3, 1, 8)
    with running(Sftp, tmp_path) as server:
        source = {"subject": project.subject, "excel": server.config(), "page_rows": 25, "poll_s": 0.05}
        project.connector(project.owner, sources=[source])
        for number in range(5):
            serials_here = range(number * 100, number * 100 + 100)
            rows = [[f"4401{s % 9:014d}", None, 2024, s + 0.5, day, moment, s] for s in serials_here]
            wrong = [440106199001011234, None, 2024, 1, day, moment, 9999]
            write(server.there / ".part", [header, *rows, wrong]).rename(server.there / f"{number}.xlsx")
        publish_through_kills(project, 2, random.Random(5))
        drain(project, project.owner)
        assert len(server.names()) == 5
    assert serials(project) == Counter(range(500))
    lines = (project.home / "rejects" / f"{project.subject}.jsonl").read_text().splitlines()
    assert {line.split('"reason"')[1] for line in lines} == {': "resident_id: float where text is due"}'}
    assert len({line.split('"place"')[1] for line in lines}) == 5


@pytest.mark.siege
def test_kills_neither_lose_nor_repeat(project: Project, database: sqlite3.Connection) -> None:
    insert(database, range(500))
    numbers = itertools.count(500)
    publish_through_kills(
        project, KILLS, random.Random(7), lambda: insert(database, [next(numbers) for _ in range(60)])
    )
    drain(project, project.owner)
    assert serials(project) == Counter(range(next(numbers)))


def publish_through_kills(
    project: Project, kills: int, chance: random.Random, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Run connectors that are killed, each when some number of records was published."""
    for _ in range(kills):
        process, target = command(project), project.published() + chance.randint(1, 250)
        deadline = time.monotonic() + 180
        while project.published() < target and time.monotonic() < deadline:
            meanwhile()
            time.sleep(0.05)
        kill(process)
