"""Quotas on a real Kafka: many claim at once, routers die, days are full; never one record too many."""

from __future__ import annotations

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange import names
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.produce import Producer
from exchange.contract.model import Quota
from exchange.contract.period import city_day
from exchange.contract.quota import USES, encode
from exchange.plan.topics import wanted
from exchange.records.build import pack
from exchange.router.clock import BrokerClock
from exchange.router.quotas import Quotas
from tests.rigs import routing
from tests.rigs.office import Office
from tests.rigs.routing import value

DECISIONS = 10_000
QUOTA = 4_000
ROUTERS = 8


@pytest.fixture
def quota_topic(own_cluster: Cluster) -> Cluster:
    """The cluster, where routers can claim."""
    with Admin(own_cluster) as admin:
        if names.QUOTA_TOPIC not in admin.topics():
            admin.create({names.QUOTA_TOPIC: wanted(routing.epoch().contract)[names.QUOTA_TOPIC]})
    return own_cluster


def claimer(cluster: Cluster, name: str) -> Quotas:
    return Quotas(cluster, name, BrokerClock(lambda: datetime.now(UTC).timestamp()))


def test_ten_thousand_decisions_at_once_give_exactly_the_quota(quota_topic: Cluster, unique: str) -> None:
    quota, chance = Quota(records_per_day=QUOTA), random.Random(7)
    sizes = [[chance.choice((1, 1, 2, 3)) for _ in range(DECISIONS // ROUTERS)] for _ in range(ROUTERS)]
    assert sum(map(sum, sizes)) > QUOTA

    def decide(router: int) -> int:
        with claimer(quota_topic, f"{unique}.{router}") as quotas:
            given = 0
            for size in sizes[router]:
                given += quotas.allow(unique, quota, size)
                quotas.begin()
                quotas.committed()
            return given

    with ThreadPoolExecutor(ROUTERS) as pool:
        assert sum(pool.map(decide, range(ROUTERS))) == QUOTA


def test_what_was_not_delivered_is_used_again_by_the_same_router_only(quota_topic: Cluster, unique: str) -> None:
    quota, first, second = Quota(records_per_day=100), f"{unique}.1", f"{unique}.2"
    with claimer(quota_topic, first) as quotas, Producer(quota_topic, f"exchange.router.{first}") as out:
        assert quotas.allow(unique, quota, 70) == 70
        with out.transaction() as transaction:
            uses = quotas.begin()
            assert quotas.allow(unique, quota, 20) == 20  # decided while the transaction is being written
            for use in uses:
                transaction.send(names.QUOTA_TOPIC, USES, pack([b"g"], [encode(use)], [0]))
        # Nobody tells this router that it is committed: it has to find that out.
        out.discard()
        out.renew()
        quotas.give_up()
        with claimer(quota_topic, second) as other:
            assert other.allow(unique, quota, 50) == 10
        assert quotas.allow(unique, quota, 50) == 20
    with claimer(quota_topic, first) as again:
        assert again.allow(unique, quota, 50) == 20
        assert again.allow(unique, quota, 50) == 0


def test_routers_share_a_quota_and_withhold_the_excess(office: Office, tmp_path: Path) -> None:
    office.adopt(office.grant("free"), office.grant("limited", quota={"records_per_day": 150}))
    given = [[value(cents=1000 * p + i) for i in range(200)] for p in (0, 1)]
    with ExitStack() as routers:
        for name in ("1", "2"):
            routers.enter_context(office.router(name))
        office.wait_adopted(2)
        for start in range(0, 200, 20):
            for partition in (0, 1):
                office.publish(given[partition][start : start + 20], partition=partition)
        office.wait_routed()
    assert office.values(office.inbox("free")) == given
    found = office.values(office.inbox("limited"))
    assert sum(map(len, found)) == 150
    for partition in (0, 1):
        assert found[partition] == given[partition][: len(found[partition])]  # the first ones, in order
    assert withheld(office, "limited") == {"quota": 250}
    [told] = json.loads(office.place(tmp_path).exchange("grant", "quota", "limited", "--output", "json"))
    assert told["day"] == city_day(datetime.now(UTC)).isoformat()
    assert [told[name] for name in ("per_day", "delivered", "claimed", "remaining")] == [150, 150, 150, 0]


def test_a_second_has_its_quota_too(office: Office) -> None:
    office.adopt(office.grant("limited", quota={"records_per_second": 5}))
    with office.router():
        office.wait_adopted()
        office.publish([value(cents=i) for i in range(50)])
        office.wait_routed()
    delivered = sum(map(len, office.values(office.inbox("limited"))))
    assert 5 <= delivered < 50
    assert delivered + withheld(office, "limited")["quota"] == 50


def withheld(office: Office, grant: str) -> Counter[str]:
    """Records withheld from the grant, by reason."""
    found: Counter[str] = Counter()
    for entry in office.entries():
        for outcome in entry.outcomes:
            if grant in outcome.grants:
                found.update({why.reason: why.count for why in outcome.withheld})
    return found
