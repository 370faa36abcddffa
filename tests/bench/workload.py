"""What is measured: the records, how they lie on Kafka, and who reads them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from exchange.bus import Cluster
from exchange.bus.produce import Producer
from exchange.bus.topics import publish
from exchange.contract import epoch as epochs
from exchange.contract import names
from exchange.contract.model import Contract, Department, Entity, Epoch, Grant, Purpose, Subject, Title
from exchange.records.build import Batch, pack
from exchange.schema import avro, wire

SUBJECT = "provider.record"
SOURCE = names.subject_topic(SUBJECT)
SCHEMA_ID, LEDGER_ID = 1, 2
_SCHEMA = {
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


@dataclass(frozen=True)
class Workload:
    """One source partition full of records, and the readers of it."""

    name: str
    record_bytes: int
    batch_kb: int
    codec: str
    readers: int
    records: int

    @property
    def inboxes(self) -> list[str]:
        """The topic of each reader."""
        return [names.inbox_topic(f"reader{i}", SUBJECT) for i in range(self.readers)]

    def topics(self) -> list[str]:
        """Every topic that the workload needs."""
        return [SOURCE, names.quarantine_topic(SUBJECT), names.LEDGER, names.CONTRACT, *self.inboxes]


def batches(workload: Workload, seed: int = 1) -> list[Batch]:
    """Source batches of about `batch_kb`, made of a few thousand distinct records repeated."""
    rng = np.random.default_rng(seed)
    schema = avro.parse(json.dumps(_SCHEMA))
    distinct = 8192
    keys, values = [], []
    for i in range(distinct):
        record = {
            "resident_id": f"4401{rng.integers(0, 10**14):014d}",
            "district": f"4401{rng.integers(3, 18):02d}",
            "year": int(rng.integers(2020, 2026)),
            "month": i % 12 + 1,
            "amount": int(rng.integers(0, 10**8)),
            "tax": int(rng.integers(0, 10**7)),
            "paid": bool(i % 2),
            "kind": "ABC"[i % 3],
            "payer": None if i % 4 else f"91440101{rng.integers(0, 10**10):010d}",
            "since": date(2020, 1, 1 + i % 28),
            "updated": datetime(2026, 1, 1, tzinfo=UTC),
            "note": "",
        }
        key = record["resident_id"].encode()
        spare = workload.record_bytes - len(key) - len(wire.pack(SCHEMA_ID, avro.encode(schema, record))) - 9
        record["note"] = "".join(chr(97 + c) for c in rng.integers(0, 26, max(0, spare)))
        keys.append(key)
        values.append(wire.pack(SCHEMA_ID, avro.encode(schema, record)))
    now = int(time.time() * 1000)
    return pack(keys, values, [now] * distinct, max_bytes=workload.batch_kb << 10)


def load(cluster: Cluster, workload: Workload) -> int:
    """Write the source topic; return how many records it holds, at least `workload.records`."""
    made = batches(workload)
    written = 0
    with Producer(cluster, "bench.load", timeout_s=60) as producer:
        while written < workload.records:
            with producer.transaction() as transaction:
                for _ in range(20):
                    transaction.send(SOURCE, 0, [Batch(batch.data[:], batch.records) for batch in made])
                    written += sum(batch.records for batch in made)
    return written


def publish_contract(cluster: Cluster, workload: Workload) -> None:
    """Publish the one epoch under which the router delivers to every reader."""
    title = Title(zh="测", en="bench")
    ids = ["provider", *(f"reader{i}" for i in range(workload.readers))]
    departments = tuple(Department(id=d, title=title, credit_code="-") for d in ids)
    subject = Subject.model_validate(
        {
            "name": "record",
            "owner": "provider",
            "title": title,
            "schema": "-",
            "entity": Entity(field="resident_id", kind="person"),
            "share": "open",
        }
    )
    purpose = Purpose(code="bench", basis="bench", text="bench")
    grants = tuple(
        Grant.model_validate(
            {
                "id": reader,
                "subject": SUBJECT,
                "reader": reader,
                "purpose": purpose,
                "fields": "all",
                "from": date(2020, 1, 1),
                "until": date(2099, 12, 31),
            }
        )
        for reader in ids[1:]
    )
    epoch = Epoch(
        number=1,
        time=datetime.now(UTC),
        contract=Contract(version=1, departments=departments, subjects=(subject,), grants=grants),
        writers={SUBJECT: (SCHEMA_ID,)},
        views={},
        schemas={SCHEMA_ID: json.dumps(_SCHEMA)},
        ledger=LEDGER_ID,
    )
    publish(cluster, names.CONTRACT, [(b"1", epochs.encode(epoch))])
