"""A small contract with one publishing and one reading department, for the connectors' tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exchange.bus import Cluster
from exchange.contract.load import load
from exchange.contract.model import Epoch
from exchange.epochs import epoch_in_force
from exchange.ledger.entry import SCHEMA_FILE
from exchange.names import subject_topic
from exchange.plan.apply import apply, read_actual
from exchange.plan.plan import make_plan
from exchange.schema import avro
from tests.rigs import plain
from tests.rigs.clients import environment, librdkafka

INCOME: dict[str, Any] = {
    "type": "record",
    "name": "Income",
    "namespace": "test",
    "fields": [
        {"name": "resident_id", "type": "string"},
        {"name": "employer", "type": ["null", "string"], "default": None},
        {"name": "year", "type": "int"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "paid_on", "type": {"type": "int", "logicalType": "date"}},
        {"name": "recorded_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "serial", "type": "long"},
    ],
}


class Project:
    """A project folder: topics.yaml, schemas/ and connectors/, applied to a cluster; `key` is that of the subjects."""

    def __init__(self, folder: Path, cluster: Cluster, owner: str, reader: str) -> None:
        self.folder, self.cluster, self.owner, self.reader = folder, cluster, owner, reader
        self.home = folder / "home"
        self.subject = f"{owner}.income"
        self.key: tuple[str, ...] = ()
        self._epoch: Epoch | None = None

    def published(self) -> int:
        """How many records were published: with those of open and aborted transactions, and transactions' markers."""
        return sum(plain.ends(librdkafka(self.cluster), subject_topic(self.subject)).values())

    def apply(
        self,
        schema: dict[str, Any] = INCOME,
        *,
        partitions: int = 4,
        subjects: tuple[str, ...] = ("income",),
        grant: Mapping[str, Any] = MappingProxyType({}),
        key: tuple[str, ...] = (),
    ) -> None:
        """Write the contract, with `grant` in each grant and `key` in each subject, and make the cluster so."""
        self.write(schema, partitions=partitions, subjects=subjects, grant=grant, key=key)
        now = datetime.now(UTC)
        loaded = load(self.folder / "topics.yaml", now.date())
        apply(self.cluster, make_plan(loaded, read_actual(self.cluster), avro.load(SCHEMA_FILE), now))
        self._epoch = None

    @property
    def epoch(self) -> Epoch:
        """The epoch that is in force since `apply`."""
        self._epoch = self._epoch or epoch_in_force(self.cluster)
        return self._epoch

    def write(
        self,
        schema: dict[str, Any] = INCOME,
        *,
        partitions: int = 4,
        subjects: tuple[str, ...] = ("income",),
        grant: Mapping[str, Any] = MappingProxyType({}),
        key: tuple[str, ...] = (),
    ) -> None:
        """Write the contract, with `grant` in each grant and `key` in each subject."""
        title = {"zh": "测试", "en": "Test"}
        purpose = {"code": "test", "basis": "Test law, article 1", "text": "testing"}
        contract = {
            "version": 1,
            "departments": [
                {"id": self.owner, "title": title, "credit_code": "11440100MBX01FA1XW"},
                {"id": self.reader, "title": title, "credit_code": "11440100MBX02FA1XL"},
            ],
            "subjects": [
                {
                    "name": name,
                    "owner": self.owner,
                    "title": title,
                    "schema": "income.avsc",
                    "entity": {"field": "resident_id", "kind": "person"},
                    "key": key or self.key,
                    "share": "open",
                    "topic": {"partitions": partitions},
                }
                for name in subjects
            ],
            "grants": [
                {
                    "id": f"g-{name}",
                    "subject": f"{self.owner}.{name}",
                    "reader": self.reader,
                    "purpose": purpose,
                    "fields": "all",
                    "from": "2020-01-01",
                    "until": "2099-12-31",
                    **grant,
                }
                for name in subjects
            ],
        }
        (self.folder / "income.avsc").write_text(json.dumps(schema))
        (self.folder / "topics.yaml").write_text(json.dumps(contract, ensure_ascii=False))

    def connector(self, department: str, **config: Any) -> Path:
        """Write the department's connector.yaml; return its folder."""
        folder = self.folder / "connectors" / department
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "connector.yaml").write_text(json.dumps({"department": department, **config}))
        return folder

    def environment(self) -> dict[str, str]:
        """The settings under which commands run here."""
        return {
            **environment(self.cluster, self.folder),
            "EXCHANGE_HOME": str(self.home),
            "EXCHANGE_CONTRACT": str(self.folder / "topics.yaml"),
            "EXCHANGE_CONNECTORS": str(self.folder / "connectors"),
        }
