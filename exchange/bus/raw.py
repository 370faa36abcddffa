"""Passes whole record batches through kafka-python's own fetcher and sender.

Everything here depends on internals of kafka-python 3.0.12; that is why exactly that version is pinned.
`tests/broker/test_bus_raw.py` fails if a new version changes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import (
    CorruptRecordError,
    InvalidProducerEpochError,
    KafkaTimeoutError,
    ProducerFencedError,
)
from kafka.producer.producer_batch import FinalState, ProducerBatch
from kafka.protocol.consumer import IsolationLevel
from kafka.protocol.metadata import CoordinatorType
from kafka.structs import OffsetAndMetadata, TopicPartition

from exchange.records.header import HEADER_BYTES, MAGIC, MAGIC_AT, RawBatch, crc, parse, stamp

if TYPE_CHECKING:  # loading the kernels takes a command half a second
    from exchange.records.build import Batch

COMMITTED_S = 15
_NOTE = "topic "


class Position(NamedTuple):
    """Where a reader goes on in a partition: `offset` in the topic with that id (empty: whichever has the name)."""

    offset: int
    topic_id: str


class _RawRecords(Fetcher.PartitionRecords):
    """Yields whole batches instead of records; like the original, it leaves out aborted transactions."""

    yields_control = False

    def _unpack_records(self, tp: TopicPartition, records: Any, *_: object) -> Iterator[RawBatch]:
        while (data := records._next_slice) is not None:  # `next_batch` would copy it
            records._cache_next()
            if len(data) < HEADER_BYTES or data[MAGIC_AT] != MAGIC:
                raise CorruptRecordError(f"{tp.topic}/{tp.partition} holds a batch that is not of format v{MAGIC}")
            batch = RawBatch(tp.topic, tp.partition, parse(data), data, self.fetch_offset)
            header = batch.header
            if self.check_crcs and crc(data) != header.crc:
                raise CorruptRecordError(f"{tp.topic}/{tp.partition} fails its CRC at {header.base_offset}")
            self.leader_epoch = header.leader_epoch
            self.next_fetch_offset = header.next_offset
            if self._is_wanted(batch):
                self.records_read += header.records
                self.bytes_read += len(data)
                yield batch
        self.drain()

    def _is_wanted(self, batch: RawBatch) -> bool:
        header = batch.header
        if self.isolation_level == IsolationLevel.READ_COMMITTED and header.producer_id >= 0:
            self._consume_aborted_transactions_up_to(header.next_offset - 1)
            if header.is_control:
                if not batch.committed:
                    self.aborted_producer_ids.discard(header.producer_id)
            elif header.is_transactional and header.producer_id in self.aborted_producer_ids:
                return False
        return self.yields_control or not header.is_control


class _RawAndControl(_RawRecords):
    yields_control = True


def fetch_raw(consumer: KafkaConsumer, *, control: bool) -> None:
    """Make this consumer's `poll` return RawBatch instead of records; its `max_poll_records` then counts batches."""
    consumer._fetcher.PartitionRecords = _RawAndControl if control else _RawRecords


def refresh(consumer: KafkaConsumer) -> None:
    """Ask for metadata, without waiting for the answer."""
    consumer._cluster.request_update()


def missing_topics(consumer: KafkaConsumer) -> dict[str, bool]:
    """The subscribed topics that the newest metadata lack; the value says whether access rules are the reason.

    For a moment after `subscribe`, these are all of them.
    """
    cluster = consumer._cluster
    missing = set(consumer.subscription() or ()) - cluster._partitions.keys()
    return {topic: topic in cluster.unauthorized_topics for topic in missing}


def fetch_ahead(consumer: KafkaConsumer) -> None:
    """Ask for the next data now, so that it is on its way while the polled data is processed.

    kafka-python does so only if a poll found its records waiting, not if it had to wait for them.
    """
    consumer._fetcher.send_fetches()


