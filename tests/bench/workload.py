"""What is measured: the records, how they lie on Kafka, and what their readers are granted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np

from exchange import names
from exchange.bus import Cluster
from exchange.bus.produce import Producer
from exchange.bus.topics import publish
from exchange.contract import epoch as epochs
from exchange.contract.model import Contract, Department, Entity, Epoch, Grant, Purpose, Subject, Title
from exchange.records.build import Batch, pack
from exchange.records.codec import LZ4
from exchange.schema import avro, wire
from exchange.schema.project import project
from tests.bench.changes import History

SCHEMA_ID, LEDGER_ID, FIRST_VIEW_ID = 1, 2, 10
ENTITY = "resident_id"
SCHEMA = {
    "type": "record",
    "name": "BenchRecord",
    "fields": [
        {"name": "resident_id", "type": "string"},
        {"name": "district", "type": "string"},
        {"name": "year", "type": "int"},
        {"name": "month", "type": "int"},
        {"name": "amount", "type": "long"},
        {"name": "tax", "type": "long"},
        {"name": "paid", "type": "boolean"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}},
        {"name": "payer", "type": ["null", "string"]},
        {"name": "since", "type": {"type": "int", "logicalType": "date"}},
        {"name": "updated", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "note", "type": "string"},
    ],
}
_DISTINCT = 8192
_MEGABYTES_PER_TRANSACTION = 32


@dataclass(frozen=True)
class View:
    """What some readers get: `fields` (None: whole records) where `column` is at least `at_least`.

    `masked` is a string field of which only the first `keeps` characters are shown (the mask `partial`).
    """

    readers: int
    fields: tuple[str, ...] | None = None
    column: str | None = None
    at_least: int = 0
    masked: str | None = None
    keeps: int = 4

    def takes(self, record: dict[str, Any]) -> bool:
        """Whether the filter lets the record pass."""
        return self.column is None or record[self.column] >= self.at_least

    def all_takes(self, records: Sequence[dict[str, Any]]) -> np.ndarray:
        """bool[n]: the same for each of them."""
        return np.array([self.takes(record) for record in records])


HALF = (
    View(3, ("resident_id", "district", "year", "amount", "tax", "kind"), "year", 2023, "district"),
    View(3, ("district", "month", "paid", "payer", "since", "updated"), "month", 7, "district"),
)
IN_CLEAR = (HALF[0], replace(HALF[1], fields=("resident_id", "district", "month", "payer", "since", "updated")))
"""The same with the entity in both: readers that do not get the key of their rows cannot share the work on a view."""
VIEWS = {"W0": (View(1),), "W1": (View(3),), "W2": HALF, "W3": (View(3),), "W4": IN_CLEAR}


@dataclass(frozen=True)
class Source:
    """The topic of one subject, full of records of one size, in batches of one size and codec."""

    record_bytes: int = 200
    batch_kb: int = 256
    codec: str = "none"
    suffix: str = ""
    changes: bool = False
    """Whether its rows are published once and then changed, see `History`; else the distinct records are repeated."""

    @property
    def subject(self) -> str:
        """The subject's id."""
        what = "-changes" if self.changes else ""
        return f"provider.r{self.record_bytes}-b{self.batch_kb}-{self.codec}{what}{self.suffix}"

    @property
    def topic(self) -> str:
        """Where its records are."""
        return names.subject_topic(self.subject)


@dataclass(frozen=True)
class Loaded:
    """A source as loaded: how many records its topic holds, and the distinct ones they repeat."""

    source: Source
    records: int
    distinct: list[dict[str, Any]] = field(repr=False)
    history: History | None = field(default=None, repr=False)

    def passing(self, view: View) -> int:
        """How many of the records the view's filter lets pass."""
        takes = view.all_takes(self.distinct)
        return self.history.passing(takes) if self.history else int(takes.sum()) * self.records // len(takes)

    def withdrawn(self, view: View) -> int:
        """How many of the changes make a row leave the view."""
        return self.history.leaving(view.all_takes(self.distinct)) if self.history else 0


