"""Writes record batches exactly once: a transaction either surely commits or is thrown away."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import kafka.errors
from kafka import KafkaProducer
from kafka.producer.producer_batch import ProducerBatch
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from exchange.bus import raw, writable
from exchange.bus.connection import BusUnavailableError, Cluster, translated
from exchange.bus.consume import Membership
from exchange.bus.refusals import Refusal, RefusedError, refusal
from exchange.errors import TransientError
from exchange.names import Partition

if TYPE_CHECKING:  # loading the kernels takes a command half a second
    from exchange.records.build import Batch

MAX_REQUEST_BYTES = 16 << 20
PATIENCE_S = 2.0  # to wait for one partition: a new leader is elected sooner, and the others wait with it


class TransactionDoubtError(TransientError):
    """It is uncertain whether the transaction took effect: it is thrown away and replayed."""

    code = "transaction-doubt"
    remedy = "wait: it is replayed from the last commit"


class FencedError(TransientError):
    """Someone opened a producer with the same transactional id; what this one had not committed is aborted."""

    code = "fenced"
    remedy = "wait, if `exchange apply` or `grant revoke` just ran; else see that no second process has the same name"


class _Opened(NamedTuple):
    """A client that has fenced its predecessors, and the refusals that it notes."""

    client: KafkaProducer
    noted: writable.Refused


class Producer:
    """One transactional producer; creating it fences its predecessor and aborts what that left open.

    On any exception inside a transaction the underlying client is thrown away, because kafka-python can
    silently lose exactly-once if one is used again (see docs/decisions). The next transaction starts with
    a new client. Every wait ends after `timeout_s`, which is also the transaction timeout at the broker.
    """

    def __init__(self, cluster: Cluster, transactional_id: str, *, timeout_s: float = 15.0) -> None:
        self.transactional_id = transactional_id
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._opened: _Opened | None = self._open()

    def _open(self) -> _Opened:
        timeout_ms = int(self._timeout_s * 1000)
        with translated("open a transactional producer"):
            client = KafkaProducer(
                **self._cluster.config(),
                transactional_id=self.transactional_id,
                transaction_timeout_ms=timeout_ms,
                acks="all",
                linger_ms=0,
                retry_backoff_ms=5,
                request_timeout_ms=timeout_ms,
                delivery_timeout_ms=timeout_ms,
                max_request_size=MAX_REQUEST_BYTES,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            raw.send_ahead(client)
            noted = writable.note_refusals(client)
            try:
                wait(raw.transactions(client).initialize_transactions(), client, self._timeout_s, "init")
            except BaseException:
                raw.discard(client)
                raise
        return _Opened(client, noted)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction; leaving the block commits it; an exception aborts it and is raised.

        After a normal return, all of it is committed. After a TransientError, nothing of it will ever be read as
        committed; the exception is TransactionDoubtError, after which the committed offsets tell. RefusedError names
        the partitions that accepted nothing.
        """
        opened = self.renew()
        transaction = Transaction(opened, self._timeout_s)
        try:
            with translated("run a transaction"):
                transaction.begin()
                yield transaction
                transaction.commit()
        except BaseException as error:
            is_fenced = isinstance(error, TransientError) and raw.is_fenced(opened.client)
            self.discard()
            if is_fenced:
                raise FencedError(f"{self.transactional_id} was taken over by another producer") from error
            raise

    def refusals(self, places: Iterable[Partition]) -> dict[Partition, Refusal]:
        """Those of the partitions that cannot be written, as far as Kafka's metadata tell; outside of a transaction."""
        client = self.renew().client
        named = [TopicPartition(*place) for place in places]
        with translated("read metadata"):
            writable.learn(client, named, self._timeout_s)
        return _refusals(writable.unwritable(client, named))

    def renew(self) -> _Opened:
        """Open a new client if the last one was thrown away, so that its open transaction is aborted now."""
        self._opened = self._opened or self._open()
        return self._opened

    def discard(self) -> None:
        """Throw the client away; the broker aborts its open transaction when the next one opens."""
        if self._opened:
            raw.discard(self._opened.client)
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Transaction:
    """One open transaction; see `Producer.transaction`."""

    def __init__(self, opened: _Opened, timeout_s: float) -> None:
        self._client, self._noted = opened
        self._manager = raw.transactions(self._client)
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._sent: list[ProducerBatch] = []
        self._known: set[TopicPartition] = set()
        self._identity = self._producer_identity()

    def _producer_identity(self) -> tuple[int, int]:
        current = self._manager.producer_id_and_epoch
        return current.producer_id, current.epoch

    def begin(self) -> None:
        """Begin the transaction locally; the broker learns of it with the first write."""
        self._noted.clear()
        self._manager.begin_transaction()

    def enlist(self, partitions: Iterable[Partition]) -> None:
        """Name partitions that will be written. This saves round trips; `send` does not need it.

        Raises RefusedError, with nothing sent, if Kafka's metadata says that one cannot be written.
        """
        named = [TopicPartition(*tp) for tp in partitions]
        self._learn(set(named))
        raw.enlist(self._client, named)

    def send(self, topic: str, partition: int, batches: Iterable[Batch]) -> None:
        """Enqueue finished batches for one partition, in order; `flush` waits for them."""
        tp = TopicPartition(topic, partition)
        self._learn({tp})
        for batch in batches:
            self._sent.append(raw.enqueue(self._client, tp, batch))
        raw.wake(self._client)

    def _learn(self, places: set[TopicPartition]) -> None:
        if new := places - self._known:
            writable.learn(self._client, new, self._left())
            if refused := _refusals(writable.unwritable(self._client, new)):
                raise RefusedError(refused)
            self._known |= new

    def flush(self) -> list[int]:
        """Wait until the broker has acknowledged every batch sent so far; return when it appended each.

        Times are the broker's, in ms since 1970; -1 if the topic has no LogAppendTime. Raises BusUnavailableError if a
        batch failed, or RefusedError if that concerns its partition alone: without this, the commit would succeed and
        the batch be lost.
        """
        for batch in self._sent:
            self._wait_for(batch)
            if not raw.acknowledged(batch):
                if raw.is_of_old_producer(batch):
                    raise FencedError(f"{_place(batch)} was refused: its transactional id has a newer producer")
                if refused := self._refused():
                    raise RefusedError(refused)
                raise BusUnavailableError(f"{_place(batch)} was refused")
        times = [raw.append_time_ms(batch) for batch in self._sent]
        self._sent.clear()
        return times

    def _wait_for(self, batch: ProducerBatch) -> None:
        """Wait until the batch is acknowledged or failed; raise RefusedError if Kafka says why it is silent."""
        while not batch.produce_future.wait(min(PATIENCE_S, max(0.0, self._deadline - time.monotonic()))):
            if refused := self._refused():
                raise RefusedError(refused)
            if self._deadline <= time.monotonic():
                raise BusUnavailableError(f"{_place(batch)} was not acknowledged in {self._timeout_s} s")

    def _refused(self) -> dict[Partition, Refusal]:
        """The partitions that accepted nothing so far, if the reason concerns them alone."""
        taken = {batch.topic_partition for batch in self._sent if raw.acknowledged(batch)}
        waiting = {batch.topic_partition for batch in self._sent if batch.final_state is None}
        errors = writable.unwritable(self._client, waiting) | self._noted
        return _refusals({tp: error for tp, error in errors.items() if tp not in taken})

    def send_offsets(self, offsets: Mapping[Partition, int], membership: Membership) -> None:
        """Commit these next offsets of the group with the transaction, under its generation (KIP-447)."""
        group = ConsumerGroupMetadata(
            group_id=membership.group, generation_id=membership.generation, member_id=membership.member
        )
        ends = {
            TopicPartition(*tp): OffsetAndMetadata(offset, raw.note(membership.topic_ids.get(tp[0], "")), -1)
            for tp, offset in offsets.items()
        }
        wait(self._manager.send_offsets_to_transaction(ends, group), self._client, self._left(), "offsets")

    def commit(self) -> None:
        """Commit; raises TransactionDoubtError if the client changed its identity on the way.

        When a broker answers INVALID_PRODUCER_EPOCH (for example after this transaction timed out), kafka-python
        silently takes a new epoch, after which the commit "succeeds" without committing anything.
        """
        self.flush()
        wait(self._manager.begin_commit(), self._client, self._left(), "commit")
        if self._producer_identity() != self._identity:
            raise TransactionDoubtError("the producer's epoch changed during the transaction")

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TransactionDoubtError(f"the transaction took longer than {self._timeout_s} s")
        return left


def wait(result: Any, client: KafkaProducer, timeout_s: float, what: str) -> None:
    """Wait for a transactional request, but not without end, as kafka-python would."""
    raw.wake(client)
    try:
        done = result.wait(timeout_ms=timeout_s * 1000)
    except kafka.errors.KafkaError as error:
        raise BusUnavailableError(f"{what} failed: {type(error).__name__}") from error
    if not done:
        raise TransactionDoubtError(f"{what} did not end in {timeout_s:.0f} s")


def _place(batch: ProducerBatch) -> str:
    return f"a batch for {batch.topic_partition.topic}/{batch.topic_partition.partition}"


def _refusals(errors: Mapping[TopicPartition, type[Exception]]) -> dict[Partition, Refusal]:
    """The refusals; errors that are not about one partition alone are left out."""
    found = {(tp.topic, tp.partition): refusal(error, (tp.topic, tp.partition)) for tp, error in errors.items()}
    return {place: why for place, why in found.items() if why is not None}
