"""One subject under two writer schemas, and what the router's step makes of its records, read by kafka-python."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import fastavro
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from exchange import names
from exchange.contract.masks import masked_type
from exchange.contract.model import Contract, Department, Entity, Epoch, Grant, Purpose, Subject, Title, TopicSettings
from exchange.ledger.body import validate_entry
from exchange.records import header
from exchange.records.build import Batch
from exchange.records.header import RawBatch
from exchange.records.scan import scan
from exchange.records.tags import Tagger
from exchange.router.held import HeldRows
from exchange.router.ready import make_ready
from exchange.router.step import Allow, RunSource, Step, no_quotas, step
from exchange.schema import avro
from exchange.schema.project import project

KEY = bytes(range(32))
PSEUDONYM_KEY = bytes(range(32, 64))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SUBJECT = "office.income"
OLD, NEW, FIRST_VIEW = 3, 5, 40
Headers = list[tuple[str, bytes]]
Written = tuple[int, bytes | None, bytes | None, Headers]
"""A record: timestamp, key, value, headers."""

_FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "year", "type": "int"},
    {"name": "district", "type": ["null", "string"]},
    {"name": "cents", "type": "long"},
]
_ADDED = {"name": "note", "type": "string", "default": "none"}
SCHEMAS = {
    OLD: avro.parse(json.dumps({"type": "record", "name": "Income", "fields": _FIELDS})),
    NEW: avro.parse(json.dumps({"type": "record", "name": "Income", "fields": [*_FIELDS, _ADDED]})),
}


def grant(name: str, **changes: Any) -> Grant:
    """A grant of the subject to a department of its own, for whole records unless said otherwise."""
    purpose = Purpose(code="test", basis="Test law, art. 1", text="Test.")
    base = {"id": name, "subject": SUBJECT, "reader": name, "purpose": purpose, "fields": "all"}
    return Grant.model_validate({**base, "from": date(2026, 1, 1), "until": date(2026, 12, 31), **changes})


def view_schema(given: Grant, known: tuple[str, ...]) -> avro.Schema:
    """The schema of what a projecting grant gives; `all` are the `known` fields."""
    fields = SCHEMAS[NEW].fields
    types = {name: masked_type(mask, fields[name]) for name, mask in given.masks.items()}
    return project(SCHEMAS[NEW], known if given.fields == "all" else given.fields, types)


def epoch(
    *grants: Grant,
    number: int = 7,
    owner: str = "office",
    ledger: int = 1,
    known: tuple[str, ...] = tuple(SCHEMAS[NEW].fields),
    rotation: int = 0,
    key: tuple[str, ...] = (),
) -> Epoch:
    """An epoch with these grants; view schemas are numbered from FIRST_VIEW, and `all` are the `known` fields."""
    title = Title(zh="测试", en="Test")
    is_new = known != tuple(SCHEMAS[NEW].fields)
    projected = {g.id: view_schema(g, known) for g in grants if g.fields != "all" or g.masks or is_new}
    ids = {name: FIRST_VIEW + i for i, name in enumerate(projected)}
    texts = {i: schema.text for i, schema in SCHEMAS.items()} | {ids[n]: s.text for n, s in projected.items()}
    return Epoch(
        number=number,
        time=NOW,
        contract=Contract(
            version=1,
            departments=tuple(
                Department(id=id_, title=title, credit_code="11440100MBX01FA1XW", pseudonym_rotation=rotation)
                for id_ in (owner, *(g.reader for g in grants))
            ),
            subjects=(
                Subject(name="income", owner=owner, title=title, schema="income.avsc", share="conditional",
                        entity=Entity(field="id", kind="person"), key=key, topic=TopicSettings(partitions=2)),
            ),
            grants=grants,
        ),
        writers={f"{owner}.income": (OLD, NEW)},
        views=ids,
        pinned={g.id: known for g in grants if g.fields == "all"},
        schemas=texts,
        ledger=ledger,
    )  # fmt: skip


def value(schema_id: int = NEW, **changes: Any) -> bytes:
    """A valid record in the wire format."""
    record = {"id": "440101", "year": 2025, "district": "4401", "cents": 7, "note": "n"} | changes
    return wire(schema_id, record, SCHEMAS[schema_id])


def wire(schema_id: int, record: dict[str, Any], schema: avro.Schema) -> bytes:
    """Confluent's format, written by fastavro."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema.parsed, record)
    return b"\0" + schema_id.to_bytes(4, "big") + body.getvalue()


def batch(records: Sequence[Written], codec: int = 0, base_offset: int = 0) -> RawBatch:
    """One batch as kafka-python writes it."""
    builder = MemoryRecordsBuilder(2, codec, 1 << 24)
    for record in records:
        assert builder.append(*record) is not None
    builder.close()
    data = bytearray(builder.buffer())
    data[:8] = base_offset.to_bytes(8, "big")
    return RawBatch(names.subject_topic(SUBJECT), 1, header.parse(data), memoryview(bytes(data)), 0)


def unpack(batches: Sequence[Batch]) -> list[Written]:
    """The records of batches as kafka-python reads them."""
    read: list[Written] = []
    for made in batches:
        twin = made.twin()
        header.stamp(twin.head, twin.body, 7, 0, 0, True)
        for parsed in MemoryRecords(bytes(twin.data)):
            assert parsed.validate_crc()
            read += [(r.timestamp, r.key, r.value, r.headers) for r in parsed]
    return read


@dataclass
class Routed:
    """What a step made: its entry, which holds as it is, and what each inbox and the quarantine get."""

    step: Step
    inboxes: dict[str, list[Written]]
    quarantine: list[Written]

    def outcome(self, grant_id: str) -> dict[int, str]:
        """Why each record was withheld from the grant, by its place in the entry."""
        [outcome] = [o for o in self.step.entry.outcomes if grant_id in o.grants]
        good = set(range(self.step.entry.count)) - {q.index for q in self.step.entry.quarantined}
        why: dict[int, str] = {}
        for one in outcome.withheld:
            for index in sorted(good) if one.bitmap is None else range(self.step.entry.count):
                if one.bitmap is None or one.bitmap[index // 8] >> index % 8 & 1:
                    why[index] = one.reason
        return why


def route(
    under: Epoch,
    batches: Sequence[RawBatch],
    now: datetime = NOW,
    replay: str | None = None,
    allow: Allow = no_quotas,
    held: HeldRows | None = None,
) -> Routed:
    """Run one step over batches of partition 1."""
    [subject] = under.contract.subjects
    source = RunSource(names.subject_topic(subject.id), 1, under.number, "r1", int(now.timestamp() * 1000), replay)
    ready = make_ready(under, subject.id, now, PSEUDONYM_KEY)
    made = step(scan(batches), ready, source, Tagger(KEY), allow, held)
    validate_entry(made.entry)
    written = {topic: unpack(batches) for (topic, _), batches in made.outputs.items()}
    quarantine = written.pop(names.quarantine_topic(subject.id), [])
    return Routed(made, written, quarantine)
