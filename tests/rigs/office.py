"""Routers on a real cluster: epochs published by hand, routers as threads, topics read by another client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from exchange import names
from exchange.audit.gaps import open_gaps
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer
from exchange.bus.topics import TopicAppender, publish, read_all
from exchange.contract import epoch as epochs
from exchange.contract.model import Epoch, Grant, Resync
from exchange.epochs import Newest
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry
from exchange.plan.access import wanted_access
from exchange.plan.topics import wanted
from exchange.router.gaps import accept
from exchange.router.loop import Router
from exchange.schema import wire
from tests.rigs import plain, routing
from tests.rigs.clients import librdkafka
from tests.rigs.place import Place
from tests.rigs.plain import Read

PARTITIONS = 2


class Office:
    """The subject `<owner>.income` on a cluster, with the routers that are asked for.

    `routers` is the cluster as they see it, with the rules that a router's principal has; without it they
    are administrators.
    """

    def __init__(self, cluster: Cluster, owner: str, routers: Cluster | None = None) -> None:
        self.cluster = cluster
        self.routers = routers or cluster
        self.kafka = librdkafka(cluster)
        self.owner = owner
        self.subject = f"{owner}.income"
        self.topic = names.subject_topic(self.subject)
        self.epoch: Epoch

    def grant(self, name: str, **changes: Any) -> Grant:
        """A grant of the subject to the department `name`, always in force unless said otherwise."""
        days = {"from": "2020-01-01", "until": "2099-12-31"}
        return routing.grant(name, **({"subject": self.subject} | days | changes))

    def adopt(self, *grants: Grant, key: tuple[str, ...] = ()) -> Epoch:
        """Make the topics and publish the next epoch with these grants; `key` is the subject's."""
        last = getattr(self, "epoch", None)
        number = 1 + sum(1 for _ in read_all(self.cluster, names.CONTRACT_TOPIC))
        self.epoch = routing.epoch(*grants, number=number, owner=self.owner, key=key)
        with Admin(self.cluster) as admin:
            there = plain.topics(self.kafka)
            admin.create({n: t for n, t in wanted(self.epoch.contract).items() if n not in there})
            if self.routers is not self.cluster:
                admin.allow(wanted_access(self.epoch.contract))
        inboxes = epochs.inboxes_after(last, self.epoch.time)
        self.epoch = self.epoch.model_copy(update={"inboxes": inboxes})
        self.epoch = self.epoch.model_copy(update={"resyncs": epochs.resyncs_after(last, self.epoch)})
        with Consumer(self.cluster) as consumer:
            topic_ids = consumer.topic_ids([self.topic])
        self.epoch = self.epoch.model_copy(update={"topic_ids": topic_ids})
        publish(self.cluster, names.CONTRACT_TOPIC, [(epochs.key(number), epochs.encode(self.epoch))])
        return self.epoch

    def resync(self, resync: Resync) -> None:
        """Publish the next epoch, which asks for this too."""
        epoch = epochs.resyncing(self.epoch, resync, datetime.now(UTC))
        assert epoch is not None
        self.epoch = epoch
        publish(self.cluster, names.CONTRACT_TOPIC, [(epochs.key(epoch.number), epochs.encode(epoch))])

    def accept_gaps(self) -> None:
        """Say that the routers go on behind what was deleted before they decided it."""
        with Consumer(self.cluster, isolation="read_uncommitted") as consumer:
            newest = Newest(consumer)
            found = newest.find()
            assert found is not None
            with TopicAppender(self.cluster, names.CONTRACT_TOPIC) as out:
                gaps = open_gaps(self.cluster, found)
                assert accept(out, newest, gaps, "a person", "a test", datetime.now(UTC))

    @contextmanager
    def router(
        self,
        instance: str = "1",
        *,
        clock: Callable[[], float] = time.time,
        pseudonym_key: bytes = routing.PSEUDONYM_KEY,
    ) -> Iterator[Router]:
        """A router at work until the block ends, when it leaves its group."""
        router = Router(
            self.routers,
            f"{self.owner}.{instance}",
            routing.KEY,
            pseudonym_key=pseudonym_key,
            clock=clock,
        )
        stop = threading.Event()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                router.run(stop)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, name=instance, daemon=True)
        thread.start()
        try:
            yield router
        finally:
            stop.set()
            thread.join(60)
        assert not thread.is_alive(), "the router does not stop"
        assert not failed, failed

    def place(self, folder: Path) -> Place:
        """A folder in which the command `exchange` runs routers of this cluster."""
        return Place(folder, self.cluster)

    def publish(
        self, values: Iterable[bytes | None], *, partition: int = 0, key: bytes | None = b"440101", **settings: Any
    ) -> None:
        """Append records to one source partition with librdkafka; returns when all are acknowledged."""
        with plain.lent_producer(self._settings(settings)) as producer:
            for value in values:
                producer.produce(self.topic, value, key, partition=partition)
            assert producer.flush(60) == 0

    def producer(self, **settings: Any) -> Producer:
        """A client of librdkafka; names of settings have underscores for dots."""
        return Producer(self._settings(settings))

    def _settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        named = {name.replace("_", "."): setting for name, setting in settings.items()}
        return {**self.kafka, "linger.ms": 5, **named}

    def inbox(self, reader: str) -> str:
        """The topic of that reader's deliveries."""
        return names.inbox_topic(reader, self.subject)

    def read(self, topic: str, isolation: str = "read_committed") -> list[list[Read]]:
        """The topic's records, by partition."""
        found: list[list[Read]] = [[] for _ in range(PARTITIONS)]
        for record in plain.read(self.kafka, topic, isolation=isolation):
            found[record.partition].append(record)
        return found

    def values(self, topic: str) -> list[list[bytes | None]]:
        """The topic's values, by partition."""
        return [[record.value for record in records] for records in self.read(topic)]

    def entries(self) -> list[Entry]:
        """The committed ledger entries of the subject and of this office's routers' adoptions."""
        found = []
        for record in plain.read(self.kafka, names.LEDGER_TOPIC):
            entry = decode(bytes(wire.unpack(record.value or b"")[1]))
            if entry.topic == self.topic or (entry.is_adoption and entry.router.startswith(self.owner)):
                found.append(entry)
        return found

    def wait_routed(self, timeout_s: float = 60.0) -> None:
        """Return when every committed source record is routed."""
        source = self.read(self.topic)
        ends = {(self.topic, p): records[-1].offset + 1 for p, records in enumerate(source) if records}

        def done() -> bool:
            at = plain.committed(self.kafka, names.ROUTER_GROUP, ends)
            return all(at.get(place, 0) >= end for place, end in ends.items())

        plain.wait_until(done, "all records are routed", timeout_s)

    def wait_adopted(self, routers: int = 1) -> None:
        """Return when that many routers said in the ledger that they took the newest epoch."""

        def done() -> bool:
            return routers <= sum(e.is_adoption and e.epoch == self.epoch.number for e in self.entries())

        plain.wait_until(done, "the routers take the epoch")
