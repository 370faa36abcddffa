"""Deletions on a real Kafka, from SQLite, PostgreSQL, MariaDB and files: each once, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from exchange.cli.main import exchange
from exchange.connect import worker
from exchange.connect.answer import NoQuestionError
from exchange.connect.roll_call import ManyDeletionsError
from tests.rigs.deliveries import drain, running
from tests.rigs.income_table import KEY, IncomeTable, command, history, kill, settled
from tests.rigs.plain import wait_until
from tests.rigs.project import Project
from tests.rigs.sinks import KINDS, url_of

KILLS = 25


@pytest.fixture
def project(project: Project) -> Project:
    project.apply(key=KEY)
    return project


@pytest.fixture(params=KINDS)
def register(project: Project, request: pytest.FixtureRequest) -> Iterator[IncomeTable]:
    made = IncomeTable(project, url_of(request, project.folder))
    yield made
    made.engine.dispose()


def test_a_sweep_publishes_what_is_gone_once(project: Project, register: IncomeTable) -> None:
    register.insert(200)
    drain(project, project.owner)
    register.delete(3, 5, 150)
    register.sell(7)
    for _ in range(2):
        drain(project, project.owner)
    found = history(project)
    assert {key for key, events in found.items() if events == ["row", "gone"]} == {
        ("r3", 3), ("r5", 5), ("r0", 150), ("r7", 7),
    }  # fmt: skip
    assert settled(project) == register.keys()


def test_a_column_says_what_is_deleted(project: Project, register: IncomeTable) -> None:
    register.configure(sweep=None, deleted={"column": "state", "values": ["sold"]})
    path = project.folder / "connectors" / project.owner / "connector.yaml"
    path.write_text(path.read_text().replace('"sweep": null, "brake": 1.0, ', ""))
    register.insert(100)
    drain(project, project.owner)
    register.sql("UPDATE income SET state = 'sold', at = at + 100000000 WHERE serial < 10")
    for _ in range(2):
        drain(project, project.owner)
    assert len(register.keys()) == 90
    assert settled(project) == register.keys()


@pytest.mark.parametrize("register", ["mariadb"], indirect=True)
def test_a_great_loss_waits_for_a_person(
    project: Project, register: IncomeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    accept = ["connector", "accept-deletions", project.owner, project.subject, "--yes", "--reason", "a register moved"]
    register.configure(brake=0.05)
    register.insert(200)
    drain(project, project.owner)
    assert isinstance(CliRunner().invoke(exchange, accept).exception, NoQuestionError)
    register.delete(*range(30))
    register.insert(1)
    for _ in range(2):
        with pytest.raises(ManyDeletionsError, match=r"30 of 20[01] published rows"):
            drain(project, project.owner)
    before = settled(project)
    assert len(before) >= 200
    made = CliRunner().invoke(exchange, accept)
    assert made.exit_code == 0, made.output
    assert "30 deletions" in made.output
    drain(project, project.owner)
    assert settled(project) == register.keys()
    assert isinstance(CliRunner().invoke(exchange, accept).exception, NoQuestionError)


@pytest.mark.parametrize("register", ["postgresql"], indirect=True)
def test_a_running_source_stands_still_visibly_and_goes_on_when_its_question_is_answered(
    project: Project, register: IncomeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(worker, "LAST_BACKOFF_S", 0.5)
    register.configure(brake=0.05)
    register.insert(100)
    drain(project, project.owner)
    accept = ["connector", "accept-deletions", project.owner, project.subject, "--yes", "--reason", "a register moved"]
    with running(project, project.owner) as connector:
        register.delete(*range(25))
        wait_until(lambda: "[many-deletions]" in str(connector.health().facts), "the source asks")
        assert not connector.health().ok
        assert CliRunner().invoke(exchange, accept).exit_code == 0
        wait_until(lambda: settled(project) == register.keys(), "the source goes on")
        wait_until(lambda: connector.health().ok, "the source is healthy")


@pytest.mark.siege
@pytest.mark.parametrize("register", KINDS, indirect=True)
def test_kills_neither_lose_nor_repeat_deletions(project: Project, register: IncomeTable) -> None:
    register.insert(300)
    register.change_through_kills(KILLS, random.Random(11))
    drain(project, project.owner)
    found = history(project)
    assert sum(events.count("gone") for events in found.values()) > 20, "the test tests something"
    assert settled(project) == register.keys()


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
    for target in (90, published // 2):
        process = command(project)
        wait_until(lambda target=target: project.published() >= target, "so much is published")
        kill(process)
    drain(project, project.owner)
    found = history(project)
    assert sum(events.count("row") for events in found.values()) == published
    assert settled(project) == {(f"r{serial % 50}", serial) for serial in there}