@cache
def distinct_records(record_bytes: int, seed: int = 1) -> list[dict[str, Any]]:
    """A few thousand records whose key and value together have about `record_bytes` bytes, notes filled up."""
    rng = np.random.default_rng(seed)
    schema = avro.parse(json.dumps(SCHEMA))
    made = []
    for i in range(_DISTINCT):
        record: dict[str, Any] = {
            "resident_id": f"4401{rng.integers(0, 10**14):014d}",
            "district": f"4401{rng.integers(3, 18):02d}",
            "year": 2020 + int(rng.integers(6)),
            "month": 1 + int(rng.integers(12)),
            "amount": int(rng.integers(0, 10**8)),
            "tax": int(rng.integers(0, 10**7)),
            "paid": bool(i % 2),
            "kind": "ABC"[i % 3],
            "payer": None if i % 4 else f"91440101{rng.integers(0, 10**10):010d}",
            "since": date(2020, 1, 1 + i % 28),
            "updated": datetime(2026, 1, 1, tzinfo=UTC),
            "note": "",
        }
        spare = record_bytes - len(record["resident_id"]) - len(wire.pack(SCHEMA_ID, avro.encode(schema, record))) - 9
        record["note"] = (97 + rng.integers(0, 26, max(0, spare))).astype(np.uint8).tobytes().decode()
        made.append(record)
    return made


def encoded(records: Sequence[dict[str, Any]]) -> tuple[list[bytes], list[bytes]]:
    """Keys and values (wire format) of the records."""
    schema = avro.parse(json.dumps(SCHEMA))
    values = [wire.pack(SCHEMA_ID, avro.encode(schema, record)) for record in records]
    return [record[ENTITY].encode() for record in records], values


def batches(records: Sequence[dict[str, Any]], batch_kb: int, codec: str) -> list[Batch]:
    """The records in batches of about `batch_kb` (before compression)."""
    return packed(*encoded(records), batch_kb, codec)


def packed(keys: Sequence[bytes], values: Sequence[bytes], batch_kb: int, codec: str) -> list[Batch]:
    """The same for keys and values."""
    made = pack(keys, values, [int(time.time() * 1000)] * len(keys), max_bytes=batch_kb << 10)
    return made if codec == "none" else [_lz4(batch) for batch in made]


def _lz4(batch: Batch) -> Batch:
    """The same batch, compressed as a Java or C client would."""
    body = lz4.frame.compress(batch.body, block_linked=False)  # brokers refuse the other form
    head = bytearray(batch.head)
    head[8:12] = (len(head) + len(body) - 12).to_bytes(4, "big")
    head[22] |= LZ4
    return Batch(head, memoryview(body), batch.records)


