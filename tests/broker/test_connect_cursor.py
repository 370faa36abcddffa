"""The cursor topic is read to its real end, also behind another source's open transaction."""

from __future__ import annotations

import threading

import pytest

from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.produce import Producer
from exchange.bus.topic import Topic
from exchange.connect import cursor
from exchange.names import cursor_topic
from exchange.records.build import pack


@pytest.fixture
def department(cluster: Cluster, unique: str) -> str:
    with Admin(cluster) as admin:
        admin.create({cursor_topic(unique): Topic(1, 1, {"cleanup.policy": "compact"})})
    return unique


def commit(cluster: Cluster, department: str, subject: str, progress: dict[str, bytes | None]) -> None:
    keys, values = cursor.key_values(subject, progress)
    batches = pack(keys, values, [0] * len(keys))  # where kernels are compiled first, that takes longer than it may
    with (
        Producer(cluster, f"{department}.source.{subject}") as producer,
        producer.transaction() as transaction,
    ):
        transaction.send(cursor_topic(department), 0, batches)


def test_progress_is_what_was_committed_last(cluster: Cluster, department: str) -> None:
    commit(cluster, department, "a.x", {"one": b"1", "two": b"2"})
    commit(cluster, department, "a.x", {"one": None, "two": b"3"})
    commit(cluster, department, "a.xy", {"other": b"4"})
    assert cursor.read(cluster, department, "a.x") == {"two": b"3"}


def test_an_open_transaction_of_another_source_does_not_hide_what_is_committed(
    cluster: Cluster, department: str
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold_open() -> None:
        with Producer(cluster, f"{department}.source.slow") as producer, producer.transaction() as transaction:
            transaction.send(cursor_topic(department), 0, pack([b"slow/x"], [b""], [0]))
            transaction.flush()
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold_open)
    thread.start()
    assert entered.wait(30)
    commit(cluster, department, "a.x", {"position": b"7"})
    threading.Timer(1.0, leave.set).start()
    try:
        assert cursor.read(cluster, department, "a.x") == {"position": b"7"}
    finally:
        leave.set()
        thread.join()
