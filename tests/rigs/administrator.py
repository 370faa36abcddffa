"""What an administrator plans and publishes on a real Kafka, and a router that answers."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from exchange import names
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer
from exchange.bus.produce import Producer, Transaction
from exchange.bus.topics import TopicAppender
from exchange.contract.load import Loaded
from exchange.contract.model import Epoch
from exchange.epochs import epoch_in_force, publish_epoch
from exchange.ledger import entry as ledger
from exchange.ledger.body import encode
from exchange.plan.apply import read_actual
from exchange.plan.plan import Plan, make_plan
from exchange.plan.topics import LEDGER_PARTITIONS
from exchange.records.build import pack
from exchange.schema import avro, wire
from tests.rigs.plain import wait_until

LEDGER = avro.load(ledger.SCHEMA_FILE)


class Adopter:
    """What a router does for the barrier: it is in the group, has a producer and says that it takes an epoch."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = f"{names.ROUTER_GROUP}.{name}"
        self._instance = name
        self._cluster = replace(cluster, client_id=self.name)

    def __enter__(self) -> Self:
        self.out = Producer(self._cluster, self.name)
        self._stop = threading.Event()
        self._member = threading.Thread(target=self._poll, daemon=True)
        self._member.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.out.discard()
        self._stop.set()
        self._member.join()

    def _poll(self) -> None:
        with Consumer(self._cluster, topics=["subject.tax.income"], group=names.ROUTER_GROUP) as consumer:
            while not self._stop.is_set():
                consumer.poll(0.1)

    def join(self) -> None:
        """Return when it is in the group."""
        with Admin(self._cluster) as admin:
            wait_until(lambda: self.name in admin.clients(names.ROUTER_GROUP), f"{self.name} joins")

    def adopt(self, epoch: int) -> None:
        """Say what a router says when it takes an epoch."""
        with self.out.transaction() as transaction:
            self.say(transaction, epoch)

    def say(self, transaction: Transaction, epoch: int) -> None:
        """The same, not yet committed."""
        value = wire.pack(1, encode(ledger.adoption(epoch, self._instance, 0, 0)))
        partition = ledger.ledger_partition(names.CONTRACT_TOPIC, 0, LEDGER_PARTITIONS)
        transaction.send(
            names.LEDGER_TOPIC, partition, pack([ledger.record_key(names.CONTRACT_TOPIC, 0)], [value], [0])
        )


def publish_one(cluster: Cluster, epoch: Epoch) -> None:
    with TopicAppender(cluster, names.CONTRACT_TOPIC) as out:
        publish_epoch(out, epoch)


def publish_again(cluster: Cluster) -> None:
    """The epoch in force again, as the next one."""
    epoch = epoch_in_force(cluster)
    publish_one(cluster, epoch.model_copy(update={"number": epoch.number + 1, "time": datetime.now(UTC)}))


def plan_of(cluster: Cluster, contract: Loaded, delete: tuple[str, ...] = ()) -> Plan:
    return make_plan(contract, read_actual(cluster), LEDGER, datetime.now(UTC), delete=delete)
