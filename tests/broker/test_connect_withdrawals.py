"""Withdrawals in an inbox written by hand: the sink removes what they name, in order, through kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from exchange import metrics
from exchange.connect import sink
from exchange.connect.row_change import RecordOrigin
from exchange.connect.sink_layout import TableMismatchError
from exchange.names import inbox_topic
from tests.rigs.deliveries import Sent, connect, count_steps, drain, income, is_made, row_name, rows, running, send
from tests.rigs.plain import wait_until
from tests.rigs.project import Project
from tests.rigs.sinks import Reader, schema

KILLS = 20
WAYS = ["rows-sqlite", "columns-postgresql"]
HIDDEN = {"masks": {"resident_id": {"kind": "pseudonym"}}}


@pytest.fixture
def url(reader_url: str) -> str:
    return reader_url


def given(serial: int, handle: bytes | None = None, **changes: Any) -> Sent:
    return Sent(*income(serial, **changes), handle)


def gone(project: Project, serial: int) -> Sent:
    """The row has left the reader's view, or was deleted: it is not said which."""
    return Sent(income(serial)[0], None, row_name(project, serial))


def entity_gone(serial: int) -> Sent:
    return Sent(income(serial)[0], None)


def there(url: str) -> list[int]:
    return [row[0] for row in rows(url, "serial")]


def has(url: str, serials: list[int]) -> bool:
    """Whether the table is there, with these rows."""
    with closing(sa.create_engine(url).connect()) as connection:
        is_there = sa.inspect(connection).has_table("income")
    return is_there and there(url) == serials


def aside(project: Project) -> list[tuple[int, str]]:
    """(offset, reason) of each line of the sink's reject file."""
    path = project.home / "rejects" / f"{inbox_topic(project.reader, project.subject)}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(line["place"].rsplit(" ", 1)[1]), line["reason"]) for line in lines]


def counted(project: Project) -> dict[str, float | None]:
    labels = {"department": project.reader, "subject": project.subject}
    name = "exchange_connector_rows_total"
    return {
        outcome: metrics.REGISTRY.get_sample_value(name, labels | {"outcome": outcome})
        for outcome in ("applied", "withdrawn", "rejected")
    }


def test_a_row_is_removed_by_its_name_and_an_entity_with_all_of_its_rows(project: Project, url: str) -> None:
    connect(project, url)
    send(project, given(1), given(51), given(101), given(2), given(52))  # 1, 51 and 101 are of one resident
    drain(project)
    send(project, gone(project, 51), gone(project, 2), gone(project, 3))  # it never had 3
    drain(project)
    assert there(url) == [1, 52, 101]
    send(project, entity_gone(1), given(151))
    drain(project)
    assert there(url) == [52, 151]
    assert counted(project) == {"applied": 6, "withdrawn": 4, "rejected": 0}
    assert aside(project) == []


