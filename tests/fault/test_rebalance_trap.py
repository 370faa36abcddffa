"""A fourth trap of kafka-python 3.0.12: a partition that a member keeps in a rebalance keeps its position too."""

from __future__ import annotations

import threading

from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer, records
from exchange.bus.topics import publish
from exchange.contract.topics import Topic
from tests.fault.plain import wait_until


def test_d_a_partition_that_stays_is_read_again_from_its_committed_offset(cluster: Cluster, unique: str) -> None:
    """Trap D: what was polled and not committed when a second member joins; seen red without `forget_assignment`."""
    with Admin(cluster) as admin:
        admin.create({unique: Topic(2, 1, {})})
    for partition in (0, 1):
        publish(cluster, unique, [(None, b"%d" % n) for n in range(5)], partition=partition)
    revoked: list[set[tuple[str, int]]] = []
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
