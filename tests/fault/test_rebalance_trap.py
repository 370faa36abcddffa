"""Two traps of kafka-python 3.0.12 in rebalances; each test was seen red with its guard in `bus/raw.py` removed."""

from __future__ import annotations

import threading

from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer
from exchange.bus.record import records
from exchange.bus.topic import Topic
from exchange.bus.topics import publish
from exchange.names import Partition
from tests.rigs.plain import wait_until


def test_d_a_partition_that_stays_is_read_again_from_its_committed_offset(cluster: Cluster, unique: str) -> None:
    """Trap D: what was polled and not committed when a second member joins."""
    with Admin(cluster) as admin:
        admin.create({unique: Topic(2, 1, {"retention.ms": "-1"})})
    for partition in (0, 1):
        publish(cluster, unique, [(None, b"%d" % n) for n in range(5)], partition=partition)
    revoked: list[set[Partition]] = []
    seen: list[list[tuple[int, int]]] = [[], []]
    stop = threading.Event()

    def second() -> None:
        with Consumer(cluster, topics=[unique], group=unique) as member:
            while not stop.is_set():
                seen[1] += read(member)

    def read(member: Consumer) -> list[tuple[int, int]]:
        return [(r.partition, r.offset) for batch in member.poll(0.1) for r in records(batch)]

    with Consumer(cluster, topics=[unique], group=unique, on_revoked=revoked.append) as first:

        def polled(count: int) -> bool:
            seen[0] += read(first)
            return len(seen[0]) >= count

        wait_until(lambda: polled(10), "the first member reads everything, and commits nothing")
        thread = threading.Thread(target=second)
        thread.start()
        try:
            wait_until(lambda: polled(15) and len(seen[1]) == 5, "both read their partition from its beginning")
        finally:
            stop.set()
            thread.join()
    assert {(unique, 0), (unique, 1)} in revoked
    [kept] = {partition for partition, _ in seen[0][10:]}
    assert seen[0][10:] == [(kept, offset) for offset in range(5)]
    assert seen[1] == [(1 - kept, offset) for offset in range(5)]


def test_e_a_join_that_outlives_a_poll_is_completed(cluster: Cluster, unique: str) -> None:
    """Trap E: new metadata alone makes the leader join again, and another member takes longer than its poll."""
    with Admin(cluster) as admin:
        admin.create({unique: Topic(2, 1, {"retention.ms": "-1"})})
    go_on, stop = threading.Event(), threading.Event()
    go_on.set()
    shares: list[int] = []

    def second() -> None:
        with Consumer(cluster, topics=[unique], group=unique) as member:
            while not stop.is_set():
                if go_on.wait(0.1):
                    member.poll(0.1)
                    shares.append(len(member.assigned()))

    with Consumer(cluster, topics=[unique], group=unique) as first:

        def shared() -> bool:
            first.poll(0.1)
            return len(first.assigned()) == 1 and shares[-1:] == [1]

        wait_until(lambda: not first.poll(0.1) and len(first.assigned()) == 2, "the first member leads")
        thread = threading.Thread(target=second)
        thread.start()
        try:
            wait_until(shared, "both have a share")
            generation = first.membership().generation
            go_on.clear()
            first._consumer._coordinator._assignment_snapshot = {}  # as if partitions had been added
            first._consumer.poll(timeout_ms=50)
            go_on.set()
            turns = len(shares) + 30
            wait_until(lambda: len(shares) > turns, "the second member joins, between polls of the first")
            wait_until(shared, "both have a share again", 20)
            assert first.membership().generation > generation
        finally:
            stop.set()
            thread.join()
