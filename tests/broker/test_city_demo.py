"""The whole exchange on a small city: the demo's own verdict, and no identifier by the back door.

Deliveries are read with another Kafka client and judged by the contract file alone.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from fastavro import schemaless_reader
from stdnum.cn import ric

from exchange.audit.questions import Selection, exchanged
from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.contract.load import Loaded, load
from exchange.contract.model import Grant
from exchange.contract.period import CITY_TIME, in_force
from exchange.demo.city.make import read_manifest
from exchange.demo.city.plant import CANARY, canary_fields
from exchange.demo.later import NARROWED, REVOKED
from exchange.epochs import epoch_in_force
from exchange.ledger.store import LedgerStore
from exchange.names import REPLAY_HEADER, ROW_HEADER, inbox_topic, quarantine_topic
from exchange.replay.hypothesis import read_draft
from exchange.replay.simulate import Scope, simulate
from tests.rigs.canaries import command_lines, identified, identifiers, leaks, open_to_others, secrets
from tests.rigs.clients import librdkafka
from tests.rigs.demo import ROOT, Demo, run_exchange
from tests.rigs.prometheus import as_series, empty_panels, judge, running, served

RECORDS = 6_000
TODAY = datetime.now(CITY_TIME).date()
pytestmark = pytest.mark.timeout(900)
NOT_IN_DEMO = ("exchange_source_slot_bytes",)
"""Metrics that the demo does not have: its databases are SQLite."""
_PERSON = re.compile(rb"(?=(\d{17}[0-9X]))")


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(ROOT / "topics.yaml", TODAY)


@pytest.fixture(scope="module")
def demo(fresh_broker: LocalBroker, fresh_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("home")
    servers = fresh_cluster.bootstrap_servers
    environment = {**os.environ, "EXCHANGE_HOME": str(home), "EXCHANGE_BOOTSTRAP_SERVERS": servers}
    broker_home = Path(fresh_broker.status().data).parents[1]
    shutil.copytree(broker_home / "credentials", home / "credentials")
    try:
        with command_lines() as seen:
            done = run_exchange(environment, "demo", "--keep", "--records", str(RECORDS))
        assert done.returncode == 0, done.stdout + done.stderr
        yield Demo(fresh_cluster, environment, done.stdout + done.stderr, broker_home, frozenset(seen))
    finally:
        run_exchange(environment, "down")


@pytest.fixture(scope="module")
def deliveries(demo: Demo) -> dict[str, list[Message]]:
    """Every row that was delivered, by topic."""
    return {topic: [m for m in found if m.value() is not None] for topic, found in read(demo, "inbox.").items()}


@pytest.fixture(scope="module")
def withdrawals(demo: Demo) -> dict[str, list[Message]]:
    """Every withdrawal, by topic."""
    return {topic: [m for m in found if m.value() is None] for topic, found in read(demo, "inbox.").items()}


@pytest.fixture(scope="module")
def schemas(demo: Demo) -> dict[int, dict[str, Any]]:
    """Every registered schema, by id."""
    values = [json.loads(m.value()) for m in read(demo, "_schemas")["_schemas"] if m.value()]
    return {value["id"]: json.loads(value["schema"]) for value in values if "schema" in value}


def read(demo: Demo, prefix: str) -> dict[str, list[Message]]:
    """Every committed record of every topic whose name begins so."""
    consumer = Consumer({**librdkafka(demo.cluster), "group.id": "test", "enable.partition.eof": True})
    try:
        topics = {n: t for n, t in consumer.list_topics().topics.items() if n.startswith(prefix)}
        places = [TopicPartition(name, p, OFFSET_BEGINNING) for name, topic in topics.items() for p in topic.partitions]
        consumer.assign(places)
        found: dict[str, list[Message]] = {name: [] for name in topics}
        ended = set()
        while len(ended) < len(places):
            message = consumer.poll(30)
            assert message is not None, "the end was not reached"
            if message.error() is None:
                found[message.topic()].append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF
                ended.add((message.topic(), message.partition()))
        return found
    finally:
        consumer.close()


def counts(messages: dict[str, list[Message]]) -> dict[str, int]:
    return {topic: len(found) for topic, found in messages.items() if found}


def _granted(loaded: Loaded) -> Iterator[tuple[Grant, str, set[str]]]:
    """Each grant in force with its inbox and the fields that it names."""
    for grant in in_force(loaded.contract, datetime.now(UTC)):
        fields = set(loaded.schemas[grant.subject].fields) if grant.fields == "all" else set(grant.fields)
        yield grant, inbox_topic(grant.reader, grant.subject), fields


def test_the_demo_says_what_came_of_it(demo: Demo) -> None:
    for words in ("Published", "Delivered", "Who received records of resident", "Ledger", "everything is where"):
        assert words in demo.output
    assert re.search(r"[1-9][\d,]* changes \([1-9][\d,]* deletions\), a grant narrowed, one revoked", demo.output)
    assert re.search(r"[1-9][\d,]* rows withdrawn, 93 copies compared, all true", demo.output)
    assert "38 of 38 found as planted" in demo.output
    assert "the grant has ended" in demo.output


def test_nobody_got_anything_without_a_grant(deliveries: dict[str, list[Message]], loaded: Loaded) -> None:
    with_grant = {topic for _, topic, _ in _granted(loaded)}
    assert {topic for topic, messages in deliveries.items() if messages} <= with_grant
    assert sum(map(len, deliveries.values())) > RECORDS


def test_schemas_of_deliveries_have_only_granted_fields(
    deliveries: dict[str, list[Message]], schemas: dict[int, dict[str, Any]], loaded: Loaded
) -> None:
    for grant, topic, fields in _granted(loaded):
        ids = {int.from_bytes(m.value()[1:5], "big") for m in deliveries[topic]}
        for schema_id in ids:
            assert {f["name"] for f in schemas[schema_id]["fields"]} == fields, grant.id


def test_keys_and_headers_tell_nothing_that_is_not_granted(
    deliveries: dict[str, list[Message]], loaded: Loaded
) -> None:
    handles: set[bytes] = set()
    for grant, topic, fields in _granted(loaded):
        subject, messages = loaded.contract.subject(grant.subject), deliveries[topic]
        assert all((m.key() is None) == (subject.entity.field not in fields) for m in messages), grant.id
        if set(subject.key) <= fields - set(grant.masks):
            assert grant.fields == "all" or not any(m.headers() for m in messages), grant.id
            continue
        assert {(name, len(value)) for m in messages for name, value in m.headers()} == {(ROW_HEADER, 16)}, grant.id
        found = {value for m in messages for _, value in m.headers()}
        assert handles.isdisjoint(found), f"{grant.id}: two readers know a row by the same handle"
        handles |= found
    assert handles


def test_a_withdrawal_names_a_row_that_was_delivered_and_nothing_else(
    deliveries: dict[str, list[Message]],
    withdrawals: dict[str, list[Message]],
    schemas: dict[int, dict[str, Any]],
    loaded: Loaded,
) -> None:
    """By its key if that is granted in clear, else by the handle that its deliveries have."""
    checked = {True: 0, False: 0}
    for grant, topic, fields in _granted(loaded):
        subject = loaded.contract.subject(grant.subject)
        is_clear = set(subject.key) <= fields - set(grant.masks)
        delivered = {_row(m, subject.key, schemas) if is_clear else _handle(m) for m in deliveries[topic]}
        for message in withdrawals[topic]:
            assert (message.key() is None) == (subject.entity.field not in fields), grant.id
            assert (_named(message, subject.key, schemas) if is_clear else _handle(message)) in delivered, grant.id
            checked[is_clear] += 1
    assert all(checked.values())


def _handle(message: Message) -> bytes:
    [(name, handle)] = message.headers()
    assert (name, len(handle)) == (ROW_HEADER, 16)
    return bytes(handle)


def _row(message: Message, key: tuple[str, ...], schemas: dict[int, dict[str, Any]]) -> tuple[Any, ...]:
    value = message.value()
    record: Any = schemaless_reader(io.BytesIO(value[5:]), schemas[int.from_bytes(value[1:5], "big")], None)
    return tuple(record[name] for name in key)


def _named(message: Message, key: tuple[str, ...], schemas: dict[int, dict[str, Any]]) -> tuple[Any, ...]:
    headers = dict(message.headers())
    value = headers.pop(ROW_HEADER)
    assert headers.keys() <= {REPLAY_HEADER}, "a narrowed grant's resynchronisation says so"
    types = {field["name"]: field["type"] for field in schemas[int.from_bytes(value[1:5], "big")]["fields"]}
    fields = [{"name": name, "type": types[name]} for name in key]
    body = io.BytesIO(value[5:])
    record: Any = schemaless_reader(body, {"type": "record", "name": "Key", "fields": fields}, None)
    assert body.read() == b"", "nothing follows"
    return tuple(record[name] for name in key)


def test_no_canary_is_found_where_its_field_is_not_granted(
    deliveries: dict[str, list[Message]], loaded: Loaded
) -> None:
    seen = 0
    for grant, topic, fields in _granted(loaded):
        subject = loaded.contract.subject(grant.subject)
        known = {
            f"{CANARY}:{subject.id}:{name}:".encode()
            for name in canary_fields(subject, loaded.schemas[subject.id])
            if name in fields - grant.masks.keys()
        }
        for message in deliveries[topic]:
            data = (message.key() or b"") + message.value() + repr(message.headers()).encode()
            found = set(re.findall(rb"CANARY:[^:]+:[^:]+:", data))
            assert found <= known, grant.id
            seen += len(found)
    assert seen > 0, "whole-record grants do deliver canaries, so that they can be found at all"


def test_questions_and_answers_reach_only_whom_they_are_for(
    deliveries: dict[str, list[Message]], schemas: dict[int, dict[str, Any]], loaded: Loaded
) -> None:
    seen = 0
    for grant, topic, _ in _granted(loaded):
        if grant.subject.partition(".")[2] in ("question", "answer"):
            assert {to for m in deliveries[topic] for to in _row(m, ("to",), schemas)} == {grant.reader}, grant.id
            seen += len(deliveries[topic])
    assert seen > 1_000


def test_departments_answer_no_more_than_is_asked(demo: Demo, schemas: dict[int, dict[str, Any]]) -> None:
    """What they keep to themselves is nowhere on Kafka, and of deposits they tell one bit."""
    with closing(sqlite3.connect(demo.home / "city" / "banking.db")) as database:
        [(remark,)] = database.execute("SELECT DISTINCT remark FROM known_party").fetchall()
    assert remark.startswith(f"{CANARY}:own:")
    for messages in read(demo, "").values():
        assert not any(CANARY.encode() + b":own:" in (message.value() or b"") for message in messages)
    answers = [message for message in read(demo, "subject.banking.answer")["subject.banking.answer"] if message.value()]
    told = {_row(message, ("status", "content"), schemas) for message in answers}
    assert told == {
        ("nothing_found", "{}"),
        ("found", '{"over_limit":true}'),
        ("found", '{"over_limit":false}'),
    }


def test_no_resident_id_is_found_where_none_is_granted(deliveries: dict[str, list[Message]], loaded: Loaded) -> None:
    names = {"resident_id", "legal_rep_id", "shareholders", "party_id", "seller_id", "buyer_id", "spouse_id"}
    checked = 0
    for grant, topic, fields in _granted(loaded):
        if (fields - grant.masks.keys()) & names:
            continue
        for message in deliveries[topic]:
            # Digits of a pseudonym can look like an identifier, but hardly with a birthday and the check digit.
            found = _PERSON.findall((message.key() or b"") + message.value())
            assert not any(ric.is_valid(digits.decode()) for digits in found), grant.id
            checked += 1
    assert checked > 0


def test_a_simulation_tells_what_each_grant_delivers(demo: Demo, loaded: Loaded) -> None:
    """Each grant as a draft gives of the retained records just what it has given of them, by the ledger.

    What it would not deliver is withheld from its reader or, if that had the row, withdrawn.
    """
    store = LedgerStore(f"sqlite:///{demo.home / 'ledger.db'}")
    told = {found.grant: found for found in exchanged(store, Selection()) if found.replay is None}
    epoch = epoch_in_force(demo.cluster)
    now = datetime.now(UTC)
    checked = 0
    for grant in in_force(loaded.contract, now):
        if grant.id in (NARROWED, REVOKED) or grant.subject.endswith((".question", ".answer")):
            continue
        draft = read_draft(grant.model_dump_json(by_alias=True).encode(), "draft", epoch, now.date())
        found = simulate(demo.cluster, epoch, draft, now, Scope(), bytes(32))
        due = told[grant.id]
        assert (found.records, found.quarantined) == (due.records, due.quarantined)
        assert found.draft.delivered == due.delivered
        kept_back = sum(due.withheld.values()) + sum(due.withdrawn.values())
        assert sum(found.draft.withheld.values()) == kept_back
        assert (found.gained, found.lost, found.persons_gained, found.persons_lost) == (0, 0, 0, 0)
        checked += bool(grant.where) + bool(grant.masks)
    store.close()
    assert checked > 3


def test_reader_and_owner_see_what_remains_of_a_quota(demo: Demo, loaded: Loaded) -> None:
    [limited] = (grant for grant in loaded.contract.grants if grant.quota.is_limited)
    sides = {limited.reader, limited.subject.partition(".")[0]}
    third = next(d.id for d in loaded.contract.departments if d.id not in sides)
    for department, wanted in (*((side, [limited.id]) for side in sides), (third, [])):
        told = json.loads(demo.run("grant", "quota", "--department", department, "--output", "json").stdout)
        assert [row["grant"] for row in told] == wanted
        assert all(row["remaining"] + row["delivered"] == row["per_day"] for row in told)


def test_what_a_misbehaving_publisher_wrote_is_in_quarantine(demo: Demo) -> None:
    found = counts(read(demo, "quarantine."))
    assert found == {quarantine_topic(subject): 4 for subject in ("tax.arrears", "market.permit", "credit.rating")}


@pytest.fixture(scope="module")
def commands(demo: Demo) -> dict[str, bytes]:
    """What commands leave behind that a person may run then."""
    city = read_manifest(demo.home)
    assert city is not None
    plan = demo.home / "plan.json"
    texts = {}
    for arguments, stdin in (
        (("plan", "--out", str(plan)), ""),
        (("drift",), ""),
        (("grant", "notify", "--metrics-file", str(demo.home / "grants.prom")), ""),
        (("department", "list"), ""),
        (("audit", "person", "-"), city.witness),
    ):
        command = [sys.executable, "-m", "exchange", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=demo.environment, input=stdin, capture_output=True, text=True, check=False
        )
        texts[" ".join(arguments[:2])] = (done.stdout + done.stderr).encode()
    return texts | {file.name: file.read_bytes() for file in (plan, demo.home / "grants.prom")}


@pytest.fixture(scope="module")
def told(demo: Demo, commands: dict[str, bytes]) -> dict[str, bytes]:
    """What the exchange wrote and said, by place: all but records on their topics and rows in databases."""
    logs = list(demo.home.glob("run/*.log"))
    written = [*logs, *demo.home.glob("rejects/*"), *demo.home.glob("ledger.db*"), *demo.home.glob("grants.db*")]
    texts = {file.name: file.read_bytes() for file in [*written, *demo.broker_home.glob("broker/*.*")]}
    assert {"router-1.log", "ledger.db", "grants.db", "broker.log", "server.properties"} < texts.keys()
    assert any(name.endswith(".jsonl") for name in texts)
    for daemon, address in demo.addresses.items():
        for page in ("metrics", "healthz"):
            with urllib.request.urlopen(f"http://{address}/{page}", timeout=10) as answer:
                texts[f"{page} of {daemon}"] = answer.read()
    for topic, messages in (read(demo, "exchange.") | read(demo, "cursor.") | read(demo, "_schemas")).items():
        texts[topic] = b"".join((m.key() or b"") + (m.value() or b"") for m in messages)
    for topic, messages in read(demo, "quarantine.").items():
        texts[f"headers of {topic}"] = repr([m.headers() for m in messages]).encode()
    assert {"exchange.ledger", "exchange.contract"} < texts.keys()
    return texts | {"output": demo.output.encode(), "command lines": b"".join(demo.command_lines)} | commands


def test_nothing_of_a_record_is_in_logs_ledger_metrics_or_reports(demo: Demo, told: dict[str, bytes]) -> None:
    known = identifiers(demo.home / "city")
    assert len(known) > RECORDS
    found = [
        place
        for place, text in told.items()
        if CANARY.encode() in text
        or any(ric.is_valid(digits.decode()) for digits in _PERSON.findall(text))
        or identified(known, text)
    ]
    assert found == []


def test_the_search_finds_what_is_there(demo: Demo) -> None:
    known = identifiers(demo.home / "city")
    with closing(sqlite3.connect(demo.home / "city" / "police.db")) as database:
        rows = "\n".join(database.iterdump()).encode()
    found = identified(known, rows)
    assert {len(value) for value in found} >= {9, 11, 18}, "names, phones, and numbers of persons"
    for holder, forms in secrets(demo.home, demo.broker_home).items():
        assert leaks({holder: forms}, {"log": b"x" + forms[-1] + b"x"}), holder


def test_secrets_stand_in_their_own_files_only(demo: Demo, told: dict[str, bytes]) -> None:
    hidden = secrets(demo.home, demo.broker_home)
    names = {Path(holder).name for holder in hidden}
    departments = {f"{d.id}.yaml" for d in load(ROOT / "topics.yaml", TODAY).contract.departments}
    services = {"exchange.admin.yaml", "exchange.router.yaml", "exchange.ledger.yaml"}
    assert names >= departments | services | {"ledger.key", "pseudonym.key", "authority.key", "broker.pem"}
    files = {
        str(file): file.read_bytes()
        for home in (demo.home, demo.broker_home)
        for file in home.rglob("*")
        # Kafka's indexes are large, and nothing but numbers.
        if file.is_file() and not file.name.endswith(("index", ".snapshot")) and file.parent.name != "credentials"
    }
    assert any("__cluster_metadata" in place for place in files)
    assert leaks(hidden, told | files) == []


def test_nobody_else_on_the_machine_can_open_what_is_secret(demo: Demo) -> None:
    for home in (demo.home, demo.broker_home):
        # A certificate is for everybody, but in a folder that is not.
        assert {Path(path).suffix for path in open_to_others(home / "credentials")} <= {".pem"}
        assert (home / "credentials").stat().st_mode & 0o077 == 0
    assert [path for path in open_to_others(demo.broker_home / "broker" / "tls") if "authority.pem" not in path] == []
    assert (demo.broker_home / "broker").stat().st_mode & 0o077 == 0
    kept = [*demo.home.glob("*.key"), *demo.home.glob("*.db*"), demo.home / "run", demo.home / "city"]
    assert {"ledger.key", "ledger.db", "grants.db"} < {path.name for path in kept}
    assert [str(path) for path in kept if path.stat().st_mode & 0o077] == []


def test_dashboards_are_full_and_alerts_silent(demo: Demo, told: dict[str, bytes], tmp_path: Path) -> None:
    """The misbehaving publisher, and rows that do not fit, are the demo's faults; after a while they are old."""
    assert demo.run("monitoring", "export", str(tmp_path)).returncode == 0
    dashboards = [json.loads(file.read_text()) for file in tmp_path.glob("dashboards/*.json")]
    rules = tmp_path / "rules" / "alerts.yml"
    chosen = {"job": "exchange", "department": "market", "instance": ".+"}
    with served(told["grants.prom"].decode()) as grants:
        targets = {"exchange": list(demo.addresses.values()), "node": [grants]}
        with running(tmp_path, targets, rules) as prometheus:
            empty = empty_panels(prometheus, dashboards, chosen)
            assert [panel for panel in empty if not any(metric in panel for metric in NOT_IN_DEMO)] == []
            fired = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
    assert fired == {"ExchangeQuarantineGrows", "ExchangeRowsRejected"}
    later = {
        series: f"{value:.6f}x60"
        for daemon in demo.addresses
        for series, value in as_series(told[f"metrics of {daemon}"].decode(), "exchange", daemon).items()
    }
    assert judge(rules, later, [], tmp_path, (20, 60)) == ""


def test_a_killed_daemon_is_seen_and_started_again_by_the_next_demo(
    demo: Demo, deliveries: dict[str, list[Message]]
) -> None:
    status = demo.run("status")
    assert status.returncode == 0
    line = next(line for line in status.stdout.splitlines() if "connector-police" in line)
    os.kill(int(re.search(r"pid (\d+)", line)[1]), signal.SIGKILL)  # type: ignore[index]
    assert demo.run("status").returncode == 3

    again = demo.run("demo", "--records", str(RECORDS))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 published, 0 delivered" in again.stderr
    now = {topic: [m for m in found if m.value() is not None] for topic, found in read(demo, "inbox.").items()}
    assert counts(now) == counts(deliveries)


def test_down_stops_everything(demo: Demo) -> None:
    assert demo.run("down").returncode == 0
    status = demo.run("status")
    assert status.returncode == 3
    assert "pid" not in status.stdout
