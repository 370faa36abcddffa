"""Connectors that run while the contract changes: they take each new epoch at once, and nobody starts them again."""

from __future__ import annotations

import copy
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from exchange.audit.copy_list import CopyStatus, held_copies
from exchange.bus.topics import read_all
from exchange.cli.ledger import audit
from exchange.connect.runner import RunningConnector
from exchange.connect.terms_watch import NotInContractError
from exchange.epochs import epoch_in_force
from exchange.names import subject_topic
from exchange.schema import avro, wire
from tests.rigs.deliveries import Sent, connect, drain, income, rows, running, send
from tests.rigs.plain import wait_until
from tests.rigs.project import INCOME, Project

GIVEN = ["resident_id", "year", "serial"]
OVER = {"until": "2020-12-31"}
LATER = {"from": "2090-01-01"}

# What a connector has to do, it decides without its database: once each. It deletes and empties columns on both.
ON_SQLITE = pytest.mark.parametrize("reader_url", ["rows-sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("reader_url", ["columns-postgresql"], indirect=True)


@pytest.fixture
def url(reader_url: str) -> str:
    return reader_url


def given(serial: int, *fields: str, **changes: Any) -> Sent:
    key, record = income(serial, **changes)
    return Sent(key, {name: record[name] for name in fields or GIVEN})


def has(url: str, columns: str, *due: tuple[Any, ...]) -> bool:
    with closing(sa.create_engine(url).connect()) as connection:
        inspected = sa.inspect(connection)
        if not inspected.has_table("income"):
            return False
        there = {column["name"] for column in inspected.get_columns("income")}
    return set(columns.split(", ")) <= there and [tuple(row) for row in rows(url, columns)] == list(due)


def soon(condition: Callable[[], bool], what: str) -> None:
    """It comes true; how long that took is shown, for a test asserts no time."""
    began = time.monotonic()
    wait_until(condition, what)
    print(f"{what}: {time.monotonic() - began:.2f} s")


def held(project: Project) -> CopyStatus:
    [one] = held_copies(project.cluster, epoch_in_force(project.cluster), datetime.now(UTC), reader=project.reader)
    return one


def answer(project: Project, *options: str) -> str:
    """What `exchange audit copies` prints, with single spaces."""
    result = CliRunner().invoke(audit, ["copies", *options], env=project.environment(), catch_exceptions=False)
    assert result.exit_code == 0
    return " ".join(result.output.split())


def state(connector: RunningConnector) -> str:
    """What its only sink does, without how far it has come."""
    return str(connector.health().facts[f"sink {connector.workers[0].subject}"]).partition(" (")[0]


def test_a_sink_takes_a_wider_a_narrower_an_ended_and_a_new_grant(project: Project, url: str) -> None:
    connect(project, url, grant={"fields": GIVEN})
    send(project, given(1), given(2), view=True)
    with running(project) as connector:
        wait_until(lambda: has(url, "serial, year", (1, 2024), (2, 2024)), "the rows before")

        project.apply(grant={"fields": [*GIVEN, "employer"]})
        send(project, given(3, *GIVEN, "employer", employer="it"), view=True)
        soon(lambda: has(url, "serial, employer", (1, None), (2, None), (3, "it")), "the new field")

        narrow = {"fields": ["resident_id", "serial", "employer"], "after": "delete"}
        project.apply(grant=narrow)
        soon(lambda: has(url, "serial, year, employer", (1, None, None), (2, None, None), (3, None, "it")), "emptied")
        send(project, given(4, *narrow["fields"]), view=True)
        soon(lambda: has(url, "serial, year", (1, None), (2, None), (3, None), (4, None)), "the narrower view")

        project.apply(grant=narrow | OVER)
        soon(lambda: has(url, "serial"), "the deletion")
        soon(lambda: state(connector) == "waiting for a grant", "the sink to wait")
        soon(lambda: held(project).deletion == "done", "the report")
        assert held(project).rows == 0
        assert connector.health().ok

        project.apply(grant=narrow)
        send(project, given(5, *narrow["fields"]), view=True)
        soon(lambda: has(url, "serial, year", (5, None)), "what the new grant gives")
        assert connector.workers[0].error is None
    drain(project)  # reports at its end; a connector that runs does so once a minute
    assert held(project).deletion == ""
    assert held(project).rows == 1


@ON_POSTGRESQL
def test_what_was_delivered_before_a_grant_became_narrower_does_not_fill_the_columns_again(
    project: Project, url: str
) -> None:
    connect(project, url, grant={"fields": GIVEN})
    drain(project)
    send(project, given(1), view=True)
    project.apply(grant={"fields": ["resident_id", "serial"]})
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, year")] == [(1, None)]


@ON_SQLITE
def test_rows_of_an_ended_grant_are_kept_if_it_says_so(project: Project, url: str) -> None:
    connect(project, url, grant={"fields": GIVEN, "after": "keep"})
    send(project, given(1), view=True)
    drain(project)
    send(project, given(2), view=True)
    project.apply(grant={"fields": GIVEN, "after": "keep", **OVER})
    drain(project)
    assert [tuple(row) for row in rows(url, "serial")] == [(1,), (2,)]
    assert (held(project).deletion, held(project).rows, held(project).is_in_force) == ("", 2, False)


def test_a_connector_that_was_down_deletes_what_a_revoked_grant_left(project: Project, url: str) -> None:
    """And passes over what it had not taken in; what a new grant brings it takes in."""
    connect(project, url, grant={"fields": GIVEN, "after": "delete"})
    send(project, given(1), view=True)
    drain(project)
    send(project, given(2), view=True)
    revoke(project)
    assert held(project).deletion == "due"
    said = answer(project, "--reader", project.reader)
    assert f"{project.subject} g-income no" in said
    assert " due 20" in said  # since when is not known: the connector was down
    assert "1 copies; 1 deletions due; 0 rows stuck; 0 not reporting" in said
    drain(project)
    assert rows(url, "serial") == []
    [shown] = json.loads(answer(project, "--subject", project.subject, "--output", "json"))
    assert (shown["deletion"], shown["rows"], shown["is_silent"]) == ("done", 0, False)
    assert (held(project).deletion, held(project).rows) == ("done", 0)
    project.apply(grant={"fields": GIVEN, "after": "delete"})
    send(project, given(3), view=True)
    drain(project)
    assert [tuple(row) for row in rows(url, "serial")] == [(3,)]


@ON_POSTGRESQL
def test_a_connector_that_was_down_does_what_a_revoked_grant_said_at_last(project: Project, url: str) -> None:
    connect(project, url, grant={"fields": GIVEN, "after": "keep"})
    send(project, given(1), view=True)
    drain(project)
    project.apply(grant={"fields": GIVEN, "after": "delete"})
    revoke(project)
    assert held(project).deletion == "due"
    drain(project)
    assert rows(url, "serial") == []
    assert (held(project).deletion, held(project).rows) == ("done", 0)


@ON_SQLITE
@pytest.mark.parametrize(("first", "last", "left"), [("keep", "delete", []), ("delete", "keep", [(1,)])])
def test_a_connector_that_was_down_does_what_the_last_grant_said(
    project: Project, url: str, first: str, last: str, left: list[tuple[int]]
) -> None:
    """The grant by which it holds the rows was followed by another one, which was revoked."""
    connect(project, url, grant={"fields": GIVEN, "after": first})
    send(project, given(1), view=True)
    drain(project)
    project.apply(grant={"id": "g-next", "fields": GIVEN, "after": last})
    revoke(project)
    assert held(project).deletion == ("" if left else "due")
    drain(project)
    assert [tuple(row) for row in rows(url, "serial")] == left
    assert (held(project).grant, held(project).deletion) == ("g-next", "" if left else "done")


@ON_POSTGRESQL
def test_a_deletion_that_has_begun_is_finished_before_a_new_grants_rows_come(project: Project, url: str) -> None:
    connect(project, url, grant={"fields": GIVEN, "after": "delete"})
    send(project, given(1), given(2), view=True)
    drain(project)
    with closing(sa.create_engine(url).connect()) as reader, reader.begin():  # as a connector leaves it that is killed
        reader.exec_driver_sql("UPDATE exchange_copies SET due_ms = 1000")
    send(project, given(2, year=2025), view=True)
    drain(project)
    assert [tuple(row) for row in rows(url, "serial, year")] == [(2, 2025)]
    assert (held(project).deletion, held(project).rows) == ("", 1)


@ON_SQLITE
def test_a_connector_that_was_down_between_two_grants_deletes_what_the_first_one_gave(
    project: Project, url: str
) -> None:
    grant = {"fields": GIVEN, "after": "keep"}
    connect(project, url, grant=grant)
    send(project, given(1), view=True)
    drain(project)
    project.apply(grant=grant | {"until": "2090-12-31"})  # which is no gap
    drain(project)
    assert rows(url, "serial") == [(1,)]
    project.apply(grant=grant | {"after": "delete"})  # what it says last
    revoke(project)
    project.apply(grant=grant)
    send(project, given(2), view=True)
    drain(project)
    assert rows(url, "serial") == [(2,)]
    assert (held(project).deletion, held(project).rows) == ("", 1)
    drain(project)
    assert rows(url, "serial") == [(2,)]


@ON_POSTGRESQL
def test_rows_that_came_after_a_gap_between_two_grants_stay(project: Project, url: str) -> None:
    """A gap of a moment is not seen by a connector that runs."""
    grant = {"fields": GIVEN, "after": "delete"}
    connect(project, url, grant=grant)
    send(project, given(1), view=True)
    drain(project)
    before = one(url, "SELECT epoch FROM exchange_copies")
    revoke(project)
    project.apply(grant=grant)
    drain(project)
    send(project, given(2), view=True)
    drain(project)
    with closing(sa.create_engine(url).connect()) as reader, reader.begin():
        reader.execute(sa.text("UPDATE exchange_copies SET epoch = :epoch"), {"epoch": before})
    drain(project)
    assert rows(url, "serial") == [(2,)]


def one(url: str, query: str) -> Any:
    with closing(sa.create_engine(url).connect()) as reader:
        return reader.exec_driver_sql(query).scalar_one()


def revoke(project: Project) -> None:
    """The contract without the grant."""
    write = project.write

    def without(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        path = project.folder / "topics.yaml"
        text = path.read_text()
        path.write_text(text[: text.index(', "grants"')] + "}")

    project.write = without  # type: ignore[method-assign]
    project.apply()
    project.write = write  # type: ignore[method-assign]


@ON_SQLITE
def test_a_sink_without_a_grant_waits_for_one_and_one_without_a_subject_does_not_start(
    project: Project, url: str
) -> None:
    connect(project, url, grant={"fields": GIVEN, **LATER})
    drain(project)  # it is idle
    with running(project) as connector:
        wait_until(lambda: state(connector) == "waiting for a grant", "the sink to wait")
        assert connector.health().ok
        project.apply(grant={"fields": GIVEN})
        send(project, given(1), view=True)
        soon(lambda: has(url, "serial", (1,)), "the new grant")
    project.connector(project.reader, database=url, sinks=[{"subject": f"{project.owner}.other"}])
    with pytest.raises(NotInContractError, match="there is no subject"):
        drain(project)


def test_a_source_publishes_a_new_field_as_soon_as_the_contract_has_it(project: Project) -> None:
    project.apply()
    path = project.folder / "source.db"
    names = [field["name"] for field in INCOME["fields"]]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"CREATE TABLE income ({', '.join(names)}, note, PRIMARY KEY (serial))")
        source = {"subject": project.subject, "table": "income", "cursor": {"time": "recorded_at", "id": "serial"}}
        project.connector(
            project.owner, database=f"sqlite:///{path}", sources=[source | {"poll_s": 600, "lookback_s": 0}]
        )

        def insert(serial: int) -> None:
            row = ["440106199001010014", None, 2024, "1.00", "2025-02-28", f"2025-03-01 00:00:0{serial}", serial, "new"]
            database.execute(f"INSERT INTO income VALUES ({', '.join('?' * len(row))})", row)

        insert(1)
        with running(project, project.owner) as connector:
            wait_until(lambda: len(published(project)) == 1, "the row before")
            insert(2)  # its next look would be in ten minutes
            wider = copy.deepcopy(INCOME)
            wider["fields"].append({"name": "note", "type": ["null", "string"], "default": None})
            project.apply(wider)
            soon(lambda: [record.get("note") for record in published(project)][-1] == "new", "the new field")
            assert connector.workers[0].error is None
    assert [record["serial"] for record in published(project)] == [1, 2]


def published(project: Project) -> list[dict[str, Any]]:
    schemas = epoch_in_force(project.cluster).schemas
    found = []
    for record in read_all(project.cluster, subject_topic(project.subject)):
        schema_id, body = wire.unpack(record.value or b"")
        found.append(avro.decode(avro.parse(schemas[schema_id]), body))
    return sorted(found, key=lambda record: record["serial"])
