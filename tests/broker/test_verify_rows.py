"""Real routers on a real Kafka, and a subject with a key: who holds which rows is proven, and explained."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from contextlib import closing
from threading import Event

import pytest

from exchange import names
from exchange.audit.explain import explain_place
from exchange.audit.questions import Selection, balance_of_grants, exchanged
from exchange.audit.reconcile import reconcile
from exchange.audit.verify import Verification, verify
from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.bus.topics import publish
from exchange.ledger.follower import Follower
from exchange.ledger.store import LedgerStore
from tests.rigs.brokers import CLIENT
from tests.rigs.copies import GRANTS, KEY, Register
from tests.rigs.office import Office
from tests.rigs.routing import KEY as LEDGER_KEY

SEED = 4


def change(office: Office, register: Register, chance: random.Random, changes: int) -> None:
    producer = office.producer()
    for _ in range(changes):
        row = f"person {chance.randrange(10)}", chance.randrange(2020, 2026)
        kind = chance.choices(["put", "delete", "end"], [80, 17, 3])[0]
        fields = {"cents": chance.randrange(-3, 4), "district": chance.choice([None, "4401", "33"])}
        key, value, headers = register.change((kind, row, fields))
        producer.produce(office.topic, value, key, partition=key[-1] % 2, headers=headers)
    assert producer.flush(60) == 0


@pytest.fixture(scope="module")
def lived(broker: LocalBroker, own_cluster: Cluster) -> Office:
    """An office whose rows were changed and routed, by one router and then another."""
    office = Office(own_cluster, f"t{uuid.uuid4().hex[:10]}", broker.cluster(CLIENT, names.ROUTER_PRINCIPAL))
    office.adopt(*(office.grant(name, **gives) for name, gives in GRANTS.items()), key=KEY)
    register, chance = Register(), random.Random(SEED)
    for instance in ("1", "2"):
        with office.router(instance):
            change(office, register, chance, 300)
            office.wait_routed()
    return office


@pytest.fixture(scope="module")
def store(lived: Office) -> Iterator[LedgerStore]:
    with closing(LedgerStore("sqlite://")) as made:
        Follower(lived.cluster, made).follow(Event(), until_idle=True)
        yield made


def check(office: Office) -> Verification:
    return verify(office.cluster, LEDGER_KEY, office.subject, lambda *_: None)


def test_who_holds_which_rows_is_proven(lived: Office, store: LedgerStore) -> None:
    found = check(lived)
    assert found.mismatches == []
    assert found.rows > 20
    mine = Selection(subject=lived.subject)
    lost = [sum(one.withdrawn.values()) for one in exchanged(store, mine)]
    assert len(lost) == len(GRANTS)
    assert all(lost)
    assert all(balance.balanced for balance in balance_of_grants(store, mine))
    compared = reconcile(lived.cluster, store, lived.subject, lambda *_: None)
    assert len(compared) == 2 + 2 * len(GRANTS)
    assert all(one.balanced and one.compared for one in compared)


def test_a_withdrawal_is_explained_from_the_source(lived: Office, store: LedgerStore) -> None:
    entry = next(e for e in lived.entries() if any(w.reason == "left" for o in e.outcomes for w in o.withdrawn))
    [filtered] = [o for o in entry.outcomes if any(grant.endswith("filtered") for grant in o.grants)]
    [left] = [w for w in filtered.withdrawn if w.reason == "left"]
    at = next(at for at in range(entry.count) if left.bitmap is None or left.bitmap[at // 8] >> at % 8 & 1)
    place = (entry.partition, entry.offset(at))
    [decision] = explain_place(lived.cluster, store, lived.subject, "filtered", place).decisions
    assert (decision.verdict, decision.reason, decision.proven) == ("withdrawn", "left", True)
    assert decision.detail.endswith("did not hold: cents: {ge: 0}")


def test_a_memory_that_differs_is_found(lived: Office) -> None:
    kept = names.holdings_topic(lived.subject)
    publish(lived.cluster, kept, [(bytes(range(16)), (1).to_bytes(4, "little"))], partition=1)
    [mismatch] = check(lived).mismatches
    assert (mismatch.place, mismatch.fault) == (f"{kept}/1", "1 rows have other holders there than in the entries")
    publish(lived.cluster, kept, [(bytes(range(16)), None)], partition=1)
    assert check(lived).mismatches == []
