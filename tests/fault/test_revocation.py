"""Grants are revoked under full load while routers stand still or die: not one record more is released.

`REVOCATIONS` says how many the siege has. Prints how long the command took, as its user waits for it.
"""

from __future__ import annotations

import io
import os
import random
import statistics
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import fastavro
import pytest
from confluent_kafka import Producer

from exchange import names
from exchange.broker import LocalBroker
from exchange.bus.topics import TopicAppender
from exchange.contract.model import Epoch
from exchange.epochs import epoch_in_force, publish_epoch
from tests.rigs import plain
from tests.rigs.brokers import CLIENT
from tests.rigs.contracts import CONTRACT, INCOME, write
from tests.rigs.daemons import Daemon
from tests.rigs.place import Place
from tests.rigs.plain import wait_until

REVOCATIONS = int(os.environ.get("REVOCATIONS", "20"))
RATE = 50_000  # records a second
PARTITIONS = 8
TURN_S = 0.01
QUEUED = 100_000
"""Of the load, at most so many records wait for the broker."""
LATER_S = 0.4  # so long is delivered to the other reader before the revoked one's inbox is looked at again
PAUSE, KILL = "pause", "kill"
TROUBLES = {0: PAUSE, 2: KILL, 5: PAUSE, 10: PAUSE, 15: PAUSE}  # by turn, of twenty

WORKS = """\
  - id: works
    title: {zh: 建设局, en: Works}
    credit_code: 11440100MBX04FA1X4
subjects:
"""
STEADY = """\
  - id: steady
    subject: tax.income
    reader: works
    purpose: {code: aid, basis: Regulation 1, text: To verify an income.}
    fields: [resident_id]
    from: 2020-01-01
    until: 2099-12-31
"""
TEXT = (
    CONTRACT.replace("subjects:\n", WORKS)
    .replace("    share:", f"    topic: {{partitions: {PARTITIONS}}}\n    share:")
    .replace("from: 2026-01-01\n    until: 2026-12-31", "from: 2020-01-01\n    until: 2099-12-31")
) + STEADY


class Load(threading.Thread):
    """Publishes the same record to all partitions until it is stopped: `RATE` times a second, or as often as it can."""

    def __init__(self, kafka: dict[str, str], value: bytes) -> None:
        super().__init__(name="load", daemon=True)
        self.published = 0
        self.began = time.monotonic()
        self._value = value
        self._ended = threading.Event()
        self._producer = Producer({**kafka, "linger.ms": 5, "queue.buffering.max.messages": 2 * QUEUED})

    def run(self) -> None:
        while not self._ended.wait(TURN_S):
            due = min(int((time.monotonic() - self.began) * RATE) - self.published, RATE, self._room())
            for n in range(due):
                self._producer.produce("subject.tax.income", self._value, b"k", partition=n % PARTITIONS)
            self._producer.poll(0)
            self.published += due
        assert self._producer.flush(60) == 0

    def _room(self) -> int:
        """What may be published now: a busy machine is behind, and a queue that is full ends the thread."""
        return QUEUED - len(self._producer)

    def stop(self) -> float:
        """The records published per second."""
        rate = self.published / (time.monotonic() - self.began)
        self._ended.set()
        self.join()
        return rate


@pytest.mark.timeout(240 + 8 * REVOCATIONS)
@pytest.mark.siege
def test_no_record_is_released_after_a_revocation(private_broker: LocalBroker, tmp_path: Path) -> None:
    place = Place(tmp_path, private_broker.cluster(CLIENT))
    write(tmp_path, TEXT)
    place.exchange("apply", "--yes")
    granted, chance = epoch_in_force(place.cluster), random.Random(5)
    routers = [Daemon(place, f"router-{n}", ["router", "run", "--instance", str(n)]) for n in (1, 2)]
    load = Load(place.kafka, record(granted))
    took: dict[str, list[float]] = {}
    with ExitStack() as ends:
        for router in routers:
            router.start()
            ends.callback(router.end)
        load.start()
        for turn in range(REVOCATIONS):
            wait_for_more(place, "civil", 1)
            trouble = TROUBLES.get(turn % 20)
            time.sleep(chance.uniform(0, 0.1))  # at any moment of a transaction
            victim = chance.choice(routers)
            if trouble == PAUSE:
                victim.pause()
            elif trouble == KILL:
                victim.kill()
                victim.start()
            began = time.monotonic()
            told = place.exchange("grant", "revoke", "g1", "--department", "tax", "--reason", "A test.")
            took.setdefault(trouble or "undisturbed", []).append(time.monotonic() - began)
            barrier = inbox(place, "civil")
            if trouble == PAUSE:
                assert f"exchange.router.{victim.name[-1]}" in told.partition("did not answer")[2]
                victim.resume()
            wait_for_more(place, "works", int(LATER_S * RATE))
            assert inbox(place, "civil") == barrier, f"released after revocation {turn} ({trouble}): {told}"
            grant_again(place, granted)
        reached = load.stop()
        for router in routers:
            router.stop()
    print(f"\n{REVOCATIONS} revocations at {reached:,.0f} records/s; seconds until the command returned:")
    for kind, seconds in {"all": [one for some in took.values() for one in some], **took}.items():
        percentile = statistics.quantiles([*seconds, *seconds], n=100, method="inclusive")
        print(f"  {kind} ({len(seconds)}): p50 {percentile[49]:.2f}, p99 {percentile[98]:.2f}, most {max(seconds):.2f}")


def record(epoch: Epoch) -> bytes:
    """A valid record of the subject, in the wire format."""
    schema = {"type": "record", "name": "Income", "namespace": "tax", "fields": INCOME}
    body = io.BytesIO()
    content = {"resident_id": "440101", "year": 2026, "amount": Decimal("10.00"), "status": "filed", "filed_on": None}
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), content)
    return b"\0" + epoch.writers["tax.income"][-1].to_bytes(4, "big") + body.getvalue()


def inbox(place: Place, reader: str) -> dict[int, int]:
    """Where the reader's inbox ends, whatever is committed of it."""
    return plain.ends(place.kafka, f"inbox.{reader}.tax.income")


def wait_for_more(place: Place, reader: str, records: int) -> None:
    """Return when that many more offsets are in the reader's inbox."""
    start = sum(inbox(place, reader).values())
    wait_until(lambda: sum(inbox(place, reader).values()) >= start + records, f"more is delivered to {reader}")


def grant_again(place: Place, granted: Epoch) -> None:
    """The contract as it was before the revocation, as the next epoch and in the file."""
    number = epoch_in_force(place.cluster).number + 1
    again = granted.model_copy(update={"number": number, "time": datetime.now(UTC)})
    with TopicAppender(place.cluster, names.CONTRACT_TOPIC) as out:
        publish_epoch(out, again)
    write(place.folder, TEXT)
