"""The local broker as its users meet it: started, stopped, killed, and refused with a remedy."""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from exchange import credentials, names
from exchange.broker import LocalBroker
from exchange.broker.errors import (
    BrokerBusyError,
    BrokerDiedError,
    InsecureDataError,
    JavaError,
    MavenError,
    PortTakenError,
)
from exchange.bus.probe import cluster_id
from exchange.cli.broker import broker
from tests.rigs.brokers import free_port


def test_clients_can_connect_when_start_returns(fresh_broker: LocalBroker) -> None:
    assert fresh_broker.status().state == "running"
    assert cluster_id(fresh_broker.cluster("exchange.tests")) is not None


def test_another_port_while_it_runs_is_refused(fresh_broker: LocalBroker) -> None:
    with pytest.raises(BrokerBusyError, match="exchange broker stop"):
        LocalBroker(_home(fresh_broker), free_port()).start()


def test_a_taken_port_is_refused(tmp_path: Path, shared_jars: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        local = LocalBroker(tmp_path, other.getsockname()[1], jars=shared_jars)
        with pytest.raises(PortTakenError, match="--port"):
            local.start()
    assert local.status().state == "stopped"


def test_missing_java_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JavaError, match="install Java 17"):
        LocalBroker(tmp_path, java=str(tmp_path / "no-java")).start()


def test_old_java_is_refused(tmp_path: Path) -> None:
    old = _script(tmp_path / "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    with pytest.raises(JavaError, match="Java 11 is too old"):
        LocalBroker(tmp_path, java=old).start()


def test_missing_maven_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MavenError, match="install Maven"):
        LocalBroker(tmp_path, maven=str(tmp_path / "no-maven")).start()


def test_jars_that_maven_cannot_fetch_leave_nothing_behind(tmp_path: Path) -> None:
    failing = _script(tmp_path / "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    with pytest.raises(MavenError, match="Could not transfer artifact"):
        LocalBroker(tmp_path, maven=failing).start()
    assert [left.name for left in (tmp_path / "broker").iterdir()] == ["jars.lock"]


def test_a_broker_that_dies_points_to_its_log(tmp_path: Path, shared_jars: Path) -> None:
    _spoil(tmp_path)
    admin = credentials.Security(username=names.ADMIN_PRINCIPAL, password="x")
    credentials.save(credentials.file_of(tmp_path, names.ADMIN_PRINCIPAL), admin)
    with pytest.raises(BrokerDiedError, match=r"broker\.log"):
        LocalBroker(tmp_path, free_port(), jars=shared_jars).start()


def test_data_of_a_broker_without_security_is_refused(tmp_path: Path) -> None:
    _spoil(tmp_path)
    with pytest.raises(InsecureDataError, match=f"move {tmp_path} out of the way"):
        LocalBroker(tmp_path).start()


def test_the_command_line_says_what_runs(fresh_broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_HOME", str(_home(fresh_broker)))
    answer = CliRunner().invoke(broker, ["status", "--output", "json"])
    assert answer.exit_code == 0
    assert json.loads(answer.output) == asdict(fresh_broker.status())


def test_the_command_line_says_what_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path))
    assert CliRunner().invoke(broker, ["stop"]).exit_code == 0
    answer = CliRunner().invoke(broker, ["status"])
    assert (answer.exit_code, answer.output) == (3, f"stopped; data kept in {tmp_path}/broker/data\n")


def test_no_password_is_on_a_command_line(tmp_path: Path, shared_jars: Path) -> None:
    seen = tmp_path / "seen"
    body = (
        f"""[ "$1" = -version ] && {{ echo 'openjdk version "17"'; exit; }}; echo "$@" >> {seen}; echo no >&2; exit 1"""
    )
    with pytest.raises(BrokerDiedError, match="could not format"):
        LocalBroker(tmp_path, free_port(), java=_script(tmp_path / "java", body), jars=shared_jars).start()
    password = credentials.load(credentials.file_of(tmp_path, names.ADMIN_PRINCIPAL)).password
    assert "StorageTool format @" in seen.read_text()
    assert password not in seen.read_text()
    assert not list((tmp_path / "broker").glob("format.*"))


def test_data_survives_a_kill_and_a_stale_pid_file(fresh_broker: LocalBroker) -> None:
    before = cluster_id(fresh_broker.cluster("exchange.tests"))
    pid = fresh_broker.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    after = fresh_broker.start()
    assert after.state == "running"
    assert after.pid != pid
    assert cluster_id(fresh_broker.cluster("exchange.tests")) == before


def test_starting_and_stopping_twice_is_harmless(fresh_broker: LocalBroker) -> None:
    """The last to use it."""
    assert fresh_broker.start() == fresh_broker.status()
    assert fresh_broker.stop()
    assert not fresh_broker.stop()
    assert fresh_broker.status().state == "stopped"


def _spoil(home: Path) -> None:
    data = home / "broker" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("cluster.id=nonsense\n")


def _home(local: LocalBroker) -> Path:
    return Path(local.status().data).parents[1]


def _script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)
