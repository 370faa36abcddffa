"""Records that were deleted before a router decided them: named, written down, and passed over by a person only."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest
from click.testing import CliRunner, Result

from exchange import metrics, names
from exchange.audit.explain import of_place
from exchange.audit.explain import undecided as undecided_place
from exchange.audit.gaps import gaps_of_group
from exchange.audit.questions import Selection, balance_of_partitions, undecided
from exchange.audit.reconcile import reconcile
from exchange.audit.verify import verify
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer
from exchange.bus.topic import Topic
from exchange.cli.main import exchange as command
from exchange.ledger.follower import Follower
from exchange.ledger.store import LedgerStore
from exchange.router import losses
from exchange.router.loop import Router
from tests.broker.test_bus_gaps import delete_before
from tests.rigs import plain
from tests.rigs.clients import environment
from tests.rigs.office import PARTITIONS, Office
from tests.rigs.plain import wait_until
from tests.rigs.routing import KEY, value

Exchange = Callable[..., Result]


@pytest.fixture
def exchange(office: Office, tmp_path: Path) -> Exchange:
    settings = {**environment(office.cluster, tmp_path), "EXCHANGE_HOME": str(tmp_path), "EXCHANGE_OPERATOR": "wei"}

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(command, arguments, env=settings)
        assert result.exit_code == status, result.output
        return result

    return run


def make_anew(office: Office) -> None:
    with Admin(office.cluster) as admin:
        admin.delete([office.topic])
        admin.create({office.topic: Topic(PARTITIONS, 1)})


def wait_aside(router: Router) -> list[str]:
    wait_until(lambda: not router.health().ok and bool(router.health().facts["suspended"]), "the gap is found", 60)
    facts = router.health().facts["suspended"]
    assert isinstance(facts, list)
    return facts


def test_a_stopped_router_says_what_it_missed_and_others_flow(
    office: Office, exchange: Exchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    office.adopt(office.grant("whole"))
    with office.router():
        office.publish([value(cents=n) for n in range(3)])
        office.wait_routed()
    office.publish([value(cents=n) for n in range(3, 13)])
    delete_before(office.cluster, office.topic, 10)
    exchange("router", "gaps", status=2)
    with caplog.at_level(logging.INFO, "exchange"), office.router("2") as router:
        [fact] = wait_aside(router)
        assert f"{office.topic}/0: offsets 3 to 9 were deleted before they were read" in fact
        assert "exchange router accept-gap" in fact
        office.publish([value(cents=99)], partition=1)
        wait_until(lambda: len(office.values(office.inbox("whole"))[1]) == 1, "the other partition flows")
        assert any(
            record.levelname == "ERROR" and "offsets 3 to 9" in str(record.__dict__) for record in caplog.records
        )
        assert metrics.SUSPENDED.labels(office.subject, "gap")._value.get() == 1
        assert len(office.values(office.inbox("whole"))[0]) == 3, "nothing goes on by itself"

        with closing(LedgerStore(f"sqlite:///{tmp_path}/ledger.db")) as store:
            Follower(office.cluster, store).follow(Event(), until_idle=True)
            [lost] = undecided(store, Selection(subject=office.subject))
            assert (lost.partition, lost.first, lost.next, lost.offsets, lost.epoch) == (0, 3, 10, 7, None)
        exchange("audit", "balance", "--subject", office.subject, status=1)
        found = json.loads(exchange("router", "gaps", "--output", "json", status=2).output)
        assert [gap["first"] for gap in found] == [3]
        assert [m.fault for m in verify(office.cluster, KEY, office.subject, lambda *_: None).mismatches] == [
            "offsets 3 to 9 were deleted before they were read"
        ]

        exchange("router", "accept-gap", f"{office.topic}/0", "--yes", status=1)  # no reason
        exchange("router", "accept-gap", f"{office.topic}/7", "--reason", "disk", "--yes", status=1)
        said = exchange("router", "accept-gap", f"{office.topic}/0", "--reason", "disk was full", "--yes")
        assert "accepts it" in said.output
        wait_until(lambda: router.health().ok, "the router goes on")
        office.wait_routed()
    assert office.values(office.inbox("whole"))[0] == [value(cents=n) for n in (0, 1, 2, 10, 11, 12)]
    exchange("router", "gaps")
    found = verify(office.cluster, KEY, office.subject, lambda *_: None)
    assert (found.mismatches, found.gaps) == ([], 1)
    with closing(LedgerStore(f"sqlite:///{tmp_path}/ledger.db")) as store:
        Follower(office.cluster, store).follow(Event(), until_idle=True)
        [lost] = undecided(store, Selection(subject=office.subject))
        assert lost.epoch == office.epoch.number + 1
        assert all(one.balanced for one in reconcile(office.cluster, store, office.subject, lambda *_: None))
    assert "7" in exchange("audit", "balance", "--subject", office.subject).output


def test_a_topic_that_was_made_anew_is_not_taken_for_the_old_one(
    office: Office, exchange: Exchange, tmp_path: Path
) -> None:
    office.adopt(office.grant("whole"))
    with office.router():
        for partition in range(PARTITIONS):
            office.publish([value(cents=n) for n in range(5)], partition=partition)
        office.wait_routed()
        make_anew(office)
        new = [value(cents=n) for n in range(100, 109)]
        office.publish(new)
    with office.router("2") as router:
        assert "deleted and made again" in wait_aside(router)[0]
        gaps = json.loads(exchange("router", "gaps", "--output", "json", status=2).output)
        assert {gap["cause"] for gap in gaps} == {"recreated"}
        places = [f"{gap['topic']}/{gap['partition']}" for gap in gaps]
        exchange("router", "accept-gap", *places, "--reason", "made anew", "--yes")
        wait_until(lambda: router.health().ok, "the router goes on")
        office.wait_routed()
    office.publish([value()] * 2, partition=1)  # not decided yet
    assert office.values(office.inbox("whole"))[0] == [value(cents=n) for n in range(5)] + new
    assert [(m.place, m.fault) for m in verify(office.cluster, KEY, office.subject, lambda *_: None).mismatches] == []
    with closing(LedgerStore(f"sqlite:///{tmp_path}/ledger.db")) as store:
        Follower(office.cluster, store).follow(Event(), until_idle=True)
        assert all(one.balanced for one in balance_of_partitions(store, Selection(subject=office.subject)))
        found = of_place(store, {office.epoch.number + 1: office.epoch}, office.subject, "whole", (0, 0))
        assert sum(one.state == "committed" for one in found) == 1
        assert undecided_place(office.cluster, store, office.subject, (1, 1))[0] == "not-decided"
        assert all(one.balanced for one in reconcile(office.cluster, store, office.subject, lambda *_: None))


def test_markers_and_aborted_records_may_expire_while_other_partitions_are_never_quiet(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "PASSED_S", 1.0)
    office.adopt(office.grant("whole"))
    place, stop = (office.topic, 0), Event()
    end = 3  # behind a record, the aborted one, and its marker

    def publish_all_the_time() -> None:
        while not stop.wait(0.01):
            office.publish([value()], partition=1)

    busy = Thread(target=publish_all_the_time)
    with office.router():
        busy.start()
        try:
            office.publish([value(cents=1)])
            aborting = office.producer(transactional_id=office.owner)
            aborting.init_transactions()
            aborting.begin_transaction()
            aborting.produce(office.topic, value(cents=2), b"440101", partition=0)
            aborting.flush()
            aborting.abort_transaction()
            committed: Callable[[], bool] = lambda: (  # noqa: E731
                plain.committed(office.kafka, names.ROUTER_GROUP, [place]).get(place) == end
            )
            wait_until(committed, "the aborted record and its marker are passed over", 30)
        finally:
            stop.set()
            busy.join()
    delete_before(office.cluster, office.topic, end)
    assert gaps_of_group(office.cluster, names.ROUTER_GROUP, [office.topic], office.epoch.topic_ids) == ()


def test_a_topic_made_anew_with_fewer_partitions_leaves_no_false_accusation(
    office: Office, exchange: Exchange, tmp_path: Path
) -> None:
    office.adopt(office.grant("whole"))
    with office.router():
        for partition in range(PARTITIONS):
            office.publish([value(cents=n) for n in range(3)], partition=partition)
        office.wait_routed()
    with Admin(office.cluster) as admin:
        admin.delete([office.topic])
        admin.create({office.topic: Topic(1, 1)})
    with office.router("2") as router:
        wait_aside(router)
        exchange("router", "accept-gap", f"{office.topic}/0", "--reason", "made anew", "--yes")
        wait_until(lambda: router.health().ok, "the router goes on")
    found = verify(office.cluster, KEY, office.subject, lambda *_: None)
    assert (found.mismatches, found.unverifiable) == ([], PARTITIONS)
    with closing(LedgerStore(f"sqlite:///{tmp_path}/ledger.db")) as store:
        Follower(office.cluster, store).follow(Event(), until_idle=True)
        assert all(one.balanced for one in reconcile(office.cluster, store, office.subject, lambda *_: None))


def test_routers_work_though_old_epochs_were_deleted(office: Office) -> None:
    for _ in range(3):
        office.adopt(office.grant("whole"))
    with Consumer(office.cluster) as consumer:
        end = consumer.end_offsets([(names.CONTRACT_TOPIC, 0)])[names.CONTRACT_TOPIC, 0]
    delete_before(office.cluster, names.CONTRACT_TOPIC, end - 1)
    with office.router():
        office.publish([value()])
        office.wait_routed()