def test_rows_come_and_go_in_order_within_one_transaction_and_over_several(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(project, url)
    first, again, last = given(1), given(1, employer="again"), given(2)
    flow = [first, last, gone(project, 1), again, gone(project, 2), entity_gone(1), again, given(51), entity_gone(2)]
    send(project, *flow)
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, employer")] == [(1, "again"), (51, None)]
    send(project, entity_gone(1))
    drain(project)
    for one in flow:
        send(project, one)
    steps = count_steps(monkeypatch)
    monkeypatch.setattr(sink, "AT_ONCE", 1)
    drain(project)
    assert steps.count(1) == len(flow)
    assert [tuple(row) for row in rows(url, "serial, employer")] == [(1, "again"), (51, None)]


def test_where_the_grant_hides_the_key_rows_go_by_their_handles(project: Project, url: str) -> None:
    connect(project, url, grant=HIDDEN)
    one, other, third = (bytes([i]) * 16 for i in (1, 2, 3))
    masked = [{**income(serial)[1], "resident_id": "of all"} for serial in (1, 2, 3)]
    send(project, Sent(None, masked[0], one), Sent(None, masked[0], other), Sent(None, masked[2], third), view=True)
    send(project, Sent(None, masked[1], one), Sent(None, None, third), Sent(None, None, b"\x09" * 16), view=True)
    drain(project)
    # The same values twice are two rows: only the handle tells them apart.
    assert [tuple(row) for row in rows(url, "serial, _row")] == [(1, "02" * 16), (2, "01" * 16)]
    assert aside(project) == []
    send(project, Sent(None, None, one), Sent(None, masked[2], one), Sent(None, None, other), view=True)
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, _row")] == [(3, "01" * 16)]
    [key] = [sa.inspect(sa.create_engine(url)).get_pk_constraint("income")["constrained_columns"]]
    assert key == ["_row"]


def test_a_record_without_its_handle_is_set_aside_and_the_others_go_on(project: Project, url: str) -> None:
    connect(project, url, grant=HIDDEN)
    name = row_name(project, 1)
    bad = [None, b"", b"\x01" * 15, b"\x01" * 17, name]
    sent = [Sent(None, income(1)[1], row) for row in bad] + [Sent(None, None, row) for row in bad]
    send(project, Sent(None, income(1)[1], b"\x01" * 16), *sent, Sent(None, income(2)[1], b"\x02" * 16), view=True)
    drain(project)
    assert there(url) == [1, 2]
    assert [at for at, _ in aside(project)] == list(range(1, 11))
    assert {reason for _, reason in aside(project)} == {
        "no row's handle of 16 bytes, which the grant gives in place of the key"
    }


def test_a_withdrawal_that_names_no_row_removes_nothing(project: Project, url: str) -> None:
    connect(project, url)
    person, name = income(1)[0], row_name(project, 1)
    bad = [b"", b"\x01" * 16, name[:-1], name + b"\x01", b"\0\0\0\xff\xff" + name[5:], b"\1" + name[1:]]
    send(project, given(1), *(Sent(person, None, row) for row in bad), given(2))
    drain(project)
    assert there(url) == [1, 2]
    assert [at for at, _ in aside(project)] == [1, 2, 3, 4, 5, 6]
    assert person.decode() not in str(aside(project))


def test_a_publishers_own_header_of_that_name_changes_nothing(project: Project, url: str) -> None:
    """Records that are given whole carry the publisher's headers, too."""
    connect(project, url)
    send(project, given(1, b"\x01" * 16), given(2, b"\x01" * 16), given(3, b"canary"))
    drain(project)
    assert there(url) == [1, 2, 3]


def test_a_sink_that_runs_while_the_key_is_hidden_puts_no_row_over_another(project: Project, url: str) -> None:
    connect(project, url)
    send(project, given(1), given(2))
    with running(project) as connector:
        wait_until(lambda: has(url, [1, 2]), "the rows before")
        connect(project, url, grant=HIDDEN)
        send(project, Sent(None, income(1, employer="other")[1], b"\x01" * 16), view=True)
        wait_until(lambda: isinstance(connector.workers[0].error, TableMismatchError), "the sink to stop")
        assert "income has no column _row" in str(connector.workers[0].error)
    assert [tuple(row) for row in rows(url, "serial, employer")] == [(1, None), (2, None)]


def test_a_sink_that_runs_while_the_subject_gets_its_key_takes_no_row_for_an_entity(project: Project, url: str) -> None:
    connect(project, url, key=())
    send(project, given(1), given(51), given(51))
    with running(project) as connector:
        wait_until(lambda: has(url, [1, 51, 51]), "the rows before")
        connect(project, url)
        send(project, gone(project, 51))
        wait_until(lambda: isinstance(connector.workers[0].error, TableMismatchError), "the sink to stop")
        assert "the subject's `key: [resident_id, serial]` needs" in str(connector.workers[0].error)
    assert there(url) == [1, 51, 51]


def test_a_table_that_a_person_made_with_another_key_is_refused(project: Project, url: str) -> None:
    connect(project, url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        columns = "resident_id TEXT, serial BIGINT PRIMARY KEY, _partition BIGINT, _offset BIGINT"
        connection.exec_driver_sql(f"CREATE TABLE income ({columns})")
    engine.dispose()
    send(project, given(1))
    with pytest.raises(TableMismatchError) as refused:
        drain(project)
    assert refused.value.message == (
        "income: its primary key is (serial), "
        "and the subject's `key: [resident_id, serial]` needs (resident_id, serial)"
    )
    assert "name another `table` for the sink" in refused.value.remedy
    assert there(url) == []


TYPES: dict[str, tuple[Any, list[Any]]] = {
    "text": ("string", ["", "it's", "深圳", "1.0", "1"]),
    "uuid": ({"type": "string", "logicalType": "uuid"}, [UUID(int=i) for i in range(3)]),
    "bool": ("boolean", [True, False]),
    "int": ("int", [-1, 0, 1]),
    "long": ("long", [-(1 << 63), 0, (1 << 63) - 1]),
    "date": ({"type": "int", "logicalType": "date"}, [date(1, 1, 1), date(2025, 2, 28), date(9999, 12, 31)]),
    "time": (
        {"type": "long", "logicalType": "time-micros"},
        [time_of_day(0), time_of_day(23, 59, 59, 999_999), time_of_day(0, 0, 0, 1)],
    ),
    "instant": (
        {"type": "long", "logicalType": "timestamp-micros"},
        [datetime(1999, 1, 2, 3, 4, 5, i, UTC) for i in range(3)],
    ),
    "local": (
        {"type": "long", "logicalType": "local-timestamp-millis"},
        [datetime(1999, 1, 2, 3, 4, 5, 1000 * i) for i in range(3)],
    ),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_row_is_found_by_a_key_of_any_type(url: str, tmp_path: Path, kind: str) -> None:
    written, values = TYPES[kind]
    full, name = schema(note="string", v=written, id="string"), schema(id="string", v=written)
    database = Reader(url, tmp_path)
    with closing(database.table(["id", "v"])) as table:
        table.fit(full)
        for at, value in enumerate(values):
            first = table.offsets("t", [0])[0]
            changes = [table.upsert(full, {"id": "a", "v": v, "note": ""}, RecordOrigin(0, 0, 0)) for v in values]
            changes.append(table.withdraw(name, {"id": "a", "v": value}, RecordOrigin(0, 0, 0)))
            assert table.apply("t", changes, {0: (first, first + 1)}, lambda _: None) == ()
            assert len(database.rows("id, v")) == len(values) - 1, f"value {at}"
            changes = [table.withdraw(name, {"id": "a", "v": v}, RecordOrigin(0, 0, 0)) for v in values]
            assert table.apply("t", changes, {0: (first + 1, first + 2)}, lambda _: None) == ()
            assert database.rows("id, v") == []
    database.user.dispose()


def test_a_value_that_must_be_unique_goes_from_one_row_to_another(url: str, tmp_path: Path) -> None:
    """The sink writes rows that come before others that go, if it can; here it cannot, and nothing is set aside."""
    full, name = schema(id="string", plate="string"), schema(id="string")
    database = Reader(url, tmp_path)
    with closing(database.table(["id"])) as table:
        table.fit(full)
        table.offsets("t", [0])
        database.sql("CREATE UNIQUE INDEX u ON t (plate)")
        changes = []
        flow = [("a", "A1"), ("b", "B2"), ("a", None), ("c", "A1"), ("c", None), ("b", "A1")]
        for at, (who, plate) in enumerate(flow):
            origin = RecordOrigin(0, at, 0)
            record = {"id": who, "plate": plate}
            change = table.upsert(full, record, origin) if plate else table.withdraw(name, {"id": who}, origin)
            changes.append(change)
        assert not table.apply("t", changes, {0: (0, 6)}, lambda _: None)
    assert database.rows("id, plate") == [("b", "A1")]
    database.user.dispose()


def connector(project: Project) -> subprocess.Popen[bytes]:
    with (project.folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "exchange"), "connector", "run", project.reader],
            env={**os.environ, **project.environment()},
            stdout=log,
            stderr=log,
        )


def wait_until_written(url: str) -> None:
    """Return when the connector writes the next changes, or has written them."""
    before = rows(url, "serial, _offset")
    at_once = {"timeout": 0} if url.startswith("sqlite") else {}
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", connect_args=at_once)
    with engine.connect() as database:
        wait_until(
            lambda: is_writing(database) or rows(url, "serial, _offset") != before, "the sink writes", pause_s=0.002
        )
    engine.dispose()


def is_writing(database: sa.Connection) -> bool:
    """Whether the connector has a transaction open that changes the table."""
    if database.dialect.name == "sqlite":
        try:
            database.exec_driver_sql("BEGIN IMMEDIATE")
        except sa.exc.OperationalError:
            return True
        database.exec_driver_sql("ROLLBACK")
        return False
    locked = "SELECT 1 FROM pg_locks WHERE relation = 'income'::regclass AND mode = 'RowExclusiveLock'"
    return database.exec_driver_sql(locked).first() is not None


@pytest.mark.siege
@pytest.mark.parametrize("reader_url", WAYS, indirect=True)
def test_kills_neither_bring_rows_back_nor_remove_others(project: Project, url: str) -> None:
    """Each kill comes while some thousand changes are written, at any moment of their transaction."""
    chance = random.Random(7)
    connect(project, url)
    drain(project)
    due: dict[int, str] = {}
    names = {serial: row_name(project, serial) for serial in range(200)}

    def change(label: str) -> Sent:
        serial = chance.randrange(200)
        match chance.choice(["given"] * 24 + ["gone"] * 24 + ["entity"]):
            case "given":
                due[serial] = label
                return given(serial, employer=label)
            case "gone":
                due.pop(serial, None)
                return Sent(income(serial)[0], None, names[serial])
        for other in [other for other in due if other % 50 == serial % 50]:
            del due[other]
        return entity_gone(serial)

    for kill in range(KILLS):
        process = connector(project)
        due[1_000] = f"kill {kill}"
        send(project, given(1_000, employer=due[1_000]))
        wait_until(lambda: is_made(url), "the table")
        wait_until(lambda: due[1_000] in [row[1] for row in rows(url, "serial, employer")], "the sink to work")
        send(project, *(change(f"{kill}.{i}") for i in range(3_000)))
        wait_until_written(url)
        time.sleep(chance.random() / 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    assert {row[0]: row[1] for row in rows(url, "serial, employer")} == due
    assert aside(project) == []
