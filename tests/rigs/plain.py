"""Kafka read without a line of the exchange's code: librdkafka's client and fastavro."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

DEADLINE_S = 60.0
_PASSING = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)

Kafka = Mapping[str, str]
"""The settings under which librdkafka reaches a cluster."""
_KEPT: defaultdict[tuple[frozenset[tuple[str, str]], str, str], deque[Consumer]] = defaultdict(deque)
"""Clients that nobody uses now, by the cluster, isolation and group."""
_KEPT_PRODUCERS: defaultdict[frozenset[tuple[str, Any]], deque[Producer]] = defaultdict(deque)
"""The same of clients that publish, by all of their settings."""


class Read(NamedTuple):
    """One record as a reader gets it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def consumer(kafka: Kafka, *, isolation: str = "read_committed", group: str = "") -> Consumer:
    """A client that commits nothing and tells where partitions end."""
    return Consumer(
        {
            **kafka,
            "group.id": group or f"plain-{uuid.uuid4().hex}",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )


@contextmanager
def lent(kafka: Kafka, *, isolation: str = "read_committed", group: str = "") -> Iterator[Consumer]:
    """A client that nobody else uses until the block ends, and that is kept: its login costs more than most questions.

    One in whose block something failed is not kept.
    """
    kept = _KEPT[frozenset(kafka.items()), isolation, group]
    client = kept.pop() if kept else consumer(kafka, isolation=isolation, group=group)
    try:
        yield client
    except BaseException:
        client.close()
        raise
    kept.append(client)


@contextmanager
def lent_producer(settings: Mapping[str, Any]) -> Iterator[Producer]:
    """The same for a client that publishes."""
    kept = _KEPT_PRODUCERS[frozenset(settings.items())]
    client = kept.pop() if kept else Producer(settings)
    yield client
    kept.append(client)


def close_kept() -> None:
    """Close the clients that are kept."""
    _KEPT_PRODUCERS.clear()
    for kept in _KEPT.values():
        while kept:
            kept.pop().close()


def topics(kafka: Kafka) -> dict[str, int]:
    """Every topic except Kafka's internal ones, with the number of its partitions."""
    with lent(kafka) as client:
        found = client.list_topics(timeout=30).topics.items()
    return {name: len(topic.partitions) for name, topic in found if not name.startswith("__")}


def read(kafka: Kafka, topic: str, *, isolation: str = "read_committed") -> Iterator[Read]:
    """Every record of the topic to its present end; nothing where the topic does not exist.

    Transactions that are open at the end are waited for: markers reach their partitions one by one,
    so that one may already be seen as committed elsewhere.
    """
    with lent(kafka, isolation=isolation) as client:
        waiting = ends(kafka, topic)
        client.assign([TopicPartition(topic, p, 0) for p in waiting])
        deadline = time.monotonic() + DEADLINE_S
        while waiting:
            assert time.monotonic() < deadline, f"the end of {topic} was not reached"
            for message in arrived(client):
                deadline = time.monotonic() + DEADLINE_S
                if message.error():
                    if message.offset() >= waiting.get(message.partition(), 0):
                        waiting.pop(message.partition(), None)
                else:
                    yield as_read(message)
        client.unassign()


def arrived(client: Consumer) -> list[Message]:
    """What has come, once there is something; empty after 0.2 s."""
    first = client.poll(0.2)  # without a value it counts as false
    return [] if first is None else [first, *client.consume(10_000, timeout=0)]


def ends(kafka: Kafka, topic: str) -> dict[int, int]:
    """Where each partition ends, open transactions included."""
    with lent(kafka, isolation="read_uncommitted") as client:
        partitions = client.list_topics(topic, timeout=30).topics[topic].partitions
        return {p: _end(client, TopicPartition(topic, p)) for p in partitions}


def _end(client: Consumer, partition: TopicPartition) -> int:
    """The end, once the client knows the leader: that of a topic which was made again can be another."""
    found: list[int] = []

    def is_known() -> bool:
        try:
            found.append(client.get_watermark_offsets(partition, timeout=30)[1])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
            client.list_topics(partition.topic, timeout=30)
        return bool(found)

    wait_until(is_known, f"the end of {partition.topic}", 30)
    return found[0]


def as_read(message: Message) -> Read:
    """The record of a message."""
    headers = tuple(message.headers() or ())
    return Read(message.partition(), message.offset(), message.key(), message.value(), headers)


def committed(kafka: Kafka, group: str, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The group's committed offsets; absent where there is none, or where the broker cannot say for now."""
    try:
        with lent(kafka, group=group) as client:
            found = client.committed([TopicPartition(*place) for place in places], timeout=30)
    except KafkaException as error:
        if not error.args[0].retriable() and error.args[0].code() not in _PASSING:
            raise
        return {}
    return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}


class Registry:
    """The schemas of `_schemas`, read as Confluent's registry writes them."""

    def __init__(self, kafka: Kafka) -> None:
        self.by_subject: dict[str, list[int]] = {}
        self._text: dict[int, str] = {}
        for record in read(kafka, "_schemas"):
            if record.key and record.value and json.loads(record.key)["keytype"] == "SCHEMA":
                value = json.loads(record.value)
                self.by_subject.setdefault(value["subject"], []).append(value["id"])
                self._text[value["id"]] = value["schema"]

    def schema(self, schema_id: int) -> dict[str, Any]:
        """The Avro schema of that id; KeyError where nobody registered it."""
        return json.loads(self._text[schema_id])

    def decode(self, value: bytes) -> tuple[int, dict[str, Any]]:
        """Schema id and record of a value in Confluent's wire format; nothing may be left over."""
        magic, schema_id = struct.unpack(">bI", value[:5])
        assert magic == 0
        body = io.BytesIO(value[5:])
        record = fastavro.schemaless_reader(body, _parsed(self._text[schema_id]))
        assert body.tell() == len(value) - 5, "bytes after the record"
        return schema_id, record


@cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def entries(kafka: Kafka, registry: Registry, *, isolation: str = "read_committed") -> Iterator[dict[str, Any]]:
    """The ledger's entries as plain dictionaries."""
    for record in read(kafka, "exchange.ledger", isolation=isolation):
        assert record.value is not None
        yield registry.decode(record.value)[1]


def offsets(entry: dict[str, Any]) -> list[int]:
    """The source offsets that an entry covers."""
    return [offset for run in entry["runs"] for offset in range(run["first"], run["first"] + run["count"])]


def withheld(entry: dict[str, Any], outcome: dict[str, Any]) -> list[str | None]:
    """For each record of the entry, why the outcome's grants did not get it; None where they did."""
    why: list[str | None] = [None] * entry["count"]
    bad = {quarantined["index"]: f"quarantined: {quarantined['reason']}" for quarantined in entry["quarantined"]}
    for index, reason in bad.items():
        why[index] = reason
    for one in outcome["withheld"]:
        for index in range(entry["count"]):
            bitmap = one["bitmap"]
            if (bitmap is None and index not in bad) or (bitmap and bitmap[index // 8] >> index % 8 & 1):
                assert why[index] is None, "a record has two outcomes"
                why[index] = one["reason"]
    return why


def wait_until(
    condition: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S, *, pause_s: float = 0.1
) -> None:
    """Poll until the condition holds; AssertionError past the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(pause_s)


@contextmanager
def going_on(turn: Callable[[], object]) -> Iterator[None]:
    """Take a turn every 20 ms, in a thread, until the block ends."""
    stop = threading.Event()

    def take_turns() -> None:
        while not stop.wait(0.02):
            turn()

    thread = threading.Thread(target=take_turns)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
