"""The peer: confluent-kafka, tuned, in a transactional loop that only copies records to the readers.

Tuning: 1 MB batches, 2 ms linger, 64 MB of fetch queue, consume() in lists of up to 20,000, one
transaction per 20,000 records; headers and timestamps are not read. It checks nothing and logs nothing.
"""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, Producer, TopicPartition

PER_TRANSACTION = 20_000


def main(servers: str, group: str, source: str, inboxes: list[str]) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 65_536,
            "queued.min.messages": 200_000,
            "fetch.max.bytes": 52_428_800,
            "max.partition.fetch.bytes": 8_388_608,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": group,
            "linger.ms": 2,
            "batch.size": 1_000_000,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )
    producer.init_transactions()
    consumer.subscribe([source])
    while True:
        messages = consumer.consume(PER_TRANSACTION, timeout=0.1)
        if not messages:
            continue
        producer.begin_transaction()
        produce = producer.produce
        for message in messages:
            key, value = message.key(), message.value()
            for inbox in inboxes:
                produce(inbox, value, key, 0)
        last = messages[-1]
        position = [TopicPartition(source, last.partition(), last.offset() + 1)]
        producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata())
        producer.commit_transaction()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
