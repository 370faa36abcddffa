"""`exchange grant explain` on a real Kafka: each rule that can stop a record is named, and no identifier is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from exchange.bus import Cluster
from exchange.cli.main import exchange
from exchange.ledger import tables
from exchange.ledger.follower import Follower
from exchange.ledger.store import Store
from exchange.router.replay import Replay
from exchange.router.survey import Order
from tests.clients import environment
from tests.router_office import Office
from tests.router_rig import KEY, value

PERSON = "440100198001010017"


@pytest.fixture(scope="module")
def office(fresh_cluster: Cluster) -> Office:
    """Offsets 0 to 4 of partition 0 are decided under two epochs, and replayed to `late`; 5 is not yet."""
    made = Office(fresh_cluster, "explained")
    days = {"from": "2020-01-01", "until": "2020-12-31"}
    some = made.grant("some", where={"year": {"ge": 2025}, "any": [{"cents": {"lt": 5}}, {"cents": {"gt": 8}}]})
    made.adopt(some, made.grant("old", **days))
    values = [value(), value(year=2024), value(cents=7), None, b"no record"]
    made.publish([value(cents=3, id=PERSON)], key=PERSON.encode())
    made.publish(values[1:])
    with made.router():
        made.wait_routed()
    made.adopt(some, made.grant("late"))
    order = Order("r-1", "late", 0, None, False)
    Replay(made.cluster, order, KEY, pause=lambda seconds: None).run()
    made.publish([value()])
    return made


@pytest.fixture
def home(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with the ledger's database and key."""
    for name, setting in environment(office.cluster, tmp_path).items():
        monkeypatch.setenv(name, setting)
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path))
    (tmp_path / "ledger.key").write_bytes(KEY)
    (tmp_path / "ledger.key").chmod(0o600)
    store = Store(f"sqlite:///{tmp_path / 'ledger.db'}")
    Follower(office.cluster, store).follow(Event(), until_idle=True)
    store.close()
    return tmp_path


def ask(office: Office, *arguments: str, typed: str = "", reader: str = "some") -> dict[str, Any]:
    command = ["grant", "explain", "--subject", office.subject, "--reader", reader, *arguments, "--output", "json"]
    answer = CliRunner().invoke(exchange, command, input=typed)
    assert answer.exit_code == 0, (answer.output, answer.exception)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.usefixtures("home")
def test_each_rule_is_named_and_proven(office: Office) -> None:
    verdicts = {
        0: ("delivered", "", "the reader got it"),
        1: ("withheld", "filter", "did not hold: year: {ge: 2025}; any"),
        2: ("withheld", "filter", "did not hold: any"),
        3: ("withheld", "tombstone", None),
        4: ("quarantined", "wire-header", None),
    }
    for offset, (verdict, reason, detail) in verdicts.items():
        [decision] = ask(office, "--offset", f"0/{offset}")["decisions"]
        assert (decision["verdict"], decision["reason"]) == (verdict, reason)
        assert detail in (None, decision["detail"])
        assert (decision["grant"], decision["epoch"], decision["proven"]) == ("some", office.epoch.number - 1, True)
        assert decision["entry"].startswith("exchange.ledger/")
        [other] = ask(office, "--offset", f"0/{offset}", reader="old")["decisions"]
        assert (other["verdict"], other["grant"]) == ("not-in-force", None)


@pytest.mark.usefixtures("home")
def test_a_replay_is_told_after_what_came_before(office: Office) -> None:
    first, second = ask(office, "--offset", "0/1", reader="late")["decisions"]
    assert (first["verdict"], first["replay"]) == ("no-grant", None)
    assert (second["verdict"], second["replay"], second["proven"]) == ("delivered", "r-1", True)


@pytest.mark.usefixtures("home")
def test_what_is_not_decided_says_why(office: Office) -> None:
    for offset, reason in ((5, "not-decided"), (6, "no-record")):
        found = ask(office, "--offset", f"0/{offset}")
        assert found["decisions"] == []
        assert found["undecided"]["reason"] == reason
    wrong = CliRunner().invoke(
        exchange, ["grant", "explain", "--subject", office.subject, "--reader", "som", "--offset", "0/1"]
    )
    assert "no contract ever had a department 'som'" in str(wrong.exception)


def test_the_identifier_is_told_to_nobody(office: Office, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    for arguments, typed in (
        (["--entity", "-"], f"{PERSON}\n"),
        (["--entity"], f"{PERSON}\n"),
        (["--entity", PERSON], ""),
    ):
        found = ask(office, *arguments, typed=typed, reader="late")
        assert [(d["offset"], d["verdict"]) for d in found["decisions"]] == [(0, "no-grant"), (0, "delivered")]
        told += json.dumps(found)
    command = ["grant", "explain", "--subject", office.subject, "--reader", "late", "--entity"]
    shown = CliRunner().invoke(exchange, command, input=f"{PERSON}\n")
    assert "0/0: delivered" in shown.output
    assert PERSON not in told + shown.output + shown.stderr + caplog.text
    store = Store(f"sqlite:///{home / 'ledger.db'}")
    assert all(PERSON not in str(store.rows(select(table))) for table in tables.metadata.sorted_tables)
    store.close()
