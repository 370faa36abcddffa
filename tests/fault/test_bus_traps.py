"""Three ways in which kafka-python 3.0.12 loses exactly-once silently, and the guards against them.

Each test was seen red with its guard removed; `docs/decisions/002-transactions.md` says how.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from kafka import KafkaConsumer, TopicPartition

from exchange.bus import Cluster, raw
from exchange.bus.admin import Admin
from exchange.bus.connection import BusUnavailableError, UnendedTransactionError
from exchange.bus.consume import Consumer, Membership
from exchange.bus.produce import FencedError, Producer, Transaction, TransactionDoubtError
from exchange.bus.topic import Topic
from exchange.bus.topics import read_all
from exchange.records.build import Batch, pack

DEADLINE_S = 30.0


@pytest.fixture
def topic(cluster: Cluster, unique: str) -> str:
    """A topic of two partitions."""
    with Admin(cluster) as admin:
        admin.create({unique: Topic(2, 1, {"retention.ms": "-1"})})
    return unique


def one(value: bytes) -> list[Batch]:
    return pack([b"k"], [value], [0])


def committed(cluster: Cluster, topic: str) -> list[bytes | None]:
    return [record.value for record in read_all(cluster, topic)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def wait_for_abort(cluster: Cluster, topic: str) -> None:
    """Wait until the broker has aborted the open transaction on the topic by itself."""
    place = {(topic, 0): 0}
    with Consumer(cluster, assignment=place, isolation="read_uncommitted", control=True) as consumer:
        seen: list[bool] = []

        def aborted() -> bool:
            seen.extend(not batch.committed for batch in consumer.poll(0.2) if batch.header.is_control)
            return any(seen)

        wait_until(aborted)


@pytest.mark.parametrize("guard", ["identity", "deadline"])
def test_trap_a_transaction_that_timed_out_at_the_broker_does_not_seem_committed(
    cluster: Cluster, topic: str, guard: str
) -> None:
    """Trap A: paused past the transaction timeout, then send and commit."""

    def paused(transaction: Transaction) -> None:
        transaction.send(topic, 0, one(b"before"))
        transaction.flush()
        wait_for_abort(cluster, topic)
        if guard == "identity":
            transaction._deadline += DEADLINE_S
        transaction.send(topic, 0, one(b"after"))

    with Producer(cluster, topic, timeout_s=2) as producer:
        with pytest.raises((TransactionDoubtError, BusUnavailableError, FencedError)):
            run(producer, paused)
        assert committed(cluster, topic) == []
        run(producer, lambda transaction: transaction.send(topic, 0, one(b"again")))
    assert committed(cluster, topic) == [b"again"]


def test_offsets_that_an_open_transaction_holds_back_are_called_so(
    cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "COMMITTED_S", 1)
    with Consumer(cluster, topics=[topic], group=topic) as member, Producer(cluster, topic) as producer:
        wait_until(lambda: not member.poll(0.1) and bool(member.assigned()))

        def asks(transaction: Transaction) -> None:
            transaction.send_offsets({(topic, 0): 1}, member.membership())
            with pytest.raises(UnendedTransactionError, match="holds offsets back"):
                member.committed([(topic, 0)])

        run(producer, asks)
        assert member.committed([(topic, 0)]) == {(topic, 0): 1}


def run(producer: Producer, write: Callable[[Transaction], None]) -> None:
    with producer.transaction() as transaction:
        write(transaction)


def test_trap_b_offsets_of_a_refused_transaction_are_not_committed_by_the_next(cluster: Cluster, topic: str) -> None:
    """Trap B: `send_offsets` refused for a stale generation, then the next transaction."""
    with Consumer(cluster, topics=[topic], group=topic) as member, Producer(cluster, topic) as producer:
        wait_until(lambda: not member.poll(0.1) and bool(member.assigned()))
        current = member.membership()
        stale = Membership(current.group, current.generation - 1, current.member)

        def refused(transaction: Transaction) -> None:
            transaction.send(topic, 0, one(b"refused"))
            transaction.send_offsets({(topic, 0): 77}, stale)

        def following(transaction: Transaction) -> None:
            transaction.send(topic, 0, one(b"next"))
            transaction.send_offsets({(topic, 1): 1}, member.membership())

        with pytest.raises(BusUnavailableError):
            run(producer, refused)
        run(producer, following)
    with_offsets = KafkaConsumer(**cluster.config(), group_id=topic)
    found = [with_offsets.committed(TopicPartition(topic, partition)) for partition in (0, 1)]
    with_offsets.close()
    assert found == [None, 1]
    assert committed(cluster, topic) == [b"next"]


def test_trap_c_commit_fails_where_a_delivery_was_not_acknowledged(cluster: Cluster, unique: str) -> None:
    """Trap C: a delivery whose partition is gone past the delivery timeout."""
    kept, gone = f"{unique}.kept", f"{unique}.gone"
    with Admin(cluster) as admin:
        admin.create({kept: Topic(1, 1, {"retention.ms": "-1"}), gone: Topic(1, 1, {})})

        def undelivered(transaction: Transaction) -> None:
            transaction.send(gone, 0, one(b"first"))
            transaction.flush()
            admin.delete(gone)
            metadata = transaction._client._metadata
            metadata.request_update()
            wait_until(lambda: metadata.leader_for_partition(TopicPartition(gone, 0)) in (None, -1))
            transaction._deadline += DEADLINE_S
            transaction.send(kept, 0, one(b"other"))
            transaction.send(gone, 0, one(b"lost"))

        with Producer(cluster, unique, timeout_s=3) as producer, pytest.raises(BusUnavailableError):
            run(producer, undelivered)
    assert committed(cluster, kept) == []
