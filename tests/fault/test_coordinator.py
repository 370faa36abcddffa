"""The broker dies while routers route and a grant is revoked: with it the coordinators of groups and transactions."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from confluent_kafka import Producer

from exchange.broker import LocalBroker
from exchange.epochs import epoch_in_force
from tests.fault.test_revocation import PARTITIONS, TEXT, record
from tests.rigs import plain
from tests.rigs.contracts import write
from tests.rigs.daemons import Daemon
from tests.rigs.place import Place
from tests.rigs.plain import Kafka, going_on, wait_until

SOURCE = "subject.tax.income"
REVOKE = [sys.executable, "-m", "exchange", "grant", "revoke", "g1", "--department", "tax", "--reason", "A test."]


def test_a_revocation_outlives_the_broker(private_broker: LocalBroker, tmp_path: Path) -> None:
    place = Place(tmp_path, private_broker.cluster("exchange.tests"))
    write(tmp_path, TEXT)
    place.exchange("apply", "--yes")
    epoch = epoch_in_force(place.cluster)
    with ExitStack() as stack:
        for name in ("1", "2"):
            router = Daemon(place, f"router-{name}", ["router", "run", "--instance", name])
            router.start()
            stack.callback(router.end)
        with publishing(place.kafka, record(epoch)):
            wait_until(lambda: any(ends(place, "civil")), "records are routed")
            with subprocess.Popen(
                REVOKE, env=place.environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as command:
                wait_until(lambda: "g1" not in (tmp_path / "topics.yaml").read_text(), "the command is at work")
                pid = private_broker.status().pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                private_broker.start()
                told = "\n".join(command.communicate(timeout=90))
            # It either did all of it, or says that it did not and what to do.
            assert command.returncode == 0 or ("error [" in told and "remedy: " in told), told
            again = place.exchange(*REVOKE[3:]) if command.returncode else told
            assert "No record is released under the earlier contract" in again
            barrier = ends(place, "civil")
            routed = count(place, "works")
            wait_until(lambda: count(place, "works") > routed, "records are routed again", pause_s=0.5)
        total = count(place)
        wait_until(lambda: count(place, "works") >= total, "all records are routed", pause_s=0.5)
        assert ends(place, "civil") == barrier, told
        assert numbers(place.kafka, "inbox.works.tax.income") == numbers(place.kafka, SOURCE)
        print(f"\nThe command: {told.strip()}")


def ends(place: Place, reader: str) -> list[int]:
    """Where the partitions of the reader's inbox end."""
    return list(plain.ends(place.kafka, f"inbox.{reader}.tax.income").values())


def count(place: Place, reader: str = "") -> int:
    """Records of the source, or of a reader's inbox."""
    return sum(map(len, numbers(place.kafka, f"inbox.{reader}.tax.income" if reader else SOURCE)))


def numbers(kafka: Kafka, topic: str) -> list[list[bytes | None]]:
    """The numbers that the records have for keys, by partition, in order."""
    found: list[list[bytes | None]] = [[] for _ in range(PARTITIONS)]
    for one in plain.read(kafka, topic):
        found[one.partition].append(one.key)
    return found


@contextmanager
def publishing(kafka: Kafka, value: bytes) -> Iterator[None]:
    """Publish numbered records all the time, each once, until the block ends."""
    producer, numbers = Producer({**kafka, "linger.ms": 5, "enable.idempotence": True}), itertools.count()

    def publish() -> None:
        for number in itertools.islice(numbers, 5):
            producer.produce(SOURCE, value, str(number).encode(), partition=number % PARTITIONS)
        producer.poll(0)

    with going_on(publish):
        yield
    assert producer.flush(60) == 0