def collect(consumer: KafkaConsumer, min_bytes: int, wait_ms: int) -> None:
    """From the next fetch on, let the broker answer with `min_bytes` of data, or with what there is after `wait_ms`."""
    consumer._fetcher.config.update(fetch_min_bytes=min_bytes, fetch_max_wait_ms=wait_ms)


def forget_assignment(consumer: KafkaConsumer) -> None:
    """Drop all partitions until the group assigns some; each then starts at its committed offset.

    When a member gets a partition again, kafka-python keeps its position, which would skip what was polled but not
    committed before the rebalance. Java's client drops it too. With a position goes where the partition ends: in a
    session of fetches (KIP-227), a broker says that once, until it changes, so new sessions begin.
    """
    consumer._subscription.assign_from_subscribed([])
    for session in consumer._fetcher._session_handlers.values():
        session.next_metadata = session.next_metadata.next_close_existing()


def committed(
    consumer: KafkaConsumer, partitions: Iterable[TopicPartition], topic_ids: Mapping[str, str]
) -> dict[TopicPartition, Position]:
    """The group's position in each partition: its committed offset, or 0 in the topic with that id."""
    asked = list(partitions)
    found = {tp: Position(0, topic_ids.get(tp.topic, "")) for tp in asked}
    known = committed_offsets(consumer, asked)
    return found | {tp: Position(at.offset, _noted(at.metadata)) for tp, at in known.items()}


