"""The names of a subject's rows, as a connector makes them from rows of its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exchange.connect.coerce import RowRejectedError
from exchange.connect.encode import encoder
from exchange.connect.source import Row
from exchange.contract.model import Subject
from exchange.errors import ConfigError
from exchange.schema import avro
from exchange.schema.avro import Schema

MAX_NAME_BYTES = 4096


class NoRowKeyError(ConfigError):
    """A source says that rows are deleted, but the contract does not say what tells the subject's rows apart."""

    code = "no-row-key"
    remedy = "have `key: [fields]` put to the subject in topics.yaml and applied"

    def __init__(self, subject: str) -> None:
        super().__init__(f"{subject} has no key: its records are events, which nobody deletes")


class RowKey:
    """Turns rows and records into names: the Avro bodies of the key's fields, equal for every version of a row.

    `schema` is `contract.key.name_schema`; `convert` turns a row of the source into a record of it.
    """

    def __init__(self, subject: Subject, schema: Schema, convert: Callable[[Row], dict[str, Any]]) -> None:
        self.fields = subject.key
        self._entity = subject.entity.field
        self._schema = schema
        self._convert = convert
        self._encode = encoder(schema)

    def of_row(self, row: Row) -> bytes:
        """The name of a row of the source; raises RowRejectedError if a field of the key is missing or does not fit."""
        return self.of_record(self._convert(row))

    def of_record(self, record: Mapping[str, Any]) -> bytes:
        """The name of a record that was converted."""
        name = self._encode(record)
        if len(name) > MAX_NAME_BYTES:
            raise RowRejectedError(f"a key of more than {MAX_NAME_BYTES} bytes")
        return name

    def entity(self, name: bytes) -> bytes:
        """The Kafka key of the row with that name."""
        return str(avro.decode(self._schema, name)[self._entity]).encode()
