"""Reads small topics to their end, and appends a few records to them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from kafka import KafkaProducer

from exchange.bus import raw
from exchange.bus.connection import BusUnavailableError, Cluster, translated
from exchange.bus.consume import Consumer
from exchange.bus.record import Record, records_without_kernels
from exchange.names import Partition

# The topic's own max.message.bytes is the effective limit; exchange.contract has the largest.
MAX_RECORD_BYTES = 10 << 20


def read_all(cluster: Cluster, topic: str, *, timeout_s: float = 60.0) -> Iterator[Record]:
    """Every committed record of the topic up to its present end, partition by partition, in order.

    Waits for transactions that are open at the end: records committed after them would otherwise be missed. Yields
    nothing if the topic does not exist; raises BusUnavailableError if the end is not reached in time.
    """
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        partitions = [(topic, p) for p in consumer.partitions(topic)]
        if not partitions:
            return
        starts, ends = consumer.begin_offsets(partitions), consumer.end_offsets(partitions)
    with Consumer(cluster) as consumer:
        yield from read(consumer, starts, ends, timeout_s=timeout_s)


def read(
    consumer: Consumer,
    starts: Mapping[Partition, int],
    ends: Mapping[Partition, int],
    *,
    timeout_s: float = 60.0,
) -> Iterator[Record]:
    """The records of partitions from `starts` to before `ends`; raises BusUnavailableError if that takes too long."""
    deadline = time.monotonic() + timeout_s
    consumer.assign(starts)
    waiting = {tp for tp, start in starts.items() if start < ends[tp]}
    while waiting:
        if time.monotonic() > deadline:
            told = ", ".join(sorted({topic for topic, _ in waiting}))
            raise BusUnavailableError(f"the end of {told} was not reached in {timeout_s:.0f} s")
        for batch in consumer.poll(0.5):
            yield from records_without_kernels(batch)
        positions = consumer.positions()
        waiting = {tp for tp in waiting if positions.get(tp, (0, 0))[0] < ends[tp]}


class TopicAppender:
    """Appends records to one topic, acknowledged by all replicas, without a transaction.

    Once created, it knows the topic's metadata: each call of `publish` takes one round trip.
    """

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._topic = topic
        with translated(f"publish to {topic}"):
            self._client = KafkaProducer(
                **cluster.config(),
                acks="all",
                retry_backoff_ms=5,
                enable_idempotence=True,
                max_request_size=MAX_RECORD_BYTES,
                metrics_enabled=False,
            )
            try:
                self._client.partitions_for(topic)
            except BaseException:
                self.close()
                raise

    def publish(
        self, pairs: Sequence[tuple[bytes | None, bytes | None]], *, partition: int = 0, timeout_s: float = 30.0
    ) -> list[int]:
        """Append keys and values; return their offsets."""
        now = int(time.time() * 1000)
        with translated(f"publish to {self._topic}"):
            futures = [
                self._client.send(self._topic, key=key, value=value, partition=partition, timestamp_ms=now)
                for key, value in pairs
            ]
            return [future.get(timeout=timeout_s).offset for future in futures]

    def close(self) -> None:
        """Disconnect; what is not acknowledged by then may be published or not."""
        raw.discard(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def publish(
    cluster: Cluster, topic: str, pairs: Sequence[tuple[bytes | None, bytes | None]], *, partition: int = 0
) -> list[int]:
    """Append keys and values as a `TopicAppender` does; return their offsets."""
    with TopicAppender(cluster, topic) as out:
        return out.publish(pairs, partition=partition)
