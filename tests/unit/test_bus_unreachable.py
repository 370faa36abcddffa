"""A client that cannot reach Kafka leaves nothing behind, however often it is tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from exchange.bus import Cluster, admin
from exchange.bus.admin import Admin
from exchange.bus.connection import BusUnavailableError
from exchange.bus.consume import Consumer
from exchange.bus.produce import Producer
from exchange.bus.topics import TopicAppender
from tests.rigs.brokers import free_port


@pytest.mark.parametrize(
    "client", [Admin, Consumer, lambda cluster: Producer(cluster, "t"), lambda cluster: TopicAppender(cluster, "t")]
)
def test_a_client_that_cannot_connect_leaves_no_thread(
    client: Callable[[Cluster], Any], monkeypatch: pytest.MonkeyPatch, unique: str
) -> None:
    monkeypatch.setattr(admin, "_BOOTSTRAP_MS", 50)
    for kafka_client in (KafkaConsumer, KafkaProducer):
        monkeypatch.setitem(kafka_client.DEFAULT_CONFIG, "bootstrap_timeout_ms", 50)
    with pytest.raises(BusUnavailableError):
        client(Cluster(f"127.0.0.1:{free_port()}", unique))
    assert [thread.name for thread in threading.enumerate() if unique in thread.name] == []
