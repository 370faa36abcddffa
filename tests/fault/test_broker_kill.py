"""The local broker is killed while it ends a transaction: it ends it when it is there again."""

from __future__ import annotations

import os
import signal

import pytest
from confluent_kafka import KafkaException, Producer

from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.topic import Topic
from tests.rigs import plain
from tests.rigs.clients import librdkafka

PARTITIONS = 100  # so many that their markers take a while


@pytest.mark.parametrize("ends", ["commit", "abort"])
def test_a_broker_killed_while_it_ends_a_transaction_ends_it_later(
    fresh_broker: LocalBroker, fresh_cluster: Cluster, unique: str, ends: str
) -> None:
    kafka = librdkafka(fresh_cluster)
    with Admin(fresh_cluster) as admin:
        admin.create({unique: Topic(PARTITIONS, 1)})
    producer = Producer({**kafka, "transactional.id": unique, "linger.ms": 50})
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(unique, b"value", partition=partition)
    producer.flush(30)
    if ends == "commit":
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)
    pid = fresh_broker.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    fresh_broker.start()
    del producer
    plain.wait_until(lambda: is_led(kafka, unique), "the topic is led again")
    assert len(list(plain.read(kafka, unique))) == (PARTITIONS if ends == "commit" else 0)


def is_led(kafka: plain.Kafka, topic: str) -> bool:
    try:
        return len(plain.ends(kafka, topic)) == PARTITIONS
    except KafkaException:
        return False
