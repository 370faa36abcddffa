"""The router on a real Kafka: what it delivers, sets aside and writes down, alone and with others."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from datetime import time as dt_time
from functools import partial

import pytest
from kafka import KafkaProducer

from exchange.bus.produce import Producer
from exchange.contract import period
from exchange.epoch_watch import EpochWatch
from exchange.epochs import Published
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.router.loop import Router
from exchange.router.rivals import DuplicateInstanceError
from tests.rigs import routing
from tests.rigs.office import PARTITIONS, Office
from tests.rigs.plain import going_on, wait_until
from tests.rigs.routing import value

DAY_S = 86_400


def test_records_go_to_their_readers_with_an_entry_that_proves_it(office: Office) -> None:
    office.adopt(office.grant("whole"), office.grant("local", where={"district": {"prefix": "4401"}}))
    given = [value(cents=i, district=("4401", "3100")[i % 2]) for i in range(100)]
    with office.router():
        office.publish(given[:50])
        office.publish(given[50:], partition=1)
        office.wait_routed()
    assert office.values(office.inbox("whole")) == [given[:50], given[50:]]
    assert office.values(office.inbox("local")) == [given[:50:2], given[50::2]]
    entries = [entry for entry in office.entries() if not entry.is_adoption]
    assert sum(entry.count for entry in entries) == 100
    for entry in entries:
        held = given[:50] if entry.partition == 0 else given[50:]
        part = [held[entry.offset(i)] for i in range(entry.count)]  # published without transactions: no gaps
        assert entry.root == merkle_root([digest_leaf(b"440101", v) for v in part])
        local = next(o for o in entry.outcomes if "local" in o.grants)
        assert local.digest == merkle_root([digest_leaf(b"440101", v) for v in part if v in held[::2]])


def test_sources_may_be_compressed(office: Office) -> None:
    office.adopt(office.grant("whole"), office.grant("narrow", fields=("cents",)))
    given = [value(cents=i, note="n" * (i % 50)) for i in range(800)]
    with office.router():
        for i, codec in enumerate(("gzip", "snappy", "lz4", "zstd")):
            office.publish(given[200 * i : 200 * i + 100], compression_type=codec)
            producer = KafkaProducer(**office.cluster.config(), compression_type=codec, linger_ms=20)
            for one in given[200 * i + 100 : 200 * i + 200]:
                producer.send(office.topic, one, key=b"440101", partition=0)
            producer.close()
        office.wait_routed()
    assert office.values(office.inbox("whole"))[0] == given
    assert len(office.values(office.inbox("narrow"))[0]) == len(given)
    assert not any(entry.quarantined for entry in office.entries())


def test_bad_records_are_set_aside_and_never_in_logs(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.adopt(office.grant("whole"))
    good, secret = value(), b"SECRET-440101199001011234"
    with caplog.at_level(logging.DEBUG, "exchange"), office.router():
        office.publish([good, secret, value() + b"SECRET", good], key=b"SECRET-KEY")
        office.wait_routed()
    assert office.values(office.inbox("whole"))[0] == [good, good]
    first, second = office.read(f"quarantine.{office.subject}")[0]
    assert (first.key, first.value) == (b"SECRET-KEY", secret)
    source = f"{office.topic}/0/1".encode()
    assert first.headers == (("reason", b"wire-header"), ("source", source))
    assert dict(second.headers)["source"] == f"{office.topic}/0/2".encode()
    assert [q.offset for entry in office.entries() for q in entry.quarantined] == [1, 2]
    assert "SECRET" not in caplog.text
    assert not [record for record in caplog.records if "SECRET" in str(record.__dict__)]


def test_a_new_epoch_is_taken_between_transactions_and_said_so(office: Office) -> None:
    office.adopt(office.grant("before"), office.grant("always"))
    given = [value(cents=i) for i in range(60)]
    with office.router():
        office.wait_adopted()
        office.publish(given[:20])
        office.wait_routed()
        first = office.epoch.number
        office.adopt(office.grant("always"), office.grant("after", fields=("cents",)))
        office.wait_adopted()
        office.publish(given[20:])
        office.wait_routed()
    assert office.values(office.inbox("before"))[0] == given[:20]
    assert office.values(office.inbox("always"))[0] == given
    assert len(office.values(office.inbox("after"))[0]) == 40
    entries = office.entries()
    adoptions = [(entry.epoch, entry.router) for entry in entries if entry.is_adoption]
    assert adoptions == [(first, f"{office.owner}.1"), (first + 1, f"{office.owner}.1")]
    grants = {first: {"before", "always"}, first + 1: {"always", "after"}}
    for entry in entries:
        if not entry.is_adoption:
            assert {g for outcome in entry.outcomes for g in outcome.grants} == grants[entry.epoch]
    assert [entry.epoch for entry in entries if entry.count and not entry.is_adoption] == sorted(
        entry.epoch for entry in entries if not entry.is_adoption
    )


def test_a_router_that_starts_reads_the_contract_to_its_end_first(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that opened its producer too late to be fenced knows the contract that the others were fenced for."""
    office.adopt(office.grant("revoked"), office.grant("always"))
    given = [value(cents=i) for i in range(20)]
    office.publish(given)
    take, opened = EpochWatch._take, Producer._open

    def take_late(watch: EpochWatch, published: Published) -> None:
        if watch.newest is not None:
            time.sleep(1)
        take(watch, published)

    def open_late(producer: Producer) -> KafkaProducer:
        if office.epoch.number == first:
            office.adopt(office.grant("always"))
        return opened(producer)

    first = office.epoch.number
    monkeypatch.setattr(EpochWatch, "_take", take_late)
    monkeypatch.setattr(Producer, "_open", open_late)
    with office.router():
        office.wait_routed()
    assert office.values(office.inbox("revoked"))[0] == []
    assert office.values(office.inbox("always"))[0] == given


