"""A topic as Debezium writes it, with a table's changes in its JSON envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from exchange.bus import Cluster
from tests.rigs.clients import librdkafka

Row = Mapping[str, Any]


class Topic:
    """Debezium's topic; `schemas`: the fields of a row as Kafka Connect describes them, if messages have a schema."""

    def __init__(self, cluster: Cluster, name: str, *, partitions: int = 1, schemas: list[Row] | None = None) -> None:
        self.name, self.cluster = name, cluster
        self._fields = schemas
        settings = librdkafka(cluster)
        admin = AdminClient(settings)
        [made] = admin.create_topics([NewTopic(name, partitions, 1)]).values()
        made.result(60)
        self._producer = Producer({**settings, "enable.idempotence": True})

    def change(self, op: str, *, before: Row | None = None, after: Row | None = None, key: Row | None = None) -> None:
        """Write an event; a deletion is followed by a tombstone, as Debezium does it. `flush` sends them."""
        payload = {
            "op": op,
            "before": before,
            "after": after,
            "source": {"connector": "postgresql", "lsn": 1},
            "ts_ms": 1_700_000_000_000,
            "transaction": {"id": "571", "total_order": 1, "data_collection_order": 1},
        }
        named = None if key is None else json.dumps(key).encode()
        self.write(named, json.dumps(self._with_schema(payload)).encode())
        if op == "d":
            self.write(named, None)

    def _with_schema(self, payload: Row) -> Row:
        if self._fields is None:
            return payload
        fields = [{"field": part, "type": "struct", "fields": self._fields} for part in ("before", "after")]
        return {
            "schema": {"type": "struct", "fields": [*fields, {"field": "op", "type": "string"}]},
            "payload": payload,
        }

    def write(self, key: bytes | None, value: bytes | None) -> None:
        """Write any message."""
        self._producer.produce(self.name, value, key)

    def flush(self) -> None:
        """Wait until all is in the topic."""
        assert self._producer.flush(60) == 0
