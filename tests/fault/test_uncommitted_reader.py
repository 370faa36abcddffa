"""Whatever a reader can see, even of a transaction that aborts, the ledger holds already."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from exchange import names
from exchange.bus import Cluster
from exchange.bus.connection import BusUnavailableError
from exchange.bus.produce import Transaction
from exchange.ledger.body import decode
from exchange.ledger.entry import delivered_mask
from exchange.plan.topics import LEDGER_PARTITIONS
from exchange.router.write import Decided, Writer
from exchange.schema import avro, wire
from tests.rigs import plain
from tests.rigs.daemons import Daemon
from tests.rigs.office import PARTITIONS, Office
from tests.rigs.plain import wait_until
from tests.rigs.routing import NEW, SCHEMAS, value

READERS = ("whole", "narrow", "local")
FAILURES = 10


class Watch(threading.Thread):
    """A reader that uses read_uncommitted; each time it sees records, it asks the ledger about them at once.

    `seen` counts records, `unledgered` those that no entry on the ledger topic, committed or not,
    said to be delivered. Records bear the partition and offset of their source in `cents`.
    """

    def __init__(self, office: Office) -> None:
        super().__init__(daemon=True)
        self.seen = 0
        self.unledgered = 0
        self._office = office
        self._ended = threading.Event()
        self._ledgered: dict[str, set[int]] = {reader: set() for reader in READERS}
        self._at = dict.fromkeys(range(LEDGER_PARTITIONS), 0)
        schemas = {view: avro.parse(office.epoch.schemas[view]) for view in office.epoch.views.values()}
        self._schemas: Mapping[int, Any] = SCHEMAS | schemas

    def run(self) -> None:
        inboxes = self._reading([self._office.inbox(reader) for reader in READERS], PARTITIONS)
        ledger = self._reading([names.LEDGER_TOPIC], LEDGER_PARTITIONS)
        while not self._ended.is_set():
            messages = [m for m in inboxes.consume(1000, 0.05) if not m.error()]
            if messages:
                self._catch_up(ledger)
                for message in messages:
                    self._judge(message.topic().split(".")[1], message.value())
        inboxes.close()
        ledger.close()

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self.join(30)

    def _reading(self, topics: list[str], partitions: int) -> Consumer:
        client = plain.consumer(self._office.kafka, isolation="read_uncommitted")
        client.assign([TopicPartition(topic, p, 0) for topic in topics for p in range(partitions)])
        return client

    def _catch_up(self, ledger: Consumer) -> None:
        """Read the ledger to where it ends now."""
        ends = plain.ends(self._office.kafka, names.LEDGER_TOPIC)
        while any(self._at[p] < end for p, end in ends.items()):
            for message in ledger.consume(1000, 0.05):
                self._at[message.partition()] = message.offset() + (not message.error())
                if not message.error():
                    self._note(message.value())

    def _note(self, raw: bytes) -> None:
        entry = decode(bytes(wire.unpack(raw)[1]))
        for outcome in entry.outcomes if entry.topic == self._office.topic else ():
            rows = delivered_mask(entry, outcome).nonzero()[0].tolist()
            for grant in outcome.grants:
                self._ledgered[grant] |= {number(entry.partition, entry.offset(row)) for row in rows}

    def _judge(self, reader: str, raw: bytes) -> None:
        schema_id, body = wire.unpack(raw)
        self.seen += 1
        self.unledgered += avro.decode(self._schemas[schema_id], body)["cents"] not in self._ledgered[reader]


def number(partition: int, offset: int) -> int:
    """What stands for a source record."""
    return partition * 1_000_000_000 + offset


@pytest.fixture
def office(own_cluster: Cluster, unique: str) -> Office:
    made = Office(own_cluster, unique)
    local = made.grant("local", where={"district": {"prefix": "4401"}})
    made.adopt(made.grant("whole"), made.grant("narrow", fields=("cents",)), local)
    return made


@contextmanager
def watched(office: Office) -> Iterator[Watch]:
    """A source that publishes all the time, and a reader that watches what comes of it."""
    stop = threading.Event()

    def publish() -> None:
        offset = 0
        while not stop.wait(0.02):
            for partition in range(PARTITIONS):
                offsets = range(offset, offset + 20)
                given = [value(NEW, cents=number(partition, o), district=("4401", "3")[o % 2]) for o in offsets]
                office.publish(given, partition=partition, enable_idempotence=True)
            offset += 20

    watch, publisher = Watch(office), threading.Thread(target=publish)
    watch.start()
    publisher.start()
    try:
        yield watch
    finally:
        stop.set()
        publisher.join()
        watch.end()


def aborted(office: Office) -> int:
    """How many records the inboxes hold that no transaction committed."""
    inboxes = [office.inbox(reader) for reader in READERS]
    counts = [
        sum(len(part) for inbox in inboxes for part in office.read(inbox, isolation))
        for isolation in ("read_uncommitted", "read_committed")
    ]
    return counts[0] - counts[1]


def test_nothing_is_seen_before_the_ledger_has_it_where_transactions_fail(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, failures = random.Random(11), [0]
    send_offsets = Transaction.send_offsets

    def now_and_then(*arguments: Any) -> None:
        if failures[0] < FAILURES and chance.random() < 0.5:
            failures[0] += 1
            raise BusUnavailableError("as the test wants it")
        send_offsets(*arguments)

    monkeypatch.setattr(Transaction, "send_offsets", now_and_then)
    with office.router(), watched(office) as watch:
        wait_until(lambda: failures[0] == FAILURES, "transactions fail", 90)
        before = watch.seen
        wait_until(lambda: watch.seen > before + 100, "the router goes on")
    assert aborted(office) > 0
    assert watch.unledgered == 0


def test_nothing_is_seen_before_the_ledger_has_it_where_routers_are_killed(office: Office, tmp_path: Path) -> None:
    with watched(office) as watch:
        for moment in ("deliveries", "offsets"):
            arguments = [moment, "--instance", f"{office.owner}.1"]
            dying = Daemon(office.place(tmp_path), moment, arguments, "tests.rigs.fragile_router")
            dying.start()
            try:
                wait_until(lambda dying=dying: dying.status() is not None, "the router dies")
            finally:
                dying.end()
            assert dying.status() == -signal.SIGKILL, dying.tail()
        with office.router():
            before = watch.seen
            wait_until(lambda: watch.seen > before + 100, "the next router goes on")
    assert aborted(office) > 0
    assert watch.unledgered == 0


def test_the_watch_would_notice(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries before the ledger, and a failure between them: what the order prevents."""

    def deliveries_first(self: Writer, decided: Decided, schema_id: int) -> None:
        with self._out.transaction() as transaction:
            for made in decided.steps:
                for partition, batches in made.outputs.items():
                    transaction.send(*partition, batches)
            transaction.flush()
            raise BusUnavailableError("as the test wants it")

    monkeypatch.setattr(Writer, "decided", deliveries_first)
    with office.router(), watched(office) as watch:
        wait_until(lambda: watch.unledgered > 0, "the watch notices")