def test_of_two_routers_with_one_name_one_gives_up(office: Office) -> None:
    office.adopt(office.grant("whole"))
    failed: list[BaseException] = []
    stop = threading.Event()

    def twin() -> None:
        try:
            Router(office.routers, f"{office.owner}.twin", routing.KEY).run(stop)
        except BaseException as error:
            failed.append(error)

    with going_on(publishing(office)):
        twins = [threading.Thread(target=twin, daemon=True) for _ in range(2)]
        for each in twins:
            each.start()
        wait_until(lambda: bool(failed), "one of them gives up")
    office.wait_routed()
    stop.set()
    for each in twins:
        each.join(60)
    assert [type(error) for error in failed] == [DuplicateInstanceError]
    assert office.values(office.inbox("whole")) == office.values(office.topic)


def test_grants_begin_and_end_at_the_citys_midnight_by_the_brokers_clock(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.adopt(office.grant("always"))
    with ExitStack() as routers:
        # The clock of one is a day slow, that of the other a day fast.
        for name, wrong_s in (("slow", -DAY_S), ("fast", DAY_S)):
            routers.enter_context(office.router(name, clock=partial(wrong_time, wrong_s)))
        office.wait_adopted(2)
        midnight = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
        day = midnight.date()
        # The city is moved to where a day ends 6 s from now.
        city = timezone(datetime.combine(day, dt_time(), UTC) - midnight)
        monkeypatch.setattr(period, "CITY_TIME", city)
        early, late = {"until": day - timedelta(days=1)}, {"from": day}
        office.adopt(office.grant("always"), office.grant("early", **early), office.grant("late", **late))
        office.wait_adopted(2)
        count = 0
        while datetime.now(UTC) < midnight + timedelta(seconds=1):
            for partition in range(PARTITIONS):
                office.publish([value(cents=count)], partition=partition)
            count += 1
        office.wait_routed()
    given = [value(cents=i) for i in range(count)]
    entries = [entry for entry in office.entries() if entry.epoch == office.epoch.number and not entry.is_adoption]
    assert {entry.router for entry in entries} == {f"{office.owner}.slow", f"{office.owner}.fast"}
    for partition in range(PARTITIONS):
        by_time: dict[bool, list[tuple[str, ...]]] = {False: [], True: []}
        for entry in entries:
            if entry.partition == partition:
                [outcome] = entry.outcomes
                by_time[entry.time_ms >= midnight.timestamp() * 1000] += [outcome.grants] * outcome.delivered
        assert set(by_time[False]) == {("always", "early")}
        assert set(by_time[True]) == {("always", "late")}
        assert office.values(office.inbox("early"))[partition] == given[: len(by_time[False])]
        assert office.values(office.inbox("late"))[partition] == given[len(by_time[False]) :]


def wrong_time(by_s: int) -> float:
    """What a clock shows that is wrong by so many seconds."""
    return time.time() + by_s


def test_aborted_source_transactions_are_never_delivered(office: Office) -> None:
    office.adopt(office.grant("whole"))
    producer = office.producer(transactional_id=office.owner)
    producer.init_transactions(30)
    committed = []
    with office.router():
        for i in range(30):
            producer.begin_transaction()
            for j in range(5):
                producer.produce(office.topic, value(cents=10 * i + j), b"k", partition=i % PARTITIONS)
            if i % 3 == 1:
                producer.flush()
                producer.abort_transaction(30)
            else:
                committed += [value(cents=10 * i + j) for j in range(5)]
                producer.commit_transaction(30)
        office.wait_routed()
    found = office.values(office.inbox("whole"))
    assert sorted(v for values in found for v in values if v) == sorted(committed)
    assert found == office.values(office.topic)
    assert sum(entry.count for entry in office.entries() if not entry.is_adoption) == len(committed)


def test_routers_that_join_and_leave_share_the_work_without_loss(office: Office) -> None:
    office.adopt(office.grant("whole"), office.grant("narrow", fields=("cents",)))
    with ExitStack() as routers:
        with going_on(publishing(office)):
            routers.enter_context(office.router("a"))
            wait_until(lambda: works(office, "a"), "the first router works")
            with office.router("b"):
                wait_until(lambda: works(office, "b"), "the second router works")
                routers.enter_context(office.router("c"))
                office.wait_adopted(3)
            wait_until(lambda: works(office, "c"), "the third router takes the place of the second")
        office.wait_routed()
    source = office.values(office.topic)
    assert sum(map(len, source)) > 100
    for partition, (found, due) in enumerate(zip(office.values(office.inbox("whole")), source, strict=True)):
        wrong = {"lost": len(set(due) - set(found)), "twice": len(found) - len(set(found))}
        assert (partition, wrong) == (partition, {"lost": 0, "twice": 0})
        assert found == due
    assert list(map(len, office.values(office.inbox("narrow")))) == list(map(len, source))


def works(office: Office, instance: str) -> bool:
    """Whether that router has routed records."""
    name = f"{office.owner}.{instance}"
    return any(entry.router == name and not entry.is_adoption for entry in office.entries())


def publishing(office: Office) -> Callable[[], None]:
    """A turn that publishes some records."""
    producer, numbers = office.producer(), itertools.count()

    def publish() -> None:
        for number in itertools.islice(numbers, 20):
            producer.produce(office.topic, value(cents=number), b"k", partition=number % PARTITIONS)
        producer.flush()

    return publish
