"""The limit: ready batches of whole records, fed to every inbox in transactions; nothing is read or built."""

from __future__ import annotations

import sys

from exchange.bus import Cluster
from exchange.bus.produce import Producer
from tests.bench.peers.task import Task
from tests.bench.workload import batches, distinct_records

BATCH_KB = 880  # what the router's own batches have
TRANSACTION_BYTES = 16 << 20


def main(task: Task, record_bytes: int) -> None:
    ready = batches(distinct_records(record_bytes), BATCH_KB, "none")
    ready *= max(1, TRANSACTION_BYTES // sum(batch.size_bytes for batch in ready))
    with Producer(Cluster(task.servers, task.name), task.name) as producer:
        while True:
            with producer.transaction() as transaction:
                for inbox in task.inboxes:
                    transaction.send(inbox, 0, [batch.twin() for batch in ready])


if __name__ == "__main__":
    main(Task.from_arguments(), int(sys.argv[2]))