def committed_offsets(
    consumer: KafkaConsumer, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """The group's committed offsets, for all partitions in one request: kafka-python's own call takes one partition.

    This always asks anew. kafka-python could return the answer to an earlier request that nobody waited for, and so
    an offset that is out of date.
    """
    asked, coordinator = list(partitions), consumer._coordinator
    coordinator._offset_fetch_futures.clear()
    found: dict[TopicPartition, OffsetAndMetadata]
    try:
        found = coordinator.fetch_committed_offsets(asked, timeout_ms=COMMITTED_S * 1000)
    except KafkaTimeoutError:  # it does not say why; this request does
        found = coordinator._net.run(coordinator._send_offset_fetch_request, asked)
    return found


def note(topic_id: str) -> str:
    """The note to commit with an offset, so that it is never used for a later topic of the same name."""
    return _NOTE + topic_id


def _noted(metadata: str | None) -> str:
    """The topic id in a note; empty if the offset was committed without one."""
    return metadata.removeprefix(_NOTE) if metadata and metadata.startswith(_NOTE) else ""


def topic_id(consumer: KafkaConsumer, topic: str) -> str:
    """The topic's id in the client's metadata; empty if they have no such topic."""
    found = consumer._cluster.topic_id(topic)
    return str(found) if found else ""


def metadata_age(consumer: KafkaConsumer) -> float:
    """A number that changes whenever the client gets new metadata."""
    return float(consumer._cluster._last_successful_refresh_ms)


def join(consumer: KafkaConsumer, timeout_s: float) -> None:
    """Join the group if that is due, with more patience than a single poll has.

    kafka-python loses a join that outlives its poll. If only new metadata asked for the join, the member then has no
    partitions and sends no heartbeats; otherwise the consumer throws the result away and begins again.
    """
    coordinator = consumer._coordinator
    if coordinator.group_id is None:
        return
    if coordinator.rejoining:
        coordinator.request_rejoin()
    if coordinator.need_rejoin():
        coordinator.ensure_active_group(timeout_ms=timeout_s * 1000)


class _Ready:
    """A finished batch, in place of kafka-python's MemoryRecordsBuilder."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.producer_id, self.producer_epoch, self.base_sequence = -1, -1, -1

    def append(self, *_: object) -> None:
        """Do nothing: the batch is finished."""

    def is_full(self) -> bool:
        return True

    def next_offset(self) -> int:
        return self._batch.records

    def set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int, transactional: bool
    ) -> None:
        self.producer_id, self.producer_epoch, self.base_sequence = producer_id, producer_epoch, base_sequence
        stamp(self._batch.head, self._batch.body, producer_id, producer_epoch, base_sequence, transactional)

    def close(self) -> None:
        """Do nothing: the batch is closed from the start."""

    def size_in_bytes(self) -> int:
        return self._batch.size_bytes

    def buffer(self) -> tuple[bytearray, memoryview]:
        """The header and the records, as `exchange.bus.pieces` takes them."""
        return self._batch.head, self._batch.body

    def compression_rate(self) -> float:
        return 1.0


def enlist(producer: KafkaProducer, partitions: list[TopicPartition]) -> None:
    """Name the partitions that the open transaction will write, so that one request adds them all."""
    for tp in partitions:
        producer._transaction_manager.maybe_add_partition_to_transaction(tp)


def send_ahead(producer: KafkaProducer) -> None:
    """Allow several batches of one partition under way at once.

    kafka-python waits for each batch, to keep the order through retries. The broker keeps the order too: by sequence
    numbers, it refuses a batch that arrives before its predecessor.
    """
    producer._sender.config["guarantee_message_order"] = False


def enqueue(producer: KafkaProducer, tp: TopicPartition, ready: Batch) -> ProducerBatch:
    """Hand a finished batch to kafka-python's sender, which numbers it, retries it and gets it acknowledged."""
    accumulator = producer._accumulator
    if producer._transaction_manager.is_transactional():
        producer._transaction_manager.maybe_add_partition_to_transaction(tp)
    batch = ProducerBatch(tp, _Ready(ready))
    with accumulator._tp_lock(tp):
        accumulator._batches[tp].append(batch)
        accumulator._incomplete.add(batch)
    return batch


def wake(producer: KafkaProducer) -> None:
    """Wake the sender, so that it looks at what was enqueued."""
    producer._sender.wakeup()


def acknowledged(batch: ProducerBatch) -> bool:
    """Whether the broker accepted the batch; the future of a failed batch has also 'succeeded'."""
    return batch.final_state is FinalState.SUCCEEDED


def append_time_ms(batch: ProducerBatch) -> int:
    """When the broker appended an acknowledged batch, in ms since 1970; -1 if the topic keeps producers' times."""
    _, time_ms, _ = batch.produce_future.value
    return int(time_ms)


def is_of_old_producer(batch: ProducerBatch) -> bool:
    """Whether the broker refused a batch because its transactional id has a newer producer."""
    _, _, error_of = batch.produce_future.value
    return error_of is not None and isinstance(error_of(0), InvalidProducerEpochError | ProducerFencedError)


def is_fenced(producer: KafkaProducer) -> bool:
    """Whether the broker told this producer that its transactional id has a newer one."""
    return isinstance(producer._transaction_manager.last_error, ProducerFencedError)


def transactions(producer: KafkaProducer) -> Any:
    """The transaction manager: its requests can be waited for with a deadline, unlike the public calls."""
    return producer._transaction_manager


def connections(client: KafkaAdminClient) -> Any:
    """The connections of a client, for requests of Kafka's protocol for which it has no call."""
    return client._manager


async def coordinators(client: KafkaAdminClient, names: Sequence[str]) -> Any:
    """The node that coordinates each transactional id; run it on the client's `connections`."""
    return await client._find_coordinator_ids(names, key_type=CoordinatorType.TRANSACTION)


def discard(producer: KafkaProducer) -> None:
    """Close the producer at once, whatever is under way; this never blocks."""
    producer._unregister_cleanup()
    producer._sender.force_close()
    producer._closed = True


def position(consumer: KafkaConsumer, tp: TopicPartition) -> int:
    """Where the consumer goes on in an assigned partition, without asking Kafka; 0 if it does not know."""
    known = consumer._subscription.assignment[tp].position
    return int(known.offset) if known else 0


def high_watermarks(consumer: KafkaConsumer) -> dict[TopicPartition, tuple[int, int]]:
    """Per assigned partition: (position, high watermark), both as last known."""
    known = {}
    for tp, state in list(consumer._subscription.assignment.items()):
        if state.position is not None and state.highwater is not None:
            known[tp] = (state.position.offset, state.highwater)
    return known
