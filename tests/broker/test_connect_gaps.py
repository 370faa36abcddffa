"""Deliveries that were deleted from an inbox before its connector took them in: a person says how to go on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange.bus.admin import Admin
from exchange.bus.topic import Topic
from exchange.cli.main import exchange as command
from exchange.connect import worker
from exchange.gap import GapError
from exchange.names import inbox_topic
from tests.broker.test_bus_gaps import delete_before
from tests.rigs.deliveries import connect, deliver, drain, income, running
from tests.rigs.plain import wait_until
from tests.rigs.project import Project

Exchange = Callable[..., Result]


@pytest.fixture
def project(project: Project, tmp_path: Path) -> Project:
    connect(project, f"sqlite:///{tmp_path}/reader.db", partitions=1)
    return project


@pytest.fixture
def exchange(project: Project) -> Exchange:
    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(command, ["connector", *arguments], env=project.environment())
        assert result.exit_code == status, result.output
        return result

    return run


def serials(project: Project) -> list[int]:
    with sqlite3.connect(project.folder / "reader.db") as database:
        return [serial for (serial,) in database.execute("SELECT serial FROM income ORDER BY serial")]


def give(project: Project, *numbers: int) -> None:
    deliver(project, {0: [income(number) for number in numbers]})


def test_a_stopped_sink_says_what_it_missed(project: Project, exchange: Exchange) -> None:
    topic = inbox_topic(project.reader, project.subject)
    give(project, 1, 2)
    drain(project)
    give(project, 3, 4, 5)  # offsets 3 to 5: a marker stands behind each transaction
    delete_before(project.cluster, topic, 5)
    with pytest.raises(GapError, match=f"{topic}/0: offsets 3 to 4 were deleted before they were read") as caught:
        drain(project)
    assert f"exchange connector accept-gap {project.reader} {project.subject}" in caught.value.remedy
    assert serials(project) == [1, 2]
    [gap] = json.loads(exchange("gaps", project.reader, project.subject, "--output", "json", status=2).output)
    assert (gap["first"], gap["next"], gap["cause"]) == (3, 5, "expired")

    exchange("accept-gap", project.reader, project.subject, "--yes", status=1)  # without a reason
    exchange("accept-gap", project.reader, project.subject, "--reason", "holidays", status=1)  # nobody to ask
    exchange("accept-gap", project.reader, "no.subject", "--reason", "holidays", "--yes", status=1)
    exchange("accept-gap", project.reader, project.subject, "--reason", "holidays", "--yes")
    assert "0 gaps" in exchange("accept-gap", project.reader, project.subject, "--reason", "again", "--yes").output
    drain(project)
    assert serials(project) == [1, 2, 5]
    with sqlite3.connect(project.folder / "reader.db") as database:
        noted = database.execute("SELECT first_offset, next_offset, cause, reason FROM exchange_gaps").fetchall()
    assert noted == [(3, 5, "expired", "holidays")]


def test_a_running_sink_goes_on_when_its_gap_is_accepted(
    project: Project, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LAST_BACKOFF_S", 0.5)
    topic = inbox_topic(project.reader, project.subject)
    give(project, 1, 2, 3)
    delete_before(project.cluster, topic, 2)
    with running(project) as connector:
        wait_until(lambda: not connector.health().ok, "the gap is found")
        assert "[gap]" in str(connector.health().facts)
        exchange("accept-gap", project.reader, project.subject, "--reason", "holidays", "--yes")
        wait_until(lambda: connector.health().ok and serials(project) == [3], "the sink goes on")


@pytest.mark.parametrize("records", [1, 5])
def test_an_inbox_that_was_made_anew_is_not_taken_for_the_old_one(
    project: Project, exchange: Exchange, records: int
) -> None:
    topic = inbox_topic(project.reader, project.subject)
    give(project, 1, 2)
    drain(project)
    with Admin(project.cluster) as admin:
        admin.delete([topic])
        admin.create({topic: Topic(1, 1)})
    give(project, *range(10, 10 + records))
    with pytest.raises(GapError, match="deleted and made again"):
        drain(project)
    exchange("accept-gap", project.reader, project.subject, "--reason", "made anew", "--yes")
    drain(project)
    assert serials(project) == [1, 2, *range(10, 10 + records)]


def test_a_quiet_inbox_whose_records_expired_is_no_gap(project: Project, exchange: Exchange) -> None:
    """The marker behind the last record is read, too."""
    give(project, 1, 2)
    drain(project)
    delete_before(project.cluster, inbox_topic(project.reader, project.subject), 3)
    drain(project)
    assert "0 gaps" in exchange("gaps", project.reader, project.subject).output
