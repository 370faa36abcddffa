"""On real Kafka: the follower's tables say what the ledger topic holds, through aborts and kills; checks find lies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import select

from exchange.audit.disclosures import disclosures
from exchange.audit.questions import Selection, balance_of_grants, balance_of_partitions, exchanged
from exchange.audit.reconcile import behind, reconcile
from exchange.audit.verify import Verification, verify
from exchange.bus import Cluster
from exchange.bus.topics import publish
from exchange.ledger import tables
from exchange.ledger.entry import tag
from exchange.ledger.follower import Follower
from exchange.ledger.intake import Intake, State
from exchange.ledger.store import LedgerStore
from tests.rigs.clients import environment
from tests.rigs.ledgers import KEY, Pair, Rig, send_entry

KILLS = 20
PEOPLE = [f"44010019800101{at:04}" for at in range(40)]


def silent(topic: str, records: int) -> None:
    """No progress is shown."""


@pytest.fixture
def rig(own_cluster: Cluster, unique: str) -> Iterator[Rig]:
    made = Rig(own_cluster, unique)
    yield made
    made.close()


def follow(cluster: Cluster, store: LedgerStore) -> None:
    Follower(cluster, store).follow(Event(), until_idle=True)


def test_committed_entries_answer_the_audit(rig: Rig, store: LedgerStore) -> None:
    rig.exchange(0, PEOPLE)
    rig.exchange(1, PEOPLE[:10])
    follow(rig.cluster, store)
    mine = Selection(subject=rig.subject)

    whole, part = exchanged(store, mine)
    assert (whole.day, whole.reader, whole.records, whole.delivered) == ("2025-11-22", "readera", 50, 50)
    assert (part.reader, part.delivered, part.withheld) == ("readerb", 25, {"filter": 25})
    assert exchanged(store, Selection(subject=rig.subject, reader="readera")) == [whole]
    assert not exchanged(store, Selection(subject=rig.subject, until_ms=1))

    grants = balance_of_grants(store, mine)
    assert [(g.partition, g.records, g.delivered, g.withheld) for g in grants if g.reader == "readerb"] == [
        (0, 40, 20, 20),
        (1, 10, 5, 5),
    ]
    assert all(g.balanced for g in grants)
    assert all(p.balanced for p in balance_of_partitions(store, mine))

    second = list(disclosures(store, tag(PEOPLE[1].encode(), KEY), mine))
    assert sorted((d.reader, d.records, d.partition, d.basis) for d in second) == [
        ("readera", 1, 0, "Measures for Social Assistance, art. 9"),
        ("readera", 1, 1, "Measures for Social Assistance, art. 9"),
    ]
    third = list(disclosures(store, tag(PEOPLE[2].encode(), KEY), mine))
    assert {(d.reader, d.partition, tuple(d.fields)) for d in third if d.reader == "readerb"} == {
        ("readerb", 0, ("amount",)),
        ("readerb", 1, ("amount",)),
    }
    assert not list(disclosures(store, tag(b"nobody", KEY), mine))
    assert not list(disclosures(store, tag(PEOPLE[1].encode(), bytes(32)), mine))


def test_an_aborted_transaction_is_kept_but_does_not_count(rig: Rig, store: LedgerStore) -> None:
    rig.exchange(0, PEOPLE, commit=False)
    rig.exchange(0, PEOPLE[:2])
    follow(rig.cluster, store)
    mine = Selection(subject=rig.subject)
    assert [p.records for p in balance_of_partitions(store, mine)] == [2]
    wanted = tag(PEOPLE[30].encode(), KEY)
    assert not list(disclosures(store, wanted, mine))
    assert {d.state for d in disclosures(store, wanted, mine, include_aborted=True)} == {"aborted"}


def test_an_entry_is_open_until_its_marker_comes(rig: Rig, store: LedgerStore) -> None:
    pairs: list[Pair] = [(b"k", b"\0\0\0\0\1v")]
    entry = rig.entry(0, rig.publish(0, pairs), pairs)
    stop = Event()

    class Watched(LedgerStore):
        def apply(self, intake: Intake) -> Counter[State]:
            decided = super().apply(intake)
            if self.open_entries():
                stop.set()
            return decided

    watched = Watched(store.engine.url.render_as_string(hide_password=False))
    with rig.producer.transaction() as transaction:
        send_entry(transaction, entry)
        transaction.flush()
        Follower(rig.cluster, watched).follow(stop)
        assert states(store, rig) == ["open"]
    watched.close()
    follow(rig.cluster, store)
    assert states(store, rig) == ["committed"]


@pytest.mark.siege
def test_the_follower_can_be_killed_anywhere(rig: Rig, url: str, tmp_path: Path) -> None:
    for at in range(60):
        rig.exchange(at % 2, PEOPLE[at % 7 :], commit=at % 5 != 4)
    chance = random.Random(7)
    env = os.environ | {
        **environment(rig.cluster, tmp_path),
        "EXCHANGE_LEDGER_URL": url,
        "EXCHANGE_HOME": str(tmp_path),
        "EXCHANGE_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "exchange", "ledger", "follow"]
    for _ in range(KILLS):
        process = subprocess.Popen(command, env=env)
        time.sleep(chance.uniform(0.3, 2.5))
        rig.exchange(0, PEOPLE[:3])
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--until-idle"], env=env, check=True, timeout=120)
    whole = LedgerStore(f"sqlite:///{tmp_path / 'whole.db'}")
    follow(rig.cluster, whole)
    killed = LedgerStore(url)
    for table in (tables.entries, tables.runs, tables.outcomes, tables.withheld, tables.grants, tables.positions):
        assert contents(killed, table) == contents(whole, table), table.name
    found = select(tables.tags.c.tag, tables.tags.c.entry_id).order_by(*tables.tags.c)
    assert sorted(map(tuple, killed.rows(found))) == sorted(map(tuple, whole.rows(found)))
    assert contents(whole, tables.tags)
    killed.close()
    whole.close()


def test_a_subject_of_which_no_router_decided_anything_is_not_yet_routed(rig: Rig, store: LedgerStore) -> None:
    rig.publish(1, [(person.encode(), b"\0\0\0\0\1") for person in PEOPLE])
    follow(rig.cluster, store)
    [waits] = reconcile(rig.cluster, store, rig.subject, silent)
    assert (waits.topic, waits.partition, waits.ledger, waits.kafka, waits.pending) == (rig.topic, 1, 0, 0, 40)
    assert check(rig).pending == 40


def test_kafka_and_the_ledger_agree(rig: Rig, store: LedgerStore) -> None:
    rig.exchange(0, PEOPLE)
    rig.exchange(0, PEOPLE, commit=False)
    first = 2 * len(PEOPLE)
    follow(rig.cluster, store)
    assert behind(rig.cluster, store) == 0
    counts = reconcile(rig.cluster, store, rig.subject, silent)
    assert {(c.topic, c.ledger, c.kafka, c.pending) for c in counts} == {
        (rig.topic, 40, 40, 40),
        (rig.inbox("readera"), 40, 40, 0),
        (rig.inbox("readerb"), 20, 20, 0),
    }
    assert all(c.balanced for c in counts)
    found = check(rig)
    assert (found.entries, found.records, found.deliveries, found.pending) == (1, 40, 60, 40)
    assert not found.mismatches

    publish(rig.cluster, rig.inbox("readerb"), [(None, b"smuggled")])
    assert [c.topic for c in reconcile(rig.cluster, store, rig.subject, silent) if not c.balanced] == [
        rig.inbox("readerb")
    ]
    assert [m.fault for m in check(rig).mismatches] == ["1 records that no entry vouches for"]
    pairs: list[Pair] = [(person.encode(), b"\0\0\0\0\1" + bytes([at])) for at, person in enumerate(PEOPLE)]
    rig.route(replace(rig.entry(0, first - len(PEOPLE), pairs), root=bytes(32)), pairs)
    faults = [m.fault for m in check(rig).mismatches]
    assert "the Merkle root is not that of the source's records" in faults
    assert any("does not hold what was delivered" in fault for fault in faults)


def test_two_entries_for_one_record_are_found(rig: Rig, store: LedgerStore) -> None:
    pairs: list[Pair] = [(b"k", b"\0\0\0\0\1v")] * 4
    entry = rig.entry(0, rig.publish(0, pairs), pairs)
    rig.route(entry, pairs)
    rig.route(entry, pairs)
    follow(rig.cluster, store)
    (partition,) = balance_of_partitions(store, Selection(subject=rig.subject))
    assert (partition.twice, partition.balanced) == (4, False)
    assert check(rig).mismatches


def test_a_replay_is_seen_as_one_and_disturbs_no_balance(rig: Rig, store: LedgerStore) -> None:
    pairs: list[Pair] = [(person.encode(), b"\0\0\0\0\1v") for person in PEOPLE[:9]]
    first = rig.publish(0, pairs)
    rig.route(rig.entry(0, first, pairs), pairs)
    rig.replay("again", 0, first + 2, pairs[2:7])
    rig.exchange(0, PEOPLE[:3])
    follow(rig.cluster, store)
    mine = Selection(subject=rig.subject)
    assert {(e.reader, e.replay): e.delivered for e in exchanged(store, mine)} == {
        ("readera", None): 12, ("readera", "again"): 5, ("readerb", None): 7
    }  # fmt: skip
    assert all(g.balanced for g in balance_of_grants(store, mine))
    [partition] = balance_of_partitions(store, mine)
    assert (partition.balanced, partition.records, partition.replayed) == (True, 12, 5)
    got = disclosures(store, tag(PEOPLE[4].encode(), KEY), Selection(subject=rig.subject, reader="readera"))
    assert [d.replay for d in got] == [None, "again"]
    assert all(c.balanced for c in reconcile(rig.cluster, store, rig.subject, silent))
    found = check(rig)
    assert (found.entries, found.records, found.deliveries) == (3, 17, 24)
    assert not found.mismatches

    rig.replay("again", 0, first + 2, pairs[2:4])
    rig.replay("false", 0, first, pairs[1:3])
    follow(rig.cluster, store)
    [partition] = balance_of_partitions(store, mine)
    assert (partition.twice, partition.balanced) == (2, False)
    assert any("the Merkle root" in mismatch.fault for mismatch in check(rig).mismatches)


def check(rig: Rig) -> Verification:
    return verify(rig.cluster, KEY, rig.subject, silent)


def states(store: LedgerStore, rig: Rig) -> list[str]:
    t = tables.entries.c
    return [row.state for row in store.rows(select(t.state).where(t.topic == rig.topic).order_by(t.id))]


def contents(store: LedgerStore, table: object) -> list[tuple]:
    return [tuple(row) for row in store.rows(select(table).order_by(*table.primary_key))]  # type: ignore[call-overload, attr-defined]
