"""One partition as a shared log: several processes append to it, and all read it in the same order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

from kafka import KafkaProducer

from exchange.bus import raw
from exchange.bus.connection import BusUnavailableError, Cluster, translated
from exchange.bus.consume import Consumer
from exchange.bus.record import Record, records_without_kernels
from exchange.records.header import RawBatch


class SharedLog:
    """A partition, read from the first record that the broker appended at or after `since_ms`.

    Records of a transaction are returned with the marker that commits it, so that an open transaction hides no other
    record. Every method raises the bus's errors; after one, the log reads on where it was.
    """

    def __init__(self, cluster: Cluster, topic: str, partition: int, *, since_ms: int, timeout_s: float = 15.0) -> None:
        self._place = (topic, partition)
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._open: dict[int, list[Record]] = {}
        self._producer: KafkaProducer | None = None
        with ExitStack() as stack:
            self._consumer = stack.enter_context(Consumer(cluster, isolation="read_uncommitted", control=True))
            if partition not in self._consumer.partitions(topic):
                raise BusUnavailableError(f"{topic} has no partition {partition}", remedy="run `exchange apply`")
            self.position = self._consumer.offsets_at([self._place], since_ms)[self._place]
            self._consumer.assign({self._place: self.position})
            self._clients = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._discard()
        self._clients.close()

    def append(self, key: bytes, value: bytes) -> int:
        """Append a record, wait until all replicas have it, and return its offset.

        If this raises an error, the log may still contain the record, once.
        """
        with translated(f"append to {self._place[0]}"):
            try:
                client = self._producer = self._producer or self._connect()
                future = client.send(self._place[0], key=key, value=value, partition=self._place[1])
                return int(future.get(timeout=self._timeout_s).offset)
            except BaseException:
                self._discard()
                raise

    def end(self) -> int:
        """The present end of the log."""
        return self._consumer.end_offsets([self._place])[self._place]

    def read_to(self, end: int) -> Iterator[Record]:
        """The records appended or committed since the last call, at least up to offset `end`."""
        deadline = time.monotonic() + self._timeout_s
        while self.position < end:
            if time.monotonic() > deadline:
                raise BusUnavailableError(f"{self._place[0]} was not read to its end in {self._timeout_s:.0f} s")
            for batch in self._consumer.poll(0.5):
                self.position = batch.header.next_offset
                yield from self._settled(batch)

    def _settled(self, batch: RawBatch) -> list[Record]:
        producer = batch.header.producer_id
        if batch.header.is_control:
            said = self._open.pop(producer, [])
            return said if batch.committed else []
        if not batch.header.is_transactional:
            return records_without_kernels(batch)
        self._open.setdefault(producer, []).extend(records_without_kernels(batch))
        return []

    def _connect(self) -> KafkaProducer:
        timeout_ms = int(self._timeout_s * 1000)
        return KafkaProducer(
            **self._cluster.config(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            retry_backoff_ms=5,
            request_timeout_ms=timeout_ms,
            delivery_timeout_ms=timeout_ms,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def _discard(self) -> None:
        if self._producer is not None:
            raw.discard(self._producer)
            self._producer = None
