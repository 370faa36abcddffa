"""Finds the schema of any id that a record carries; reads the registry's topic when an id is first met."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.bus.connection import Cluster
from exchange.bus.topics import read_all
from exchange.errors import RecordError
from exchange.names import SCHEMAS_TOPIC
from exchange.schema.avro import Schema, parse
from exchange.schema.registry import Registry


class UnknownSchemaError(RecordError):
    """A record carries a schema id that was never registered."""

    code = "unknown-schema"
    remedy = "see that `_schemas` is the cluster's own, and was not created again"


class Schemas:
    """Schemas by id; `known` are those that the contract's epoch contains."""

    def __init__(self, cluster: Cluster, known: Mapping[int, str]) -> None:
        self._cluster = cluster
        self._schemas = {schema_id: parse(text) for schema_id, text in known.items()}
        self._unknown: set[int] = set()

    def of(self, schema_id: int) -> Schema:
        """The schema with that id; raises UnknownSchemaError if the registry does not have it either."""
        if schema_id not in self._schemas and schema_id not in self._unknown:
            registry = Registry.read((r.key, r.value, r.offset) for r in read_all(self._cluster, SCHEMAS_TOPIC))
            try:
                self._schemas[schema_id] = registry.schema(schema_id)
            except KeyError:
                self._unknown.add(schema_id)
        try:
            return self._schemas[schema_id]
        except KeyError:
            raise UnknownSchemaError(f"schema id {schema_id} is not registered") from None
