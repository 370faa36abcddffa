"""Rows that have to go and that the department's own constraints keep: they are known, and go as soon as they may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from exchange import metrics
from exchange.bus import Cluster
from exchange.connect.sink_table import SinkTable
from exchange.connect.stuck_rows import NONE, Stuck
from tests.broker.test_connect_follows import answer, given, held
from tests.rigs.deliveries import connect, is_made, rows, running, send
from tests.rigs.plain import wait_until
from tests.rigs.project import Project
from tests.rigs.sinks import KINDS, PLAIN, Reader, row, url_of

UNTIL = date(2030, 1, 1)
_ON_N = "CREATE TRIGGER keeps BEFORE DELETE ON t FOR EACH ROW"
KEEPS = {
    "sqlite": [f"{_ON_N} WHEN OLD.n = 1 BEGIN SELECT RAISE(ABORT, 'canary-7f3a'); END"],
    "mysql": [f"{_ON_N} IF OLD.n = 1 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'canary-7f3a'; END IF"],
    "postgresql": [
        "CREATE FUNCTION keeps() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN IF OLD.n = 1 THEN RAISE EXCEPTION 'canary-7f3a'; END IF; RETURN OLD; END$$",
        f"{_ON_N} EXECUTE FUNCTION keeps()",
    ],
}


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(url_of(request, tmp_path), tmp_path)
    yield made
    made.user.dispose()


def keep(reader: Reader) -> None:
    """Have the database refuse to delete the rows with n = 1."""
    reader.sql(*KEEPS[reader.user.dialect.name])


def let_go(reader: Reader) -> None:
    reader.sql("DROP TRIGGER keeps ON t" if reader.is_postgresql else "DROP TRIGGER keeps")


def stuck(table: SinkTable) -> Stuck:
    found = table.copy("topic").note()
    assert found is not None
    return found.stuck


def filled(reader: Reader, rows: int = 3, key: tuple[str, ...] = ("id",)) -> SinkTable:
    table = reader.table(key)
    table.fit(PLAIN)
    table.offsets("topic", [0])
    table.copy("topic").hold("g", UNTIL, ["id", "n", "note"], key, epoch=1, deletes=True)
    reader.write(table, *(row(number) for number in range(rows)))
    return table


def test_a_withdrawn_row_that_the_database_keeps_is_known_and_goes_when_it_may(reader: Reader) -> None:
    with closing(filled(reader)) as table:
        keep(reader)
        [(at, why)] = reader.write(table, b"id-0", b"id-1", row(3))
        assert (at, "trigger" in why) == (1, True)
        assert reader.rows() == [("id-1", 1), ("id-2", 2), ("id-3", 3)]
        known = stuck(table)
        assert (known.rows, (known.since_ms or 0) > 1_700_000_000_000, known.reason) == (1, True, why)
        assert "canary" not in str(reader.rows("topic, reason", "exchange_stuck"))
        assert table.copy("topic").free() == known
        let_go(reader)
        assert table.copy("topic").free() == NONE == stuck(table)
        assert reader.rows() == [("id-2", 2), ("id-3", 3)]


def test_a_row_that_came_again_stays(reader: Reader) -> None:
    with closing(filled(reader)) as table:
        keep(reader)
        reader.write(table, b"id-1", row(1, "again"))
        let_go(reader)
        assert table.copy("topic").free() == NONE
        assert ("id-1", "again") in reader.rows("id, note")


def test_a_row_from_the_same_place_of_a_topic_that_was_made_again_stays(reader: Reader) -> None:
    with closing(filled(reader)) as table:
        keep(reader)
        reader.write(table, b"id-1")
        let_go(reader)
        reader.sql("UPDATE t SET _time_ms = 9 WHERE id = 'id-1'")
        assert table.copy("topic").free() == NONE
        assert len(reader.rows()) == 3


def test_of_an_entity_without_a_key_only_the_row_stays_that_is_kept(reader: Reader) -> None:
    with closing(filled(reader, key=())) as table:
        reader.write(table, row(1, n=7), row(1, n=8))
        keep(reader)
        reader.write(table, b"id-1")
        assert stuck(table).rows == 3
        assert table.copy("topic").free().rows == 1
        assert reader.rows() == [("id-0", 0), ("id-1", 1), ("id-2", 2)]
        let_go(reader)
        assert table.copy("topic").free() == NONE
        assert reader.rows() == [("id-0", 0), ("id-2", 2)]


def test_a_row_that_is_kept_holds_up_no_other_at_the_end_of_a_grant(reader: Reader) -> None:
    with closing(filled(reader, 1_200)) as table:
        copy = table.copy("topic")
        copy.end("g", UNTIL, deletes=True, since=5.0)
        keep(reader)
        while copy.delete_some():
            pass
        assert reader.rows() == [("id-1", 1)]
        assert not copy.finish()
        assert copy.free().rows == 1
        let_go(reader)
        assert copy.free() == NONE
        assert copy.finish()
        assert reader.rows() == []


def test_a_trigger_that_skips_the_deletion_in_silence_is_noticed_at_the_end_of_a_grant(
    postgres_database: str, tmp_path: Path
) -> None:
    reader = Reader(postgres_database, tmp_path)
    with closing(filled(reader)) as table:
        reader.sql(*(each.replace("RAISE EXCEPTION 'canary-7f3a'", "RETURN NULL") for each in KEEPS["postgresql"]))
        while table.copy("topic").delete_some():
            pass
        assert (reader.rows(), stuck(table).rows) == ([("id-1", 1)], 1)
    reader.user.dispose()


def test_the_connector_and_the_auditors_say_what_is_stuck(
    own_cluster: Cluster, postgres_database: str, tmp_path: Path, unique: str
) -> None:
    project, reader = Project(tmp_path, own_cluster, f"{unique}a", f"{unique}b"), Reader(postgres_database, tmp_path)
    connect(project, postgres_database, grant={"after": "delete"})
    of = {"department": project.reader, "subject": project.subject}
    fields = ("resident_id", "employer", "year", "amount", "paid_on", "recorded_at", "serial")
    with running(project) as connector:
        send(project, given(1, *fields), given(2, *fields))
        wait_until(lambda: is_made(postgres_database), "the table")
        wait_until(lambda: [tuple(each) for each in rows(postgres_database, "serial")] == [(1,), (2,)], "the rows")
        reader.sql(
            "CREATE TABLE mine (resident_id TEXT, serial BIGINT, FOREIGN KEY (resident_id, serial) REFERENCES income)",
            "INSERT INTO mine SELECT resident_id, serial FROM income WHERE serial = 1",
        )
        project.apply(grant={"after": "delete", "until": "2020-12-31"})
        wait_until(lambda: held(project).stuck == 1, "it is reported")
        assert "1 row stuck" in answer(project)
        said = str(connector.health().facts[f"sink {project.subject}"])
        assert "rows that have to go and are stuck: 1 since" in said
        assert "a foreign key" in said
        assert metrics.REGISTRY.get_sample_value("exchange_sink_rows_stuck", of) == 1
        assert (held(project).rows, held(project).deletion) == (1, "due")
        reader.sql("DELETE FROM mine")
        wait_until(lambda: held(project).deletion == "done", "the deletion is done")
        assert (held(project).rows, held(project).stuck) == (0, 0)
    reader.user.dispose()
