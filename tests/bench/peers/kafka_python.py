"""kafka-python record by record, in transactions: the plain way in pure Python."""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from tests.bench.peers.task import Task

PER_TRANSACTION = 5_000


def main(task: Task) -> None:
    consumer = KafkaConsumer(
        bootstrap_servers=task.servers,
        group_id=task.name,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=PER_TRANSACTION,
        max_partition_fetch_bytes=4 << 20,
        check_crcs=False,
        metrics_enabled=False,
    )
    producer = KafkaProducer(
        bootstrap_servers=task.servers,
        transactional_id=task.name,
        acks="all",
        linger_ms=5,
        batch_size=512 << 10,
        retry_backoff_ms=5,
        metrics_enabled=False,
    )
    producer.init_transactions()
    consumer.subscribe([task.source])
    deliver = task.deliver()
    while True:
        for place, records in consumer.poll(timeout_ms=100).items():
            producer.begin_transaction()
            for record in records:
                for inboxes, key, value in deliver(record.key, record.value):
                    for inbox in inboxes:
                        producer.send(inbox, value, key, partition=0, timestamp_ms=record.timestamp)
            position = OffsetAndMetadata(records[-1].offset + 1, "", -1)
            producer.send_offsets_to_transaction(
                {TopicPartition(place.topic, place.partition): position}, consumer.group_metadata()
            )
            producer.commit_transaction()


if __name__ == "__main__":
    main(Task.from_arguments())
