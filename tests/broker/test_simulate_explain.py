"""`exchange grant simulate` and `explain` on a real Kafka: what a draft would give, why a record was given or not."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from sqlalchemy import select

from exchange.audit import explain
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer
from exchange.bus.produce import Producer
from exchange.cli.main import exchange
from exchange.contract.model import Grant
from exchange.grants.history import Event as Done
from exchange.grants.life import Actor, Rules, submit
from exchange.grants.store import GrantStore
from exchange.ledger import tables
from exchange.ledger.follower import Follower
from exchange.ledger.store import LedgerContradictionError, LedgerStore
from exchange.records.build import pack
from exchange.replay import simulate as simulation
from exchange.replay.due import Order
from exchange.replay.replay import Replay
from tests.rigs.clients import environment
from tests.rigs.office import Office
from tests.rigs.routing import KEY, value

PERSON = "440100198001010017"


@pytest.fixture(scope="module")
def office(own_cluster: Cluster) -> Office:
    """Offsets 0 to 4 of partition 0 are decided under two epochs, and replayed to `late`; 5 is not yet.

    Of partition 1 the first two records were deleted before anyone decided on them.
    """
    made = Office(own_cluster, "explained")
    days = {"from": "2020-01-01", "until": "2020-12-31"}
    some = made.grant("some", where={"year": {"ge": 2025}, "any": [{"cents": {"lt": 5}}, {"cents": {"gt": 8}}]})
    made.adopt(some, made.grant("old", **days), made.grant("few", quota={"records_per_day": 1}))
    values = [value(), value(year=2024), value(cents=7), None, b"no record"]
    made.publish([value(cents=3, id=PERSON)], key=PERSON.encode())
    made.publish(values[1:])
    made.publish([value()] * 3, partition=1)
    admin = AdminClient(made.kafka)
    [deleted] = admin.delete_records([TopicPartition(made.topic, 1, 2)]).values()
    assert deleted.result(30).low_watermark == 2
    made.accept_gaps()
    with made.router():
        made.wait_routed()
    made.adopt(some, made.grant("late"))
    order = Order("r-1", "late", 0, None, False)
    Replay(made.cluster, order, KEY, pause=lambda seconds: None).run()
    made.publish([value()])
    return made


@pytest.fixture
def place(own_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home on the cluster."""
    for name, setting in environment(own_cluster, tmp_path).items():
        monkeypatch.setenv(name, setting)
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def home(office: Office, place: Path) -> Path:
    """A home with the ledger's database and key."""
    (place / "ledger.key").write_bytes(KEY)
    (place / "ledger.key").chmod(0o600)
    store = LedgerStore(f"sqlite:///{place / 'ledger.db'}")
    Follower(office.cluster, store).follow(Event(), until_idle=True)
    store.close()
    return place


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
def test_what_a_quota_withheld_is_named(office: Office) -> None:
    found = [
        ask(office, "--offset", f"{place}", reader="few")["decisions"][0] for place in ("0/0", "0/1", "0/2", "1/2")
    ]
    assert sorted((d["verdict"], d["reason"]) for d in found) == [("delivered", ""), *[("withheld", "quota")] * 3]
    assert all(d["grant"] == "few" and d["proven"] for d in found)
    command = ["grant", "explain", "--subject", office.subject, "--reader", "few", "--offset"]
    place = next(f"{d['partition']}/{d['offset']}" for d in found if d["reason"] == "quota")
    shown = CliRunner().invoke(exchange, [*command, place]).output
    assert (
        f"{place}: withheld (quota) — the grant's quota was used up: a replay can deliver it later; grant few" in shown
    )


@pytest.mark.usefixtures("home")
def test_what_is_no_longer_kept_is_said(office: Office) -> None:
    for place, reason in (("1/0", "lost"), ("1/1", "lost")):
        found = ask(office, "--offset", place)
        assert (found["decisions"], found["undecided"]["reason"]) == ([], reason)
    command = ["grant", "explain", "--subject", office.subject, "--reader", "some", "--offset", "1/0"]
    assert (
        "deleted from the source before a router decided it; epoch 2 accepts that"
        in CliRunner().invoke(exchange, command).output
    )


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
    store = LedgerStore(f"sqlite:///{home / 'ledger.db'}")
    assert all(PERSON not in str(store.rows(select(table))) for table in tables.metadata.sorted_tables)
    store.close()


