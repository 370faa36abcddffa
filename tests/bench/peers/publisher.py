"""Publish records of the workload at a steady rate, each stamped with the moment it is handed to the client."""

from __future__ import annotations

import itertools
import sys
import time

from confluent_kafka import Producer

from tests.bench.peers.task import Task
from tests.bench.workload import distinct_records, encoded

TICK_S = 0.002


def main(task: Task, rate_per_s: int) -> None:
    producer = Producer({"bootstrap.servers": task.servers, "enable.idempotence": True, "linger.ms": 2})
    records = itertools.cycle(zip(*encoded(distinct_records(200)), strict=True))
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * rate_per_s)
        for key, value in itertools.islice(records, due - sent):
            producer.produce(task.source, value, key, 0, timestamp=int(time.time() * 1000))
        sent = due
        producer.poll(0)
        time.sleep(TICK_S)


if __name__ == "__main__":
    main(Task.from_arguments(), int(sys.argv[2]))
