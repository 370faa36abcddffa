"""What takes nothing is left aside, named and tried again, while all other subjects flow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from exchange import credentials, metrics
from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.topics import publish, read_all
from exchange.contract import epoch as epochs
from exchange.contract import names
from exchange.contract.access import wanted_access
from exchange.contract.model import Epoch, Grant
from exchange.contract.topics import wanted
from exchange.router.loop import Router
from tests import router_rig
from tests.fault.plain import wait_until
from tests.kafka_fixtures import CLIENT
from tests.router_office import PARTITIONS, Office
from tests.router_rig import value

QUICK_S = 5.0  # far below the transaction's time-out, 15 s


@pytest.fixture
def offices(fresh_broker: LocalBroker, fresh_cluster: Cluster, unique: str) -> tuple[Office, Office]:
    """Two subjects of one contract: what happens to the first is none of the second's business."""
    routers = fresh_broker.cluster(CLIENT, credentials.ROUTER)
    first, second = (Office(fresh_cluster, f"{unique}{part}", routers) for part in "ab")
    adopt(first, second, grants=[first.grant("r1"), first.grant("r2"), second.grant("r1")])
    return first, second


def adopt(*offices: Office, grants: Sequence[Grant]) -> Epoch:
    """Publish one contract for all of them."""
    cluster = offices[0].cluster
    number = 1 + sum(1 for _ in read_all(cluster, names.CONTRACT))
    each = [
        router_rig.epoch(*(g for g in grants if g.subject == office.subject), number=number, owner=office.owner)
        for office in offices
    ]
    departments = {d.id: d for one in each for d in one.contract.departments}
    contract = each[0].contract.model_copy(
        update={
            "departments": tuple(departments.values()),
            "subjects": tuple(s for one in each for s in one.contract.subjects),
            "grants": tuple(grants),
        }
    )
    writers = {subject: ids for one in each for subject, ids in one.writers.items()}
    epoch = each[0].model_copy(update={"contract": contract, "writers": writers})
    with Admin(cluster) as admin:
        there = admin.topics()
        admin.create({n: t for n, t in wanted(contract).items() if n not in there})
        admin.allow(wanted_access(contract))
    publish(cluster, names.CONTRACT, [(epochs.key(number), epochs.encode(epoch))])
    for office in offices:
        office.epoch = epoch
    return epoch


def delivered(office: Office, reader: str, given: list[bytes], *, partition: int = 0, within_s: float = 60.0) -> None:
    """Wait until a reader has exactly these values."""
    wait_until(lambda: office.values(office.inbox(reader))[partition] == given, "records are delivered", within_s)


def suspended(router: Router) -> list[str]:
    return router.health().facts["suspended"]


def remake(office: Office, topic: str) -> None:
    with Admin(office.cluster) as admin:
        admin.create({topic: wanted(office.epoch.contract)[topic]})


def test_an_inbox_that_was_deleted_holds_up_its_subject_alone(
    offices: tuple[Office, Office], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    with first.router() as router:
        first.publish(given[:5])
        second.publish(given[:5])
        delivered(first, "r1", given[:5])
        delivered(second, "r1", given[:5])
        with Admin(first.cluster) as admin:
            admin.delete([first.inbox("r2")])
        first.publish(given[5:])
        second.publish(given[5:])
        delivered(second, "r1", given, within_s=QUICK_S)
        wait_until(lambda: bool(suspended(router)), "it is left aside", QUICK_S)
        [told] = suspended(router)
        assert f"{first.topic}/0" in told
        assert f"{first.inbox('r2')} does not exist" in told
        assert "exchange apply" in told
        assert not router.health().ok
        assert second.subject not in told
        lag = metrics.REGISTRY.get_sample_value("exchange_lag_records", {"subject": first.subject})
        assert (lag or 0) >= 5
        labels = {"subject": first.subject, "code": "topic-missing"}
        assert metrics.REGISTRY.get_sample_value("exchange_suspended_partitions", labels) == PARTITIONS
        remake(first, first.inbox("r2"))
        delivered(first, "r2", given[5:])
        delivered(first, "r1", given)
        wait_until(lambda: router.health().ok, "all is well again")
    assert [
        r for r in caplog.records if r.name == "exchange.router" and first.inbox("r2") in str(r.__dict__.get("reason"))
    ]


def test_an_inbox_that_takes_no_large_batches_holds_up_its_subject_alone(offices: tuple[Office, Office]) -> None:
    first, second = offices
    given = [value(cents=i, note="n" * 50) for i in range(1000)]
    with Admin(first.cluster) as admin:
        admin.alter(first.inbox("r2"), {"max.message.bytes": "2000"})
    with first.router() as router:
        first.publish(given)
        second.publish(given)
        delivered(second, "r1", given, within_s=QUICK_S + 10)
        wait_until(lambda: bool(suspended(router)), "it is left aside", QUICK_S)
        for i in range(20):
            second.publish([value(cents=i)])
        delivered(second, "r1", [*given, *(value(cents=i) for i in range(20))], within_s=QUICK_S)
        [told] = suspended(router)
        assert f"{first.inbox('r2')} takes no batch of this size" in told
        assert not router.health().ok
        with Admin(first.cluster) as admin:
            admin.alter(first.inbox("r2"), {"max.message.bytes": "1048588"})
        delivered(first, "r2", given)
        delivered(first, "r1", given)
        wait_until(lambda: router.health().ok, "all is well again")
