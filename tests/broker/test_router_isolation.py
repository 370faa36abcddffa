"""What takes nothing is left aside, named and tried again, while all other subjects flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from exchange import metrics, names
from exchange.broker import LocalBroker
from exchange.bus import Cluster, consume
from exchange.bus.admin import Admin
from exchange.bus.rule import Rule
from exchange.bus.topics import publish, read_all
from exchange.contract import epoch as epochs
from exchange.contract.model import Epoch, Grant
from exchange.plan.access import principal, wanted_access
from exchange.plan.topics import wanted
from exchange.router.loop import Router
from tests.rigs import plain, routing
from tests.rigs.brokers import CLIENT
from tests.rigs.office import PARTITIONS, Office
from tests.rigs.plain import wait_until
from tests.rigs.routing import value

QUICK_S = 5.0  # far below the transaction's time-out, 15 s


@pytest.fixture
def offices(broker: LocalBroker, own_cluster: Cluster, unique: str) -> tuple[Office, Office]:
    """Two subjects of one contract: what happens to the first is none of the second's business."""
    routers = broker.cluster(CLIENT, names.ROUTER_PRINCIPAL)
    first, second = (Office(own_cluster, f"{unique}{part}", routers) for part in "ab")
    adopt(first, second, grants=[granted(first, "r1"), granted(first, "r2"), granted(second, "r1")])
    return first, second


