"""confluent-kafka (librdkafka) in a transactional loop, with fastavro for projecting views."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.bench.peers.task import Task

PER_TRANSACTION = 20_000


def main(task: Task) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": task.servers,
            "group.id": task.name,
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
            "bootstrap.servers": task.servers,
            "transactional.id": task.name,
            "linger.ms": 2,
            "retry.backoff.ms": 5,
            "batch.size": 1_000_000,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )
    producer.init_transactions()
    consumer.subscribe([task.source])
    deliver, produce = task.deliver(), producer.produce
    while True:
        messages = consumer.consume(PER_TRANSACTION, timeout=0.1)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            for inboxes, key, value in deliver(message.key(), message.value() or b""):
                for inbox in inboxes:
                    produce(inbox, value, key, 0)
        position = [TopicPartition(task.source, 0, (messages[-1].offset() or 0) + 1)]
        producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata())
        producer.commit_transaction()


if __name__ == "__main__":
    main(Task.from_arguments())
