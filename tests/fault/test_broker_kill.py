"""The local broker is killed while it ends a transaction: it ends it when it is there again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException, Producer

from exchange.broker import LocalBroker
from exchange.bus.admin import Admin
from exchange.bus.topic import Topic
from tests.clients import librdkafka
from tests.fault import plain

PARTITIONS = 100  # so many that their markers take a while
TOPIC = "many"


@pytest.mark.parametrize("ends", ["commit", "abort"])
def test_a_broker_killed_while_it_ends_a_transaction_ends_it_later(
    broker_of: Callable[[], LocalBroker], ends: str
) -> None:
    broker = broker_of()
    cluster = broker.cluster("exchange.tests")
    kafka = librdkafka(cluster)
    with Admin(cluster) as admin:
        admin.create({TOPIC: Topic(PARTITIONS, 1)})
    producer = Producer({**kafka, "transactional.id": "t", "linger.ms": 50})
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(TOPIC, b"value", partition=partition)
    producer.flush(30)
    if ends == "commit":
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)
    pid = broker.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    broker.start()
    del producer
    plain.wait_until(lambda: is_led(kafka), "the topic is led again")
    assert len(list(plain.read(kafka, TOPIC))) == (PARTITIONS if ends == "commit" else 0)


def is_led(kafka: plain.Kafka) -> bool:
    try:
        return len(plain.ends(kafka, TOPIC)) == PARTITIONS
    except KafkaException:
        return False
