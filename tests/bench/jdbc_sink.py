"""Debezium's JDBC sink as a peer: records of a topic into a PostgreSQL table, and the form in which it takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import make_url

from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs.databases import Server

JSON = "org.apache.kafka.connect.json.JsonConverter"
AT_ONCE = 5_000
"""Records of one statement, and of one poll."""
_DATE = {"type": "int32", "name": "org.apache.kafka.connect.data.Date"}
_TYPES: Mapping[str, Mapping[str, Any]] = {
    "string": {"type": "string"},
    "int": {"type": "int32"},
    "long": {"type": "int64"},
    "boolean": {"type": "boolean"},
    "enum": {"type": "string"},
    "date": _DATE,
    "timestamp-millis": {"type": "string", "name": "io.debezium.time.ZonedTimestamp"},
}


def connect_schema() -> str:
    """The benchmark's schema as Kafka Connect's JSON converter is told it, of rows as Debezium's source writes them."""
    fields = []
    for field in SCHEMA["fields"]:
        of = field["type"]  # type: ignore[index]
        optional = isinstance(of, list)
        plain = of[-1] if optional else of
        kind = plain if isinstance(plain, str) else plain.get("logicalType", plain["type"])
        fields.append({**_TYPES[kind], "field": field["name"], "optional": optional})  # type: ignore[index]
    return json.dumps({"type": "struct", "name": "row", "optional": False, "fields": fields})


def as_json(record: Mapping[str, Any]) -> bytes:
    """A record as Debezium's source writes it without its envelope: `since` in days, `updated` as text."""
    since, updated = record["since"], record["updated"]
    days = since.toordinal() - 719_163  # of 1970-01-01
    said = {**record, "since": days, "updated": updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


def config(server: Server, database: str, topic: str, table: str) -> dict[str, str]:
    """A sink of rows, by their key; what makes its batches larger makes it fast.

    The converter is told the schema once (`schema.content`), so that records need not have it.
    """
    url = make_url(server.url(database))
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "topics": topic,
        "connection.url": f"jdbc:postgresql://{url.host}:{url.port}/{database}?reWriteBatchedInserts=true",
        "connection.username": str(url.username),
        "connection.password": "",
        "connection.pool.min_size": "1",
        "connection.pool.max_size": "4",
        "insert.mode": "upsert",
        "primary.key.mode": "record_value",
        "primary.key.fields": ENTITY,
        "schema.evolution": "basic",
        "collection.name.format": table,
        "batch.size": str(AT_ONCE),
        "use.reduction.buffer": "true",
        "dialect.postgres.unnest.insert.enabled": "true",
        "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "value.converter": JSON,
        "value.converter.schemas.enable": "true",
        "value.converter.schema.content": connect_schema(),
        "consumer.override.isolation.level": "read_committed",
        "consumer.override.max.poll.records": str(AT_ONCE),
        "consumer.override.max.partition.fetch.bytes": str(8 << 20),
    }