@pytest.mark.usefixtures("home")
def test_an_epoch_that_kafka_does_not_have_is_a_contradiction(
    office: Office, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where EXCHANGE_LEDGER_URL names the database of another cluster."""
    newest = office.epoch.number
    real = explain.every_epoch
    monkeypatch.setattr(explain, "every_epoch", lambda cluster: [e for e in real(cluster) if e.epoch.number == newest])
    command = ["grant", "explain", "--subject", office.subject, "--reader", "some", "--offset", "0/0"]
    failure = CliRunner().invoke(exchange, command).exception
    assert isinstance(failure, LedgerContradictionError)
    assert "EXCHANGE_LEDGER_URL" in str(failure)


@pytest.mark.usefixtures("home")
def test_a_subject_that_was_deleted_is_explained_by_the_ledger_alone(office: Office) -> None:
    """The last question to this office: its source is gone after it."""
    with Admin(office.cluster) as admin:
        admin.delete([office.topic])
    [decision] = ask(office, "--offset", "0/0")["decisions"]
    assert (decision["verdict"], decision["proven"]) == ("delivered", None)
    command = ["grant", "explain", "--subject", office.subject, "--reader", "some", "--offset", "0/0"]
    assert "no longer kept" in CliRunner().invoke(exchange, command).output


@pytest.fixture
def tried(own_cluster: Cluster, unique: str) -> Office:
    """Ten records about five persons, of 2020 to 2029, one that is none, and one grant of those before 2024."""
    made = Office(own_cluster, unique)
    days = {"from": "2020-01-01", "until": "2020-12-31"}
    made.adopt(
        made.grant("held", where={"year": {"lt": 2024}}, fields=("id", "year", "note")), made.grant("other", **days)
    )
    producer = made.producer()
    for i in range(10):
        producer.produce(made.topic, value(year=2020 + i, cents=10**i), f"44{i // 2}", partition=i % 2)
    producer.produce(made.topic, b"no record", partition=0)
    assert producer.flush(30) == 0
    return made


def request(home: Path, grant: Grant) -> None:
    """Put a request for that grant into the store; it gets the number 1."""
    wang, now = Actor("wang", grant.reader), datetime.now(UTC)
    with closing(GrantStore(f"sqlite:///{home / 'grants.db'}")) as store, store.writing() as writer:
        asked = submit(1, grant, wang, now, Rules("bureau", "conditional"))
        writer.put(asked, Done(now, wang, "request", grant.id, 1))


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(exchange, ["grant", "simulate", *arguments])


def test_what_a_request_would_give_is_told(tried: Office, place: Path) -> None:
    wish = tried.grant("wish", reader="held", fields=("id", "cents"), masks={"id": "pseudonym"},
                        where={"year": {"ge": 2022}})  # fmt: skip
    request(place, wish)
    found = simulate("1", "--sample", "2")
    assert found.exit_code == 0, found.output
    lines = [" ".join(line.split()) for line in found.stdout.splitlines()]
    assert lines == [
        f"{tried.subject} to held: 11 records read, 1 of them not valid.",
        "delivered withheld persons",
        "draft 8 2 filter 4",
        "in force: held 4 6 filter 2",
        "Fields gained: id (pseudonym), cents",
        "Fields lost: id, year, note",
        "Records gained: 6, lost: 2. Persons gained: 3, lost: 1.",
        "Shapes of some of the records that it would deliver:",
        "id cents",
        *["text (32) long"] * 2,
    ]
    told = json.loads(simulate("1", "--output", "json").stdout)
    assert (told["draft"]["grant"], told["draft"]["delivered"], told["now"]["delivered"]) == ("wish", 8, 4)
    assert (told["records_gained"], told["records_lost"], told["persons_gained"], told["persons_lost"]) == (6, 2, 3, 1)
    assert len(told["sample"]) == 5


def test_a_reader_without_a_grant_gains_all_of_a_draft(tried: Office, place: Path) -> None:
    (place / "draft.yaml").write_text(f"{{subject: {tried.subject}, reader: other, fields: [year]}}")
    found = simulate(str(place / "draft.yaml"), "--sample", "0", "--output", "json")
    told = json.loads(found.stdout)
    assert (told["now"], told["draft"]["delivered"], told["records_gained"], told["sample"]) == (None, 10, 10, [])
    assert told["persons_gained"] == 5


def test_a_draft_that_cannot_be_tried_says_why(tried: Office, place: Path) -> None:
    request(place, tried.grant("wish", reader="held", fields=("id", "added"), masks={"added": "redact"}))
    for draft, told in (
        ("1", "field 'added' is not in the schema"),
        ("2", "there is no request 2"),
        ("9" * 30, "there is no request 9"),
        ("x.yaml", "cannot be read"),
        ("²", "cannot be read"),
    ):
        assert told in str(simulate(draft).exception)


def test_what_is_published_meanwhile_is_not_read(tried: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is that of a transaction, and the next poll begins behind its marker."""

    def commit() -> None:
        with Producer(tried.cluster, f"{tried.owner}.x") as out, out.transaction() as transaction:
            transaction.send(tried.topic, 1, pack([b"k"], [value()], [0]))

    def spans(source: Consumer, topic: str, scope: simulation.Scope) -> dict[int, tuple[int, int]]:
        found = real(source, topic, scope)
        commit()
        return found

    commit()
    real = simulation._spans
    monkeypatch.setattr(simulation, "_spans", spans)
    monkeypatch.setattr(simulation, "MAX_BATCHES", 1)
    draft, now = tried.grant("wish", reader="held"), datetime.now(UTC)
    found = simulation.simulate(tried.cluster, tried.epoch, draft, now, simulation.Scope(), bytes(32))
    assert found.records == 12
