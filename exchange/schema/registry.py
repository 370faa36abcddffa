"""Schema ids and versions, kept in the topic `_schemas` in Confluent's own record format.

The format is that of Confluent's KafkaStore (SchemaKey, SchemaValue, ConfigKey), which Karapace reads too: JSON
without spaces, with its keys in the order written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from exchange.errors import CorruptionError
from exchange.schema.avro import Schema, identity, parse
from exchange.schema.compatibility import DEFAULT_LEVEL, Level

KeyValue = tuple[bytes, bytes | None]
Stored = tuple[bytes | None, bytes | None, int]
"""A record of `_schemas`: key, value, and its offset."""

MAX_ID = 2**31 - 1  # an id has four bytes on the wire
_NOT_OURS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class RegistryError(CorruptionError):
    """A record of `_schemas` about a subject cannot be read as a registry's record."""

    code = "registry"
    remedy = "restore the record of `_schemas` from a backup"


@dataclass(frozen=True)
class Version:
    """One version of a registry subject. A deleted version keeps its id, because records may still carry it."""

    version: int
    id: int
    text: str
    deleted: bool = False


class Registry:
    """The state that the records of `_schemas` add up to; `register` returns the records that change it.

    `level` is the compatibility of all subjects that have none of their own; `has_level` says whether it was
    ever set.
    """

    def __init__(self) -> None:
        self.level = DEFAULT_LEVEL
        self.has_level = False
        self._levels: dict[str, Level] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._texts: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._last_id = 0
        self._unreadable: dict[tuple[str, str], RegistryError] = {}

    @classmethod
    def read(cls, records: Iterable[Stored]) -> Registry:
        """The state after these records, given in the log's order.

        The first record that gives an id decides what the id means; a later one that gives it to another schema lost a
        race and is ignored. Foreign records are ignored too: others may write to the topic. If a record about a
        subject cannot be read, whoever asks for that subject gets a RegistryError.
        """
        registry = cls()
        # As after compaction: only the last record of each key counts, at its position in the log.
        last: dict[bytes | None, tuple[int, bytes | None]] = {}
        for key, value, offset in records:
            last[key] = (offset, value)
        for key, (offset, value) in sorted(last.items(), key=lambda item: item[1][0]):
            registry._apply(key, value, offset)
        return registry

    def versions(self, subject: str) -> list[Version]:
        """The versions of a subject that are not deleted, oldest first; raises RegistryError if one cannot be read."""
        self._must_be_readable("SCHEMA", subject)
        return [v for _, v in sorted(self._versions.get(subject, {}).items()) if not v.deleted]

    def ids(self, subject: str) -> tuple[int, ...]:
        """The schema ids that records of a subject may carry, newest last."""
        return tuple(dict.fromkeys(v.id for v in self.versions(subject)))

    def text(self, schema_id: int) -> str:
        """The schema's JSON; raises KeyError if the id is unknown."""
        return self._texts[schema_id]

    def schema(self, schema_id: int) -> Schema:
        """The schema with that id; raises KeyError if it is unknown, SchemaError if it is beyond our limits."""
        return parse(self._texts[schema_id])

    def compatibility(self, subject: str) -> Level:
        """The subject's compatibility level, or else the registry's; raises RegistryError if its own is unreadable."""
        self._must_be_readable("CONFIG", subject)
        return self._levels.get(subject, self.level)

    def find(self, subject: str, schema: Schema) -> int | None:
        """The id of exactly this schema in a subject; None if it is not registered there."""
        wanted = identity(schema.text)
        return next((v.id for v in self.versions(subject) if identity(v.text) == wanted), None)

    def register(self, subject: str, schema: Schema) -> tuple[int, list[KeyValue]]:
        """The schema's id in that subject, and the records to publish (none if it is registered already).

        Also changes this state. The same schema has the same id in every subject. Whether the schema is compatible is
        for the caller to check.
        """
        known = self.find(subject, schema)
        if known is not None:
            return known, []
        schema_id = self._ids.get(identity(schema.text), self._last_id + 1)
        version = max(self._versions.get(subject, {}), default=0) + 1
        key = _json({"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1})
        value = {"subject": subject, "version": version, "id": schema_id, "schema": schema.text, "deleted": False}
        record = (key, _json(value))
        self._apply(*record, offset=-1)
        return schema_id, [record]

    def set_compatibility(self, subject: str | None, level: Level) -> list[KeyValue]:
        """Set a level, for one subject or for all without their own (None); return the records to publish."""
        record = (
            _json({"keytype": "CONFIG", "subject": subject, "magic": 0}),
            _json({"compatibilityLevel": level.value}),
        )
        self._apply(*record, offset=-1)
        return [record]

    @property
    def configured(self) -> frozenset[str]:
        """The subjects that have a compatibility level of their own."""
        return frozenset(self._levels)

    def facts(self) -> dict[str, Any]:
        """All that the registry knows, as JSON values; equal if two registries say the same."""
        return {
            "level": self.level.value,
            "levels": {subject: level.value for subject, level in self._levels.items()},
            "versions": {
                subject: [[v.version, v.id, v.text, v.deleted] for _, v in sorted(versions.items())]
                for subject, versions in self._versions.items()
            },
        }

    def _apply(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        try:
            head = json.loads(key or b"{}")
            kind, subject = head.get("keytype"), head.get("subject")
        except _NOT_OURS:
            return
        try:
            body = json.loads(value) if value and kind in ("SCHEMA", "CONFIG", "DELETE_SUBJECT") else None
            if kind == "SCHEMA":
                self._take_schema(head, body)
            elif kind == "CONFIG":
                self._take_level(head, body)
            elif kind == "DELETE_SUBJECT" and body is not None:
                self._delete(body["subject"], int(body["version"]))
        except _NOT_OURS as error:
            about = "CONFIG" if kind == "CONFIG" else "SCHEMA"
            message = f"_schemas/0 offset {offset}: the record of kind {kind} about {subject} is not a registry's"
            remedy = f"find who writes there; publish a null value for its key to take it out: {_json(head).decode()}"
            told = RegistryError(message, remedy=remedy)
            told.__cause__ = error
            self._unreadable.setdefault((about, str(subject)), told)

    def _must_be_readable(self, kind: str, subject: str) -> None:
        if (kind, subject) in self._unreadable:
            raise self._unreadable[kind, subject]

    def _take_schema(self, head: dict[str, Any], body: dict[str, Any] | None) -> None:
        subject, number = str(head["subject"]), int(head["version"])
        if body is None:
            self._versions.get(subject, {}).pop(number, None)
            return
        schema_id, text = int(body["id"]), str(body["schema"])
        if not 0 < schema_id <= MAX_ID:
            raise ValueError
        self._last_id = max(self._last_id, schema_id)
        if body.get("schemaType", "AVRO") != "AVRO":
            return
        name = identity(text)
        if identity(self._texts.setdefault(schema_id, text)) != name:
            return
        self._ids.setdefault(name, schema_id)
        version = Version(number, schema_id, text, bool(body.get("deleted", False)))
        self._versions.setdefault(subject, {})[number] = version

    def _take_level(self, head: dict[str, Any], body: dict[str, Any] | None) -> None:
        subject, name = head.get("subject"), body.get("compatibilityLevel") if body else None
        if subject is None:
            self.level = Level(name) if name else DEFAULT_LEVEL
            self.has_level = bool(name)
        elif name:
            self._levels[subject] = Level(name)
        else:
            self._levels.pop(subject, None)

    def _delete(self, subject: str, until: int) -> None:
        for number, v in self._versions.get(subject, {}).items():
            if number <= until:
                self._versions[subject][number] = Version(v.version, v.id, v.text, deleted=True)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