def adopt(*offices: Office, grants: Sequence[Grant]) -> Epoch:
    """Publish one contract for all of them."""
    cluster = offices[0].cluster
    number = 1 + sum(1 for _ in read_all(cluster, names.CONTRACT_TOPIC))
    each = [
        routing.epoch(*(g for g in grants if g.subject == office.subject), number=number, owner=office.owner)
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
    merged: dict[str, Any] = {"contract": contract, "writers": writers}
    for name in ("views", "pinned", "schemas"):
        merged[name] = {key: found for one in each for key, found in getattr(one, name).items()}
    epoch = each[0].model_copy(update=merged)
    with Admin(cluster) as admin:
        there = admin.topics()
        admin.create({n: t for n, t in wanted(contract).items() if n not in there})
        admin.allow(wanted_access(contract))
    publish(cluster, names.CONTRACT_TOPIC, [(epochs.key(number), epochs.encode(epoch))])
    for office in offices:
        office.epoch = epoch
    return epoch


def granted(office: Office, reader: str, **changes: Any) -> Grant:
    """A grant of the office's subject; its id is its own, whoever else grants the reader something."""
    return office.grant(reader, **{"id": f"{office.owner}.{reader}", **changes})


def delivered(office: Office, reader: str, given: list[bytes], *, partition: int = 0, within_s: float = 60.0) -> None:
    """Wait until a reader has exactly these values."""
    wait_until(lambda: office.values(office.inbox(reader))[partition] == given, "records are delivered", within_s)


def suspended(router: Router) -> list[str]:
    told = router.health().facts["suspended"]
    assert isinstance(told, list)
    return told


def remake(office: Office, topic: str) -> None:
    with Admin(office.cluster) as admin:
        admin.create({topic: wanted(office.epoch.contract)[topic]})


def _lag(subject: str) -> float:
    return metrics.REGISTRY.get_sample_value("exchange_lag_records", {"subject": subject}) or 0.0


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
        wait_until(lambda: _lag(first.subject) >= 5, "the lag is shown")
        labels = {"subject": first.subject, "code": "topic-missing"}
        assert metrics.REGISTRY.get_sample_value("exchange_suspended_partitions", labels) == PARTITIONS
        remake(first, first.inbox("r2"))
        delivered(first, "r2", given[5:])
        delivered(first, "r1", given)
        wait_until(lambda: router.health().ok, "all is well again")
    reasons = [str(vars(record).get("reason")) for record in caplog.records if record.name == "exchange.router"]
    assert f"{first.inbox('r2')} does not exist" in reasons


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


def test_an_inbox_that_may_not_be_written_holds_up_its_subject_alone(offices: tuple[Office, Office]) -> None:
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    inbox = first.inbox("r2")
    denied = Rule(principal(names.ROUTER_PRINCIPAL), "topic", inbox, "literal", "write", "deny")
    with Admin(first.cluster) as admin, first.router() as router:
        admin.allow([denied])
        first.publish(given)
        second.publish(given)
        delivered(second, "r1", given, within_s=QUICK_S)
        wait_until(lambda: bool(suspended(router)), "it is left aside", QUICK_S)
        assert f"this router may not write {inbox}" in suspended(router)[0]
        admin.withdraw([denied])
        delivered(first, "r2", given)
        delivered(first, "r1", given)


def test_a_quarantine_that_was_deleted_holds_up_its_subject_alone(offices: tuple[Office, Office]) -> None:
    first, second = offices
    quarantine = names.quarantine_topic(first.subject)
    given = [value(cents=i) for i in range(10)]
    with first.router() as router:
        first.publish(given[:1])
        delivered(first, "r1", given[:1])
        with Admin(first.cluster) as admin:
            admin.delete([quarantine])
        first.publish([*given[1:], b"no record", *given[1:]])
        second.publish(given)
        delivered(second, "r1", given, within_s=QUICK_S)
        wait_until(lambda: bool(suspended(router)), "it is left aside", QUICK_S)
        assert f"{quarantine} does not exist" in suspended(router)[0]
        remake(first, quarantine)
        delivered(first, "r1", [*given, *given[1:]])
        assert [record.value for record in first.read(quarantine)[0]] == [b"no record"]


def test_a_partition_added_by_hand_holds_up_itself_alone(
    offices: tuple[Office, Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume, "METADATA_MS", 2_000)
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    with Admin(first.cluster) as admin, first.router() as router:
        first.publish(given[:5])
        delivered(first, "r1", given[:5])
        admin.add_partitions(first.topic, PARTITIONS + 1)
        first.publish(given, partition=PARTITIONS, client_id="anew")  # a kept client would not know the partition yet
        wait_until(lambda: bool(suspended(router)), "it is left aside")
        first.publish(given[5:])
        second.publish(given)
        delivered(second, "r1", given, within_s=QUICK_S)
        delivered(first, "r1", given, within_s=QUICK_S)
        told = suspended(router)
        assert all(line.startswith(f"{first.topic}/{PARTITIONS} ") for line in told)
        assert f"has no partition {PARTITIONS}" in told[0]
        assert "exchange apply" in told[0]
        for reader in ("r1", "r2"):
            admin.add_partitions(first.inbox(reader), PARTITIONS + 1)
        wait_until(lambda: not suspended(router), "it flows again")
    found = [record for record in plain.read(first.kafka, first.inbox("r1")) if record.partition == PARTITIONS]
    assert [record.value for record in found] == given


def test_a_subjects_own_topic_that_was_deleted_holds_up_its_subject_alone(
    offices: tuple[Office, Office], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    with Admin(first.cluster) as admin, first.router() as router:
        first.publish(given[:5])
        second.publish(given[:5])
        delivered(first, "r1", given[:5])
        delivered(second, "r1", given[:5])
        admin.delete([first.topic])
        wait_until(lambda: bool(suspended(router)), "it is left aside")
        caplog.clear()
        second.publish(given[5:])
        delivered(second, "r1", given, within_s=QUICK_S)
        assert f"{first.topic} does not exist" in suspended(router)[0]
        assert not router.health().ok
        assert len(caplog.records) < 20
        assert second.subject not in str(suspended(router))


def test_without_the_ledger_nothing_is_routed_and_health_says_so(offices: tuple[Office, Office]) -> None:
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    with Admin(first.cluster) as admin, first.router() as router:
        first.publish(given[:5])
        delivered(first, "r1", given[:5])
        admin.delete([names.LEDGER_TOPIC])
        first.publish(given[5:])
        second.publish(given)
        wait_until(lambda: names.LEDGER_TOPIC in str(router.health().facts.get("reason")), "the reason is told")
        assert not router.health().ok
        assert suspended(router) == []
        remake(first, names.LEDGER_TOPIC)
        delivered(first, "r1", given)
        delivered(second, "r1", given)
        wait_until(lambda: router.health().ok, "all is well again")


def test_a_subjects_topic_that_may_not_be_read_holds_up_its_subject_alone(offices: tuple[Office, Office]) -> None:
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    denied = Rule(principal(names.ROUTER_PRINCIPAL), "topic", first.topic, "literal", "read", "deny")
    with Admin(first.cluster) as admin, first.router() as router:
        first.publish(given[:5])
        second.publish(given[:5])
        delivered(first, "r1", given[:5])
        delivered(second, "r1", given[:5])
        admin.allow([denied])
        first.publish(given[5:])
        second.publish(given[5:])
        delivered(second, "r1", given, within_s=QUICK_S)
        wait_until(lambda: bool(suspended(router)), "it is left aside", QUICK_S)
        assert f"this router may not read {first.topic}" in suspended(router)[0]
        admin.withdraw([denied])
        delivered(first, "r1", given)
        wait_until(lambda: router.health().ok, "all is well again")


def test_a_subject_whose_views_cannot_be_made_holds_up_itself_alone(offices: tuple[Office, Office]) -> None:
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    good = [granted(first, "r1"), granted(second, "r1")]
    with first.router(pseudonym_key=b"") as router:
        pseudonyms = granted(first, "r1", masks={"id": "pseudonym"})
        adopt(first, second, grants=[pseudonyms, granted(second, "r1")])
        first.publish(given)
        second.publish(given)
        delivered(second, "r1", given)
        wait_until(lambda: bool(suspended(router)), "it is left aside", QUICK_S)
        assert "there is no key" in suspended(router)[0]
        adopt(first, second, grants=good)
        delivered(first, "r1", given)
        wait_until(lambda: router.health().ok, "all is well again")


def test_without_quotas_topic_only_subjects_with_quotas_wait(offices: tuple[Office, Office]) -> None:
    first, second = offices
    given = [value(cents=i) for i in range(10)]
    adopt(first, second, grants=[granted(first, "r1", quota={"records_per_day": 1000}), granted(second, "r1")])
    with Admin(first.cluster) as admin, first.router() as router:
        first.publish(given[:5])
        delivered(first, "r1", given[:5])
        admin.delete([names.QUOTA_TOPIC])
        first.publish(given[5:])
        wait_until(lambda: bool(suspended(router)), "it is left aside")
        second.publish(given)
        delivered(second, "r1", given, within_s=QUICK_S)
        assert names.QUOTA_TOPIC in suspended(router)[0]
        remake(first, names.QUOTA_TOPIC)
        delivered(first, "r1", given)
        wait_until(lambda: router.health().ok, "all is well again")
