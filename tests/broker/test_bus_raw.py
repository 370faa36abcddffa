"""The contract with kafka-python's internals: whole batches in, whole batches out, on a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import kafka
import pytest
from confluent_kafka import Consumer as ConfluentConsumer
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaProducer
from kafka.cluster import ClusterMetadata
from kafka.producer.sender import Sender
from kafka.protocol.producer import ProduceRequest

from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer, NotInGroupError
from exchange.bus.pieces import encode
from exchange.bus.produce import Producer, Transaction
from exchange.bus.record import Record, records
from exchange.bus.topic import Topic
from exchange.bus.topics import publish, read_all
from exchange.records.build import Batch, pack
from exchange.records.header import RawBatch
from tests.rigs.clients import librdkafka
from tests.rigs.plain import wait_until

DEADLINE_S = 90.0


@pytest.fixture
def topic(cluster: Cluster, unique: str) -> str:
    """A topic of two partitions, which keeps records of any time: the tests write some of 1970."""
    with Admin(cluster) as admin:
        admin.create({unique: Topic(2, 1, {"retention.ms": "-1"})})
    return unique


def values(*texts: str) -> list[Batch]:
    return pack([b"k"] * len(texts), [text.encode() for text in texts], [1] * len(texts))


def drain(consumer: Consumer, enough: Callable[[list[RawBatch]], bool]) -> list[RawBatch]:
    got: list[RawBatch] = []
    deadline = time.monotonic() + DEADLINE_S
    while not enough(got):
        assert time.monotonic() < deadline, "not in time"
        got += consumer.poll(0.2)
    return got


def abort(producer: Producer, write: Callable[[Transaction], None]) -> None:
    class GivenUpError(Exception):
        pass

    def given_up() -> None:
        with producer.transaction() as transaction:
            write(transaction)
            transaction.flush()
            raise GivenUpError

    with pytest.raises(GivenUpError):
        given_up()


def test_the_pinned_version_is_installed() -> None:
    assert kafka.__version__ == "3.0.12", "exchange/bus/raw.py leans on internals: read its tests before moving the pin"


PARTITIONS = st.dictionaries(st.integers(0, 400), st.binary(min_size=61))


@given(st.dictionaries(st.text("abc.", min_size=1), PARTITIONS, max_size=4))
def test_a_request_in_pieces_is_the_request(records: dict[str, dict[int, bytes]]) -> None:
    def request(of: Callable[[bytes], Any]) -> ProduceRequest:
        topic = ProduceRequest.TopicProduceData
        partition = topic.PartitionProduceData
        data = [
            topic(name=name, partition_data=[partition(index=i, records=of(data)) for i, data in some.items()])
            for name, some in records.items()
        ]
        made = ProduceRequest(transactional_id="tax.1", acks=-1, timeout_ms=15_000, topic_data=data)
        made.API_VERSION = 9
        made.with_header(correlation_id=5, client_id="me")
        return made

    stock = request(lambda data: data).encode(framed=True, header=True)
    assert b"".join(encode(request(lambda data: (data[:61], memoryview(data)[61:])))) == stock
    assert b"".join(encode(request(lambda data: data))) == stock


def test_another_client_reads_what_was_written_raw(cluster: Cluster, topic: str) -> None:
    with Producer(cluster, topic) as producer, producer.transaction() as transaction:
        transaction.send(topic, 1, [*values("a", "b"), *values("c")])
    reader = ConfluentConsumer({**librdkafka(cluster), "group.id": topic, "auto.offset.reset": "earliest"})
    reader.subscribe([topic])
    got: list[bytes | None] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(got) < 3 and time.monotonic() < deadline:
        got += [message.value() for message in reader.consume(10, timeout=0.5)]
    reader.close()
    assert got == [b"a", b"b", b"c"]


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_records_of_another_client_are_read(cluster: Cluster, topic: str, codec: str | None) -> None:
    client = KafkaProducer(**cluster.config(), compression_type=codec)
    for i in range(100):
        client.send(topic, key=b"k", value=b"%d" % i, headers=[("h", b"x"), ("e", b"")], partition=0, timestamp_ms=i)
    client.flush()
    client.close()
    got = list(read_all(cluster, topic))
    assert got == [Record(topic, 0, i, i, b"k", b"%d" % i, (("h", b"x"), ("e", b""))) for i in range(100)]


def test_aborted_batches_are_left_out_and_markers_come_on_request(cluster: Cluster, topic: str) -> None:
    with Producer(cluster, topic) as producer:
        with producer.transaction() as transaction:
            transaction.send(topic, 0, values("kept"))
        abort(producer, lambda transaction: transaction.send(topic, 0, values("dropped")))
        with producer.transaction() as transaction:
            transaction.send(topic, 0, values("last"))
    assert [record.value for record in read_all(cluster, topic)] == [b"kept", b"last"]
    with Consumer(cluster, assignment={(topic, 0): 0}, isolation="read_uncommitted", control=True) as consumer:
        got = drain(consumer, lambda batches: sum(batch.header.is_control for batch in batches) == 3)
    told = [batch.committed if batch.header.is_control else records(batch)[0].value for batch in got]
    assert told == [b"kept", True, b"dropped", False, b"last", True]
    assert len({batch.header.producer_id for batch in got}) == 1


def test_a_batch_is_cut_to_the_wanted_offset(cluster: Cluster, topic: str) -> None:
    with Producer(cluster, topic) as producer, producer.transaction() as transaction:
        transaction.send(topic, 0, values(*"abcdef"))
    with Consumer(cluster, assignment={(topic, 0): 4}) as consumer:
        got = drain(consumer, bool)
    assert [(record.offset, record.value) for batch in got for record in records(batch)] == [(4, b"e"), (5, b"f")]


def test_many_batches_of_a_partition_keep_their_order(cluster: Cluster, topic: str) -> None:
    texts = [f"{i:05}" for i in range(5000)]
    with Producer(cluster, topic) as producer, producer.transaction() as transaction:
        for start in range(0, len(texts), 100):
            transaction.send(topic, start // 100 % 2, values(*texts[start : start + 100]))
    got = list(read_all(cluster, topic))
    assert len(got) == len(texts)
    for partition in (0, 1):
        of_one = [record.value for record in got if record.partition == partition]
        assert of_one == sorted(of_one, key=bytes)


def test_a_transaction_learns_all_its_topics_at_once(
    cluster: Cluster, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = [f"{unique}.{i}" for i in range(20)]
    with Admin(cluster) as admin:
        admin.create(dict.fromkeys(topics, Topic(1, 1, {"retention.ms": "-1"})))
    asked = []
    request = ClusterMetadata.metadata_request
    with Producer(cluster, unique) as producer:
        monkeypatch.setattr(ClusterMetadata, "metadata_request", lambda of: asked.append(of) or request(of))
        with producer.transaction() as transaction:
            transaction.enlist([(topic, 0) for topic in topics])
            assert len(asked) < 5
            for topic in topics:
                transaction.send(topic, 0, values("a"))


def test_the_sender_waits_where_all_requests_are_under_way(
    cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [batch] = pack([b"k"] * 9, [bytes(90_000)] * 9, [1] * 9)
    rounds = []
    run_once = Sender.run_once
    monkeypatch.setattr(Sender, "run_once", lambda of: rounds.append(of) or run_once(of))
    with Producer(cluster, topic) as producer, producer.transaction() as transaction:
        transaction.send(topic, 0, [batch.twin() for _ in range(60)])
    assert len(rounds) < 60 * 8


def test_opening_a_producer_aborts_what_its_predecessor_left_open(cluster: Cluster, topic: str) -> None:
    first = Producer(cluster, topic)
    opened = first.transaction()
    transaction = opened.__enter__()
    transaction.send(topic, 0, values("open"))
    transaction.flush()
    with Producer(cluster, topic) as second, second.transaction() as following:
        following.send(topic, 0, values("next"))
    assert [record.value for record in read_all(cluster, topic)] == [b"next"]
    first.discard()


def test_membership_is_known_only_inside_of_the_group(cluster: Cluster, topic: str) -> None:
    with Consumer(cluster, topics=[topic], group=topic) as member:
        with pytest.raises(NotInGroupError):
            member.membership()
        drain(member, lambda _: len(member.assigned()) == 2)
        assert member.membership().generation > 0


def test_an_idle_member_knows_where_its_partitions_end_after_a_rebalance(cluster: Cluster, topic: str) -> None:
    def is_known(partitions: int) -> bool:
        assert member.poll(0.05) == []
        return len(member.positions()) == len(member.assigned()) == partitions

    done = Event()
    with Consumer(cluster, topics=[topic], group=topic) as member:
        member.collect(0, is_at_rest=True)
        wait_until(lambda: is_known(2), "the broker says where both end")
        with ThreadPoolExecutor(1) as pool, Consumer(cluster, topics=[topic], group=topic) as other:
            polling = pool.submit(drain, other, lambda _: done.is_set())
            try:
                wait_until(lambda: is_known(1), "the broker says where the one that is left ends")
            finally:
                done.set()
                polling.result()
        wait_until(lambda: is_known(2), "the broker says where both end once more")


def test_publish_tells_the_offsets(cluster: Cluster, topic: str) -> None:
    assert publish(cluster, topic, [(b"a", b"1"), (b"b", None)], partition=1) == [0, 1]
    assert [(r.key, r.value) for r in read_all(cluster, topic)] == [(b"a", b"1"), (b"b", None)]


def test_a_topic_that_does_not_exist_reads_as_empty(cluster: Cluster, unique: str) -> None:
    assert list(read_all(cluster, unique)) == []


def test_a_consumer_that_waits_does_not_ask_again(
    cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {(topic, 0): 0, (topic, 1): 0}
    with Consumer(cluster, assignment=places) as consumer, Producer(cluster, f"{topic}.p") as producer:
        with producer.transaction() as transaction:
            transaction.send(topic, 1, values("a"))
        drain(consumer, lambda got: len(got) == 1)
        wait_until(lambda: consumer.poll(0) == [] and len(consumer.positions()) == 2, "the broker answers for both")
        consumer.collect(0, is_at_rest=True)
        polls: list[int] = []
        poll = consumer._consumer.poll

        def counted(timeout_ms: int) -> Any:
            polls.append(timeout_ms)
            return poll(timeout_ms=timeout_ms)

        monkeypatch.setattr(consumer._consumer, "poll", counted)
        for _ in range(20):
            assert consumer.poll(0.01) == []
        assert len(polls) < 5  # the broker may have said once or twice that it has nothing
        with producer.transaction() as transaction:
            transaction.send(topic, 0, values("b"))
        drain(consumer, lambda got: len(got) == 1)


def test_what_is_fetched_already_is_not_waited_for(cluster: Cluster, topic: str) -> None:
    with Producer(cluster, f"{topic}.p") as producer:
        for text in "abc":
            with producer.transaction() as transaction:
                transaction.send(topic, 0, values(text))
    got: list[RawBatch] = []
    with Consumer(cluster, assignment={(topic, 0): 0, (topic, 1): 0}, max_batches=1) as consumer:

        def comes() -> bool:
            got.extend(batches := consumer.poll(0.1 if not got else 0))
            # kafka-python may throw away what it has, if the leader's epoch has to be compared.
            assert batches or not consumer._consumer._fetcher._next_partition_records
            return len(got) == 3

        wait_until(comes, "all batches come")
