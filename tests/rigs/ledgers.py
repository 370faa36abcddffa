"""A router in miniature for the ledger's tests: sources, entries and inboxes, written without the router's code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime

from exchange import names
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.produce import Producer, Transaction
from exchange.bus.topics import publish, read_all
from exchange.contract import epoch as epochs
from exchange.contract.model import Contract, Department, Entity, Epoch, Grant, Purpose, Subject, Title, TopicSettings
from exchange.ledger.body import encode
from exchange.ledger.entry import Entry, Outcome, Span, Withheld, ledger_partition, record_key, tag
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.plan.topics import LEDGER_PARTITIONS, wanted
from exchange.records.build import pack
from exchange.schema import wire
from tests.rigs import plain
from tests.rigs.clients import librdkafka

KEY = bytes(range(32))
TIME_MS = 1_763_800_000_000  # 2025-11-22 in the city
Pair = tuple[bytes | None, bytes | None]


def one_subject(owner: str) -> Contract:
    """`<owner>.income`, granted whole to `readera` and in part, for every second record, to `readerb`."""
    title = Title(zh="测试", en="Test")
    purpose = Purpose(code="relief", basis="Measures for Social Assistance, art. 9", text="Checks household income.")
    days = {"from": date(2020, 1, 1), "until": date(2099, 12, 31)}
    return Contract(
        version=1,
        departments=tuple(
            Department(id=id_, title=title, credit_code="11440100MBX01FA1XW") for id_ in (owner, "readera", "readerb")
        ),
        subjects=(
            Subject(name="income", owner=owner, title=title, schema="none.avsc", share="conditional",
                    entity=Entity(field="id", kind="person"), topic=TopicSettings(partitions=2)),
        ),
        grants=tuple(
            Grant(id=f"{owner}.{reader}", subject=f"{owner}.income", reader=reader, purpose=purpose,
                  fields=fields, **days)
            for reader, fields in (("readera", "all"), ("readerb", ("amount",)))
        ),
    )  # fmt: skip


def one_epoch(number: int, owner: str) -> Epoch:
    """That contract as an epoch."""
    contract = one_subject(owner)
    return Epoch(number=number, time=datetime.now(UTC), contract=contract, writers={}, views={}, schemas={}, ledger=1)


class _Given(Exception):
    """Ends a transaction that is meant to abort."""


class Rig:
    """Publishes and routes records of `<owner>.income`, under an epoch of its own."""

    def __init__(self, cluster: Cluster, owner: str) -> None:
        self.cluster = cluster
        self.owner = owner
        self.subject = f"{owner}.income"
        self.topic = names.subject_topic(self.subject)
        contract = one_subject(owner)
        there = plain.topics(librdkafka(cluster))
        with Admin(cluster) as admin:
            admin.create({name: topic for name, topic in wanted(contract).items() if name not in there})
        self.epoch = 1 + sum(1 for _ in read_all(cluster, names.CONTRACT_TOPIC))
        published = one_epoch(self.epoch, owner)
        publish(cluster, names.CONTRACT_TOPIC, [(epochs.key(self.epoch), epochs.encode(published))])
        self.producer = Producer(cluster, f"exchange.router.{owner}")

    def close(self) -> None:
        """Disconnect."""
        self.producer.discard()

    def inbox(self, reader: str) -> str:
        """The topic of that reader's deliveries."""
        return names.inbox_topic(reader, self.subject)

    def publish(self, partition: int, pairs: Sequence[Pair]) -> int:
        """Publish source records; return the offset of the first."""
        return publish(self.cluster, self.topic, pairs, partition=partition)[0]

    def entry(self, partition: int, first: int, pairs: Sequence[Pair]) -> Entry:
        """The true entry for these source records, from offset `first` on."""
        odd = [at for at in range(len(pairs)) if at % 2]
        bitmap = sum(1 << at for at in odd).to_bytes((len(pairs) + 7) // 8, "little")
        whole, part = delivered(pairs)
        return Entry(
            epoch=self.epoch,
            router=self.owner,
            time_ms=TIME_MS,
            topic=self.topic,
            partition=partition,
            runs=(Span(first, len(pairs)),),
            count=len(pairs),
            root=_root(pairs),
            tags=b"".join(tag(key, KEY) for key, _ in pairs),
            outcomes=(
                Outcome((f"{self.owner}.readera",), len(whole), 100, _root(whole), ()),
                Outcome((f"{self.owner}.readerb",), len(part), 50, _root(part),
                        (Withheld("filter", len(odd), bitmap),) if odd else ()),
            ),
            quarantined=(),
        )  # fmt: skip

    def route(self, entry: Entry, pairs: Sequence[Pair], *, commit: bool = True) -> None:
        """Write the entry and the deliveries in one transaction, which commits or aborts."""
        with suppress(_Given), self.producer.transaction() as transaction:
            send_entry(transaction, entry)
            for reader, records in zip(("readera", "readerb"), delivered(pairs), strict=True):
                keys, values = zip(*records, strict=True)
                transaction.send(self.inbox(reader), entry.partition, pack(keys, values, [TIME_MS] * len(records)))
            transaction.flush()
            if not commit:
                raise _Given
        if not commit:  # a new producer's start is what makes the broker abort
            self.producer = Producer(self.cluster, f"exchange.router.{self.owner}")

    def replay(self, name: str, partition: int, first: int, pairs: Sequence[Pair]) -> None:
        """Deliver these source records to `readera` once more, in a replay of that name."""
        entry = self.entry(partition, first, pairs)
        again = Producer(self.cluster, f"exchange.router.replay.{self.owner}")
        with again.transaction() as transaction:
            send_entry(transaction, replace(entry, outcomes=entry.outcomes[:1], replay=name))
            keys, values = zip(*pairs, strict=True)
            transaction.send(self.inbox("readera"), partition, pack(keys, values, [TIME_MS] * len(pairs)))
        again.discard()

    def exchange(self, partition: int, people: Sequence[str], *, commit: bool = True) -> None:
        """Publish one record about each of these people, and route them."""
        pairs: list[Pair] = [(person.encode(), b"\0\0\0\0\1" + bytes([at % 256])) for at, person in enumerate(people)]
        first = self.publish(partition, pairs)
        self.route(self.entry(partition, first, pairs), pairs, commit=commit)


def send_entry(transaction: Transaction, entry: Entry) -> None:
    """Write the entry where a router would."""
    at = ledger_partition(entry.topic, entry.partition, LEDGER_PARTITIONS)
    value = wire.pack(1, encode(entry))
    transaction.send(names.LEDGER_TOPIC, at, pack([record_key(entry.topic, entry.partition)], [value], [TIME_MS]))


def delivered(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """What the two readers get: everything; every second record, without its key and cut short."""
    return list(pairs), [(None, value and value[:5]) for _, value in pairs[::2]]


def _root(pairs: Sequence[Pair]) -> bytes:
    return merkle_root([digest_leaf(key, value) for key, value in pairs])