def load(cluster: Cluster, sources: Sequence[Source], records: int) -> list[Loaded]:
    """Write at least `records` records to the topic of each source, whole repetitions of the distinct ones."""
    loaded = []
    with Producer(cluster, "bench.load", timeout_s=60) as producer:
        for source in sources:
            distinct = distinct_records(source.record_bytes)[:records]
            if source.changes:
                loaded.append(_load_changes(producer, source, records, distinct))
                continue
            made = batches(distinct, source.batch_kb, source.codec)
            repeats = -(-records // len(distinct))
            at_once = max(1, (_MEGABYTES_PER_TRANSACTION << 20) // sum(batch.size_bytes for batch in made))
            for done in range(0, repeats, at_once):
                with producer.transaction() as transaction:
                    for _ in range(min(at_once, repeats - done)):
                        transaction.send(source.topic, 0, [batch.twin() for batch in made])
            loaded.append(Loaded(source, repeats * len(distinct), distinct))
    return loaded


def _load_changes(producer: Producer, source: Source, records: int, distinct: list[dict[str, Any]]) -> Loaded:
    """Write the versions of rows; each is one of the distinct records, under the row's own entity."""
    history, (_, values) = History.of(records, [view.all_takes(distinct) for view in IN_CLEAR]), encoded(distinct)
    at_once = (_MEGABYTES_PER_TRANSACTION << 20) // source.record_bytes
    for first in range(0, records, at_once):
        keys, bodies = history.versions(slice(first, first + at_once), values)
        with producer.transaction() as transaction:
            transaction.send(source.topic, 0, packed(keys, bodies, source.batch_kb, source.codec))
    return Loaded(source, records, distinct, history)


def touch(cluster: Cluster, topics: Iterable[str]) -> None:
    """Write two records to each topic, so that the broker has its files, and the first pages of their indexes.

    That costs it tens of milliseconds a partition, once: as much as several megabytes of records.
    """
    with Producer(cluster, "bench.touch", timeout_s=60) as producer, producer.transaction() as transaction:
        for topic in topics:
            for _ in range(2):  # an index begins with the first batch after 4 KiB
                transaction.send(topic, 0, pack([None], [bytes(8192)], [int(time.time() * 1000)]))


@dataclass(frozen=True)
class Task:
    """One workload on one source: who reads what of it; `key` tells the subject's rows apart, none if it has none."""

    name: str
    loaded: Loaded
    views: tuple[View, ...]
    key: tuple[str, ...] = ()

    @property
    def source(self) -> Source:
        """The subject that is read."""
        return self.loaded.source

    @property
    def readers(self) -> int:
        """How many inboxes are written."""
        return sum(view.readers for view in self.views)

    @property
    def inboxes(self) -> list[list[str]]:
        """Per view, the topics of its readers."""
        numbers = iter(range(self.readers))
        return [
            [names.inbox_topic(f"reader{next(numbers)}", self.source.subject) for _ in range(view.readers)]
            for view in self.views
        ]

    @property
    def expected(self) -> dict[str, int]:
        """How many records each inbox holds in the end; readers of a subject with a key get withdrawals, too."""
        return {
            inbox: self.loaded.passing(view) + (self.loaded.withdrawn(view) if self.key else 0)
            for view, inboxes in zip(self.views, self.inboxes, strict=True)
            for inbox in inboxes
        }

    def grants(self) -> list[Grant]:
        """One grant for each reader."""
        made = []
        for view, inboxes in zip(self.views, self.inboxes, strict=True):
            for inbox in inboxes:
                reader = inbox.split(".")[1]
                grant: dict[str, Any] = {"id": f"{reader}.{self.source.subject}", "subject": self.source.subject}
                grant |= {"reader": reader, "purpose": Purpose(code="bench", basis="bench", text="bench")}
                grant |= {"fields": view.fields or "all", "from": date(2020, 1, 1), "until": date(2099, 12, 31)}
                if view.column is not None:
                    grant["where"] = {view.column: {"ge": view.at_least}}
                if view.masked is not None:
                    grant["masks"] = {view.masked: {"kind": "partial", "first": view.keeps}}
                made.append(Grant.model_validate(grant))
        return made

    def view_schemas(self) -> list[tuple[int, str] | None]:
        """Per view, id and text of what it delivers; None where records pass whole."""
        whole = avro.parse(json.dumps(SCHEMA))
        return [
            None if view.fields is None else (FIRST_VIEW_ID + i, project(whole, view.fields).text)
            for i, view in enumerate(self.views)
        ]

    def as_json(self, servers: str, name: str, folder: Path) -> str:
        """All that a peer is told; `name` is its group and transactional id, `folder` for what it keeps."""
        views = []
        for view, inboxes, schema in zip(self.views, self.inboxes, self.view_schemas(), strict=True):
            told: dict[str, Any] = {"inboxes": inboxes}
            if schema is not None:
                told |= {"schema_id": schema[0], "schema": schema[1], "fields": view.fields}
                told |= {"keeps_key": ENTITY in (view.fields or ())}
                told |= {"column": view.column, "at_least": view.at_least}
                told |= {"masked": view.masked, "keeps": view.keeps}
            views.append(told)
        task = {"servers": servers, "name": name, "folder": str(folder), "source": self.source.topic}
        return json.dumps(task | {"schema_id": SCHEMA_ID, "schema": json.dumps(SCHEMA), "views": views})


def publish_contract(cluster: Cluster, tasks: Sequence[Task]) -> None:
    """Publish the epoch of these tasks."""
    publish(cluster, names.CONTRACT_TOPIC, [(b"1", epochs.encode(epoch(tasks)))])


def epoch(tasks: Sequence[Task]) -> Epoch:
    """The epoch that has just the subjects and grants of these tasks."""
    title = Title(zh="测", en="bench")
    readers = {f"reader{i}" for task in tasks for i in range(task.readers)}
    departments = tuple(Department(id=d, title=title, credit_code="-") for d in ("provider", *sorted(readers)))
    subjects = tuple(
        Subject.model_validate(
            {
                "name": task.source.subject.partition(".")[2],
                "owner": "provider",
                "title": title,
                "schema": "-",
                "entity": Entity(field=ENTITY, kind="person"),
                "key": task.key,
                "share": "open",
            }
        )
        for task in tasks
    )
    grants = [grant for task in tasks for grant in task.grants()]
    schemas = {SCHEMA_ID: json.dumps(SCHEMA)}
    views: dict[str, int] = {}
    for task in tasks:
        of_reader = {
            inbox.split(".")[1]: schema
            for inboxes, schema in zip(task.inboxes, task.view_schemas(), strict=True)
            for inbox in inboxes
            if schema is not None
        }
        schemas |= dict(of_reader.values())
        views |= {g.id: of_reader[g.reader][0] for g in grants if g.subject == task.source.subject and of_reader}
    return Epoch(
        number=1,
        time=datetime.now(UTC),
        contract=Contract(version=1, departments=departments, subjects=subjects, grants=tuple(grants)),
        writers={task.source.subject: (SCHEMA_ID,) for task in tasks},
        views=views,
        schemas=schemas,
        ledger=LEDGER_ID,
    )
