"""The tags of rows, computed from records again: they share the names of rows and the hash with the router."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b

from exchange import names
from exchange.audit.reread import PlainRecord, header_of
from exchange.contract.key import name_schema
from exchange.contract.model import Subject
from exchange.ledger.entry import tag
from exchange.schema import avro, wire

ENTITY = bytes(8)
"""The second half of a row tag that stands for all rows of its entity."""
_BYTES = avro.parse('{"type": "record", "name": "Key", "fields": [{"name": "key", "type": "bytes"}]}')
"""Encodes a key as a string of the same bytes is."""
_ROW, _HANDLE = b"exchange.row\0\0\0\0", b"exchange.handle\0"


class RowTags:
    """Computes tags with the ledger's key; `schemas` are all by id."""

    def __init__(self, schemas: Mapping[int, str], ledger_key: bytes) -> None:
        self._ledger_key = ledger_key
        self._texts = schemas
        self._schemas = cache(self._both)
        self._own = cache(lambda name, person: blake2b(name.encode(), digest_size=32, key=ledger_key, person=person))

    def of(self, subject: Subject, record: PlainRecord) -> bytes:
        """The tag of the row that the record is about. Raises as `name`."""
        return self.of_name(subject, record.key, self.name(subject, record))

    def of_name(self, subject: Subject, key: bytes | None, name: bytes | None) -> bytes:
        """The tag of the row with that name, of the entity that is the record's key; for None, of all its rows."""
        entity = tag(key, self._ledger_key)
        if name is None:
            return entity[:8] + ENTITY
        body = name[wire.HEADER_BYTES :]
        if key is not None and body == avro.encode(_BYTES, {"key": key}):
            return entity
        return entity[:8] + self._hashed(body, subject.id, _ROW)[:8]

    def name(self, subject: Subject, record: PlainRecord) -> bytes | None:
        """The row's name, as a withdrawal says it; None if the record is about all rows of its entity.

        Raises RecordError or KeyError if the record is not a record of the subject.
        """
        if record.value is None:
            return header_of(record, names.ROW_HEADER)
        schema_id, body = wire.unpack(record.value)
        whole, short = self._schemas(schema_id, subject.key)
        fields = avro.decode(whole, body)
        return wire.pack(schema_id, avro.encode(short, {field: fields[field] for field in subject.key}))

    def handle(self, reader: str, row_tag: bytes) -> bytes:
        """The handle by which that reader alone knows the row with this tag."""
        return self._hashed(row_tag, reader, _HANDLE)

    def _both(self, schema_id: int, key: tuple[str, ...]) -> tuple[avro.Schema, avro.Schema]:
        whole = avro.parse(self._texts[schema_id])
        return whole, name_schema(whole, key)

    def _hashed(self, data: bytes, name: str, person: bytes) -> bytes:
        return blake2b(data, digest_size=16, key=self._own(name, person).digest(), person=person).digest()
